"""Writes documentation/reference/*.md from the schemas of this folder, and errors.md from the source.

    .venv/bin/python schemas/generate_reference.py [--check]     --check: fails when a page is out of date
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LARGEST = 9007199254740991  # Stands for "no limit" where integers go through JSON.
SCHEMAS = ROOT / "schemas"
PAGES = ["package/metadata", "package/preprocessing", "package/postprocessing", "package/custom_step",
         "package/golden", "agent/edge_config",
         "agent/application"] + [f"{folder}/{path.name.removesuffix('.schema.json')}" for folder in ("state", "hub")
                                 for path in sorted((SCHEMAS / folder).glob("*.schema.json"))]


def load(path):
    """(schema, its types by name)"""
    schema = json.loads(path.read_text())
    return schema, {**schema.get("definitions", {}), schema["title"]: schema}


def look_up(reference, path):
    """(file, name, type) of a "$ref" that stands in `path`."""
    file, _, name = reference.partition("#/definitions/")
    target = (path.parent / file).resolve() if file else path
    schema, types = load(target)
    name = name or schema["title"]
    return target, name, types[name]


def type_of(schema, path):
    """A property's type in words, with limits."""
    if "$ref" in schema:
        file, name, target = look_up(schema["$ref"], path)
        if "properties" not in target:
            return type_of(target, file)
        page_name = "" if file == path else file.name.removesuffix(".schema.json") + ".md"
        whole = name == json.loads(file.read_text())["title"]
        return f"[{name}]({page_name}{'' if whole and page_name else '#' + name.lower()})"
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        count = [schema.get("minItems"), schema.get("maxItems")]
        many = f" ({count[0] or 0} to {count[1]})" if count[1] else ""
        return f"list of {type_of(schema['items'], path)}{many}"
    if kind == "object":
        return f"map to {type_of(schema['additionalProperties'], path)}"
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    high = None if high == LARGEST else high
    limits = ""
    if low is not None and high is not None:
        limits = f" {low} to {high}"
    elif low is not None:
        limits = f" {'above' if 'exclusiveMinimum' in schema else 'from'} {low}"
    return {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}[kind] + limits


def rows(schema, path):
    required = schema.get("required", [])
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, child in schema["properties"].items():
        target = look_up(child["$ref"], path)[2] if "$ref" in child else child
        default = f"`{json.dumps(child['default'])}`" if "default" in child else "required" if key in required else ""
        meaning = child.get("description") or target.get("description", "")
        lines.append(f"| `{key}` | {type_of(child, path)} | {default} | {meaning} |")
    return lines


def page(name):
    path = SCHEMAS / f"{name}.schema.json"
    schema, _ = load(path)
    lines = [f"# {name.split('/')[1]}", "",
             f"Made from `schemas/{name}.schema.json` by `schemas/generate_reference.py`.", "",
             schema["description"], "", *(rows(schema, path) if schema["properties"] else ["It takes no keys."])]
    for title, definition in schema.get("definitions", {}).items():
        if "properties" in definition:
            lines += ["", f"## {title}", ""]
            if definition.get("description"):
                lines += [definition["description"], ""]
            lines += rows(definition, path) if definition["properties"] else ["It takes no keys."]
    return "\n".join(lines) + "\n"


def routes():
    """The hub's routes."""
    lines = ["# The hub's API", "",
             "Made from `schemas/hub/routes.json` by `schemas/generate_reference.py`; the hub serves it as OpenAPI 3.1 under",
             "`/openapi.json`. Rights come with a token (`Authorization: Bearer …`, or `Basic` with the token as password); `device`",
             "means a device's certificate. Errors are [hub_error](hub_error.md).", "",
             "| route | right | body | answer | meaning |", "|---|---|---|---|---|"]

    def link(text):
        name = text.split("#")[0].split("/")[1]
        return f"[{text.split('#')[-1].split('/')[-1]}]({name}.md)"

    for route in json.loads((SCHEMAS / "hub" / "routes.json").read_text()):
        query = "".join(f" ?{item['name']}" for item in route.get("query", []))
        request = link(route["request"]) if "request" in route else route.get("request_content", "")
        answer = link(route["answer"]) if "answer" in route else route.get("content", "")
        status = f"{route.get('status', 200)} "
        columns = [f"`{route['method']} {route['path']}`{query}", route["right"], request, status + answer]
        lines.append(f"| {' | '.join(columns)} | {route['description']} |")
    return "\n".join(lines) + "\n"


def errors():
    """Every error identifier of the source, with the text of one place that raises it."""
    found = {}
    files = [p for folder in ("libraries", "edge_application", "model_management", "command_line")
             for p in sorted((ROOT / folder).rglob("*.cpp"))]
    for path in files:
        text = path.read_text()
        for match in re.finditer(r'"(VRG-[A-Z]{3}-\d{3})"', text):
            # The literal behind it, with those that the compiler joins to it.
            joined = re.match(r'[^"]*?((?:"(?:[^"\\]|\\.)*"\s*)+)', text[match.end():match.end() + 800])
            message = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', joined[1])) if joined else ""
            message = message.replace('\\"', '"').replace("|", "\\|").replace("\\n", " ")
            found.setdefault(match[1], []).append((path.relative_to(ROOT).as_posix(), message))
    lines = ["# Errors", "",
             "Every message of Verge ends with an identifier. What it says at the place where it is raised (`{}` stands",
             "for what was found) tells what was expected and what to do. Made by `schemas/generate_reference.py`.", "",
             "Exit status of programs, and status over HTTP, by kind of error:", "",
             "| kind | exit | HTTP |", "|---|---|---|"]
    mapping = (ROOT / "libraries/base/src/error.cpp").read_text()
    lines += [f"| {name} | {status} | {http} |" for name, status,
              http in re.findall(r'\{"(\w+)", (\d+), (\d+)\}', mapping)]
    lines += ["", "| identifier | message | raised in |", "|---|---|---|"]
    for identifier, places in sorted(found.items()):
        message = max((m for _, m in places), key=len)
        where = ", ".join(sorted({f"`{p}`" for p, _ in places}))
        lines.append(f"| <a id=\"{identifier.lower()}\"></a>{identifier} | {message} | {where} |")
    return "\n".join(lines) + "\n"


def main():
    pages = {f"{path.split('/')[1]}.md": page(path) for path in PAGES}
    pages["errors.md"] = errors()
    pages["hub_api.md"] = routes()
    stale = []
    for name, text in pages.items():
        target = ROOT / "documentation" / "reference" / name
        if not target.exists() or target.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                target.write_text(text)
    if stale and "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(stale)}; run schemas/generate_reference.py")


if __name__ == "__main__":
    main()

"""Writes documentation/reference/*.md from the schemas of this folder, and errors.md from the source.

    .venv/bin/python schemas/generate_reference.py [--check]     --check: fails when a page is out of date
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ["package/metadata", "package/preprocessing", "package/postprocessing", "package/golden", "agent/edge_config"]


def type_of(schema, definitions):
    """A property's type in words, with limits."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/definitions/")
        target = definitions[name]
        return type_of(target, definitions) if "properties" not in target else f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        count = [schema.get("minItems"), schema.get("maxItems")]
        many = f" ({count[0] or 0} to {count[1]})" if count[1] else ""
        return f"list of {type_of(schema['items'], definitions)}{many}"
    if kind == "object":
        return f"map to {type_of(schema['additionalProperties'], definitions)}"
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    limits = ""
    if low is not None and high is not None:
        limits = f" {low} to {high}"
    elif low is not None:
        limits = f" {'above' if 'exclusiveMinimum' in schema else 'from'} {low}"
    return {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}[kind] + limits


def rows(schema, definitions):
    required = schema.get("required", [])
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, child in schema["properties"].items():
        target = definitions[child["$ref"].removeprefix("#/definitions/")] if "$ref" in child else child
        default = f"`{json.dumps(child['default'])}`" if "default" in child else "required" if key in required else ""
        meaning = child.get("description") or target.get("description", "")
        lines.append(f"| `{key}` | {type_of(child, definitions)} | {default} | {meaning} |")
    return lines


def page(path):
    schema = json.loads((ROOT / "schemas" / f"{path}.schema.json").read_text())
    definitions = schema.get("definitions", {})
    lines = [f"# {path.split('/')[1]}", "", f"Made from `schemas/{path}.schema.json` by `schemas/generate_reference.py`.", "",
             schema["description"], "", *rows(schema, definitions)]
    for name, definition in definitions.items():
        if "properties" in definition:
            lines += ["", f"## {name}", ""]
            if definition.get("description"):
                lines += [definition["description"], ""]
            lines += rows(definition, definitions) if definition["properties"] else ["It takes no keys."]
    return "\n".join(lines) + "\n"


def errors():
    """Every error identifier of the source, with the text of one place that raises it."""
    found = {}
    files = [p for folder in ("libraries", "edge_application", "command_line") for p in sorted((ROOT / folder).rglob("*.cpp"))]
    for path in files:
        text = path.read_text()
        for match in re.finditer(r'"(VRG-[A-Z]{3}-\d{3})"', text):
            # The literal behind it, with those that the compiler joins to it.
            joined = re.match(r'[^"]*?((?:"(?:[^"\\]|\\.)*"\s*)+)', text[match.end():match.end() + 800])
            message = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', joined[1])) if joined else ""
            message = message.replace('\\"', '"').replace("|", "\\|").replace("\\n", " ")
            found.setdefault(match[1], []).append((path.relative_to(ROOT).as_posix(), message))
    lines = ["# Errors", "", "Every message of Verge ends with an identifier. What it says at the place where it is raised (`{}` stands",
             "for what was found) tells what was expected and what to do. Made by `schemas/generate_reference.py`.", "",
             "Exit status of programs, and status over HTTP, by kind of error:", "",
             "| kind | exit | HTTP |", "|---|---|---|"]
    mapping = (ROOT / "libraries/base/src/error.cpp").read_text()
    lines += [f"| {name} | {status} | {http} |" for name, status, http in re.findall(r'\{"(\w+)", (\d+), (\d+)\}', mapping)]
    lines += ["", "| identifier | message | raised in |", "|---|---|---|"]
    for identifier, places in sorted(found.items()):
        message = max((m for _, m in places), key=len)
        where = ", ".join(sorted({f"`{p}`" for p, _ in places}))
        lines.append(f"| <a id=\"{identifier.lower()}\"></a>{identifier} | {message} | {where} |")
    return "\n".join(lines) + "\n"


def main():
    pages = {f"{path.split('/')[1]}.md": page(path) for path in PAGES}
    pages["errors.md"] = errors()
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

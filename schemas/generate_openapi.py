"""Makes the hub's OpenAPI 3.1 description, its router's table and its page's bytes from schemas/hub/routes.json.

Usage: generate_openapi.py VERSION PAGE_FOLDER OUTPUT_FOLDER

writes OUTPUT_FOLDER/{openapi.json, route_table.hpp, embedded.cpp}. The same table makes all, so that what is described
and what is served cannot differ. In a path, {name} stands for one segment and {name+} for the rest of the path.
"""

import json
import pathlib
import re
import sys

SCHEMAS = pathlib.Path(__file__).resolve().parent
RIGHTS = {"public", "token", "device", "read", "publish", "deploy", "administer"}
KEYS = {"name", "method", "path", "right", "description", "request", "request_content", "answer", "content", "status",
        "query"}


def fail(message):
    sys.exit(f"generate_openapi.py: {message}")


class Components:
    """Schemas that the description names, taken in as they are met."""

    def __init__(self):
        self.schemas = {}

    def named(self, folder, file, name):
        """A $ref to a type of a schema file; `name` empty: the file's own."""
        path = (folder / file).resolve()
        document = json.loads(path.read_text())
        types = {**document.get("definitions", {}), document["title"]: document}
        name = name or document["title"]
        if name not in types:
            fail(f"{path.name} has no type {name}")
        if name not in self.schemas:
            self.schemas[name] = None  # Taken; its types may refer back to it.
            self.schemas[name] = self.convert(types[name], path)
        return {"$ref": f"#/components/schemas/{name}"}

    def convert(self, node, path):
        if isinstance(node, list):
            return [self.convert(item, path) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            file, _, name = node["$ref"].partition("#/definitions/")
            return self.named(path.parent, file or path.name, name)
        return {key: self.convert(value, path) for key,
                value in node.items() if key not in ("$schema", "$id", "definitions")}

    def of_route(self, text):
        """"hub/device_list" or "hub/application_detail#ApplicationVersionInfo"."""
        file, _, name = text.partition("#")
        return self.named(SCHEMAS, f"{file}.schema.json", name)


def operation(route, components):
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                  for name in re.findall(r"\{(\w+)\+?\}", route["path"])]
    parameters += [{"name": query["name"], "in": "query", "description": query["description"],
                    "schema": {"type": query["type"]}}
                   for query in route.get("query", [])]
    answer = {"description": "Done."}
    if "answer" in route:
        answer["content"] = {"application/json": {"schema": components.of_route(route["answer"])}}
    elif "content" in route:
        answer["content"] = {route["content"]: {}}
    error = {"description": "Why it was not done.",
             "content": {"application/json": {"schema": components.named(SCHEMAS, "hub/hub_error.schema.json", "")}}}
    made = {"operationId": route["name"], "summary": route["description"], "parameters": parameters,
            "responses": {str(route.get("status", 200)): answer, "default": error}}
    if "request" in route:
        made["requestBody"] = {"required": True,
                               "content": {"application/json": {"schema": components.of_route(route["request"])}}}
    elif "request_content" in route:
        made["requestBody"] = {"content": {route["request_content"]: {}}}
    if route["right"] == "device":
        made["security"] = [{"device_certificate": []}]
    elif route["right"] != "public":
        made["security"] = [{"token": []}, {"basic": []}]
        made["description"] = "Needs a token." if route["right"] == "token" else f"Needs the right '{route['right']}'."
    else:
        made["security"] = []
    return made


def openapi(routes, version):
    components = Components()
    paths = {}
    for route in routes:
        paths.setdefault(route["path"].replace("+}", "}"), {})[route["method"].lower()] = operation(route, components)
    return {"openapi": "3.1.0",
            "info": {"title": "Verge hub", "version": version,
                     "description": "Models, applications, devices and deployments."},
            "paths": paths,
            "components": {"schemas": components.schemas, "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "Any name; the token is the password."},
                "device_certificate": {"type": "mutualTLS"}}}}


def route_table(routes):
    names = ", ".join(route["name"] for route in routes)
    out = ["// Made from schemas/hub/routes.json by schemas/generate_openapi.py. Do not edit.", "#pragma once", "",
           "#include <array>",
           "#include <string_view>", "", "namespace verge::hub {", "", f"enum class RouteName {{ {names} }};",
           "enum class RouteRight { public_, token, device, read, publish, deploy, administer };", "",
           "struct Route {", "  RouteName name;", "  std::string_view method;", "  std::string_view path;",
           "  RouteRight right;",
           "  int status;  ///< Of success.", "};", "",
           f"inline constexpr std::array<Route, {len(routes)}> kRoutes{{{{"]
    for route in routes:
        right = "public_" if route["right"] == "public" else route["right"]
        out.append(f'    {{RouteName::{route["name"]}, "{route["method"]}", "{route["path"]}", RouteRight::{right}, '
                   f'{route.get("status", 200)}}},')
    return "\n".join(out + ["}};", "", "}  // namespace verge::hub", ""])


def literal(name, text):
    """A constant of any length: compilers limit one string literal, not an array."""
    data = text.encode()
    lines = [",".join(str(byte) for byte in data[i:i + 64]) for i in range(0, len(data), 64)]
    joined = ",\n    ".join(lines)
    return (f"const unsigned char k{name}Bytes[] = {{\n    {joined}}};\n"
            f"std::string_view embedded_{name.lower()}() noexcept {{\n"
            f"  return {{reinterpret_cast<const char*>(k{name}Bytes), sizeof(k{name}Bytes)}};\n}}\n")


def page(folder):
    """One self-contained document: style and script are put where the page names them."""
    text = (folder / "page.html").read_text()
    for mark, file in (("/*STYLE*/", "page.css"), ("/*SCRIPT*/", "page.js")):
        if mark not in text:
            fail(f"page.html has no {mark}")
        text = text.replace(mark, (folder / file).read_text())
    return text


def main():
    if len(sys.argv) != 4:
        fail("expected: generate_openapi.py VERSION PAGE_FOLDER OUTPUT_FOLDER")
    routes = json.loads((SCHEMAS / "hub" / "routes.json").read_text())
    for route in routes:
        if set(route) - KEYS or route["right"] not in RIGHTS:
            fail(f"route {route['name']}: unknown key or right")
    described = json.dumps(openapi(routes, sys.argv[1]), ensure_ascii=False, indent=1) + "\n"
    folder = pathlib.Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "openapi.json").write_text(described)
    (folder / "route_table.hpp").write_text(route_table(routes))
    source = ["// Made by schemas/generate_openapi.py. Do not edit.", '#include "embedded.hpp"', "",
              "namespace verge::hub {", "namespace {",
              "}  // namespace", literal("Openapi", described), literal("Page", page(pathlib.Path(sys.argv[2]))),
              "}  // namespace verge::hub", ""]
    (folder / "embedded.cpp").write_text("\n".join(source))


if __name__ == "__main__":
    main()

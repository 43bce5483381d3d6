"""Makes C++ types with checked readers and writers from a JSON Schema of this folder.

Usage: generate_cpp.py SCHEMA OUTPUT_BASE        writes OUTPUT_BASE.hpp and OUTPUT_BASE.cpp

The subset of draft-07 that is understood: objects with "properties" and "additionalProperties": false (true: unknown keys
are passed over, for documents between programs of different age; a schema makes a map), "required", "minProperties"/"maxProperties" of 1, enums of strings, arrays with "items", "$ref" to
"#/definitions/…" "FILE" or "FILE#/definitions/…", numbers and strings with limits, "default"; ["object", "null"] for objects that "- step:" may leave empty. Anything else stops the generator, so that no schema says
more than the reader checks.
"""

import json
import pathlib
import re
import sys

KEYWORDS = {
    "$schema", "$id", "title", "description", "type", "required", "additionalProperties", "properties", "definitions",
    "enum", "items", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength",
    "pattern", "default", "$ref", "minProperties", "maxProperties",
}
RENAMED = {"auto": "automatic", "bool": "bool_", "float": "float_", "default": "default_"}


def fail(message):
    sys.exit(f"generate_cpp.py: {message}")


def check_keywords(schema, where):
    """Stops at the first keyword that the generated reader would not check."""
    unknown = set(schema) - KEYWORDS
    if unknown:
        fail(f"{where}: expected only {sorted(KEYWORDS)}, got {sorted(unknown)}")
    for name, child in schema.get("properties", {}).items():
        check_keywords(child, f"{where}.{name}")
    for name, child in schema.get("definitions", {}).items():
        check_keywords(child, f"{where}#{name}")
    if isinstance(schema.get("items"), dict):
        check_keywords(schema["items"], f"{where}[]")


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def enumerator(value):
    value = value.lower()
    return RENAMED.get(value, value)


class Generator:
    def __init__(self, schema, path):
        self.stem = path.name.removesuffix(".schema.json")
        check_keywords(schema, self.stem)
        self.schema = schema
        self.folder = path.parent
        self.includes = set()
        self.definitions = dict(schema.get("definitions", {}))
        self.definitions[schema["title"]] = schema

    def resolve(self, schema):
        """(definition name or None, the definition or the schema itself)"""
        if "$ref" in schema:
            file, _, name = schema["$ref"].partition("#/definitions/")
            if file:
                other = json.loads((self.folder / file).read_text())
                name = name or other["title"]
                self.includes.add(pathlib.Path(file).name.removesuffix(".schema.json"))
                return name, {**other.get("definitions", {}), other["title"]: other}[name]
            if name not in self.definitions:
                fail(f"no definition {schema['$ref']}")
            return name, self.definitions[name]
        return None, schema

    def is_struct(self, schema):
        return schema.get("type") in ("object", ["object", "null"]) and "properties" in schema

    def cpp_type(self, schema):
        name, target = self.resolve(schema)
        kind = target.get("type")
        if name and (self.is_struct(target) or "enum" in target):
            return name
        if kind == "string":
            return "std::string"
        if kind == "integer":
            return "std::int64_t"
        if kind == "number":
            return "double"
        if kind == "boolean":
            return "bool"
        if kind == "array":
            return f"std::vector<{self.cpp_type(target['items'])}>"
        if kind == "object":
            return f"std::map<std::string, {self.cpp_type(target['additionalProperties'])}>"
        fail(f"no C++ type for {schema}")

    def literal(self, schema, value):
        name, target = self.resolve(schema)
        if "enum" in target:
            return f"{name}::{enumerator(value)}"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return quoted(value)
        if target["type"] == "number":
            return repr(float(value))
        return str(value)

    def member(self, name, schema, required):
        """(type, initialiser, optional?)"""
        _, target = self.resolve(schema)
        kind = self.cpp_type(schema)
        if "default" in schema:
            return kind, " = " + self.literal(schema, schema["default"]), False
        if required or target.get("type") == "array" or (target.get("type") == "object" and not self.is_struct(target)):
            initialiser = "{}" if target.get("type") in ("integer", "number", "boolean") or "enum" in target else ""
            return kind, initialiser, False
        return f"std::optional<{kind}>", "", True

    def ordered(self):
        """Definitions, those that are used before those that use them."""
        done, order = set(), []

        def visit(name):
            if name in done:
                return
            done.add(name)
            def refs(node):
                if isinstance(node, dict):
                    if node.get("$ref", "").startswith("#"):
                        visit(node["$ref"].removeprefix("#/definitions/"))
                    for key, child in node.items():
                        if key != "definitions":
                            refs(child)
                elif isinstance(node, list):
                    for child in node:
                        refs(child)
            refs(self.definitions[name])
            order.append(name)

        for name in self.definitions:
            visit(name)
        return order

    def header(self):
        out = [f"// Made from {self.stem}.schema.json by schemas/generate_cpp.py. Do not edit.", "#pragma once", "",
               "#include <cstdint>", "#include <map>", "#include <optional>", "#include <string>",
               "#include <string_view>", "#include <vector>", "", '#include "verge/base/error.hpp"',
               '#include "verge/wire/document.hpp"', "", "namespace verge::wire {", ""]
        head = len(out) - 2
        for name in self.ordered():
            schema = self.definitions[name]
            if "enum" in schema:
                out.append(f"/// {schema.get('description', name)}")
                out.append(f"enum class {name} {{ {', '.join(enumerator(v) for v in schema['enum'])} }};")
                out.append(f"[[nodiscard]] std::string_view name({name} value) noexcept;")
                out.append(f"[[nodiscard]] std::optional<{name}> to_{snake(name)}(std::string_view text) noexcept;")
                out.append("")
            elif self.is_struct(schema):
                out.append(f"/// {schema.get('description', name)}")
                out.append(f"struct {name} {{")
                out.append("  int line = 0;  ///< Line in the file that it was read from; 0 when made in memory.")
                for key, child in schema["properties"].items():
                    kind, initialiser, _ = self.member(key, child, key in schema.get("required", []))
                    comment = child.get("description") or self.resolve(child)[1].get("description", "")
                    out.append(f"  {kind} {key}{initialiser};" + (f"  ///< {comment}" if comment else ""))
                out.append("};")
                out.append(f"/// Reads and checks; errors name the file, the line, what was expected and what came.")
                out.append(f"Result<{name}> read_{snake(name)}(const Node& node, const Place& place);")
                out.append(f"[[nodiscard]] Node to_node(const {name}& value);")
                out.append("")
        out += ["}  // namespace verge::wire", ""]
        out[head:head] = [f'#include "verge/wire/{name}.hpp"' for name in sorted(self.includes)]
        return "\n".join(out)

    def reader(self, schema, node, place, target, depth=0):
        """Statements that read `node` into `target` (an lvalue); `depth` tells the names of nested lists apart."""
        name, definition = self.resolve(schema)
        kind = definition.get("type")
        if name and "enum" in definition:
            values = ", ".join(quoted(v) for v in definition["enum"])
            return [f"{{ static constexpr std::array<std::string_view, {len(definition['enum'])}> kValues{{{{{values}}}}};",
                    f"  VERGE_ASSIGN(const std::size_t choice, read_choice({node}, {place}, kValues));",
                    f"  {target} = static_cast<{name}>(choice); }}"]
        if name and self.is_struct(definition):
            return [f"{{ VERGE_ASSIGN({target}, read_{snake(name)}({node}, {place})); }}"]
        if kind == "string":
            limits = [str(definition.get("minLength", 0)), str(definition.get("maxLength", 65536)),
                      quoted(definition.get("pattern", ""))]
            return [f"{{ VERGE_ASSIGN({target}, read_string({node}, {place}, {{{', '.join(limits)}}})); }}"]
        if kind == "integer":
            low = definition.get("minimum", "kLowestInteger")
            high = definition.get("maximum", "kHighestInteger")
            return [f"{{ VERGE_ASSIGN({target}, read_integer({node}, {place}, {low}, {high})); }}"]
        if kind == "number":
            low = definition.get("minimum", definition.get("exclusiveMinimum"))
            high = definition.get("maximum")
            limits = [repr(float(low)) if low is not None else "kLowestNumber",
                      repr(float(high)) if high is not None else "kHighestNumber",
                      "true" if "exclusiveMinimum" in definition else "false"]
            return [f"{{ VERGE_ASSIGN({target}, read_number({node}, {place}, {{{', '.join(limits)}}})); }}"]
        if kind == "boolean":
            return [f"{{ VERGE_ASSIGN({target}, read_boolean({node}, {place})); }}"]
        if kind == "array":
            low, high = definition.get("minItems", 0), definition.get("maxItems", 65536)
            element = self.cpp_type(definition["items"])
            i, item, inner_place, value = (f"{n}{depth or ''}" for n in ("i", "item", "item_place", "element"))
            inner = self.reader(definition["items"], item, inner_place, value, depth + 1)
            return [f"VERGE_TRY(check_list({node}, {place}, {low}, {high}));",
                    f"for (std::size_t {i} = 0; {i} < {node}.items.size(); ++{i}) {{",
                    f"  const Node& {item} = {node}.items[{i}];", f"  const Place {inner_place} = {place}.at({i});",
                    f"  {element} {value}{{}};"] + ["  " + line for line in inner] + [
                    f"  {target}.push_back(std::move({value}));", "}"]
        if kind == "object":
            value = self.cpp_type(definition["additionalProperties"])
            inner = self.reader(definition["additionalProperties"], "item.second", "item_place", "element")
            return [f"VERGE_TRY(check_map({node}, {place}));", f"for (const auto& item : {node}.members) {{",
                    f"  const Place item_place = {place}.member(item.first);", f"  {value} element{{}};"] + [
                    "  " + line for line in inner] + [f"  {target}.emplace(item.first, std::move(element));", "}"]
        fail(f"no reader for {schema}")

    def writer(self, schema, source, depth=0):
        """Expression that makes a Node of `source`."""
        item = f"item{depth or ''}"
        name, definition = self.resolve(schema)
        kind = definition.get("type")
        if name and "enum" in definition:
            return f"Node::string(name({source}))"
        if name and self.is_struct(definition):
            return f"to_node({source})"
        if kind == "array":
            inner = self.writer(definition["items"], item, depth + 1)
            return f"Node::list_of({source}, [](const auto& {item}) {{ return {inner}; }})"
        if kind == "object":
            inner = self.writer(definition["additionalProperties"], item, depth + 1)
            return f"Node::map_of({source}, [](const auto& {item}) {{ return {inner}; }})"
        return {"string": f"Node::string({source})", "integer": f"Node::integer({source})",
                "number": f"Node::number({source})", "boolean": f"Node::boolean({source})"}[kind]

    def source(self):
        out = [f"// Made from {self.stem}.schema.json by schemas/generate_cpp.py. Do not edit.",
               f'#include "verge/wire/{self.stem}.hpp"', "", "#include <array>", "#include <utility>", "",
               '#include "verge/wire/reading.hpp"', "", "namespace verge::wire {", ""]
        for name in self.ordered():
            schema = self.definitions[name]
            if "enum" in schema:
                values = schema["enum"]
                out.append(f"std::string_view name({name} value) noexcept {{")
                out.append(f"  static constexpr std::array<std::string_view, {len(values)}> kNames{{{{"
                           f"{', '.join(quoted(v) for v in values)}}}}};")
                out.append("  return kNames.at(static_cast<std::size_t>(value));")
                out.append("}")
                out.append(f"std::optional<{name}> to_{snake(name)}(std::string_view text) noexcept {{")
                for value in values:
                    out.append(f"  if (text == {quoted(value)}) return {name}::{enumerator(value)};")
                out.append("  return std::nullopt;")
                out.append("}")
                out.append("")
            elif self.is_struct(schema):
                out += self.struct_source(name, schema)
        out += ["}  // namespace verge::wire", ""]
        return "\n".join(out)

    def struct_source(self, name, schema):
        properties = schema["properties"]
        required = schema.get("required", [])
        if not isinstance(schema.get("additionalProperties"), bool):
            fail(f"{name}: an object with properties needs \"additionalProperties\": false, or true")
        keys = ", ".join(quoted(key) for key in properties)
        out = [f"Result<{name}> read_{snake(name)}(const Node& node, const Place& place) {{"]
        if schema["additionalProperties"] is False:
            out.append(f"  static constexpr std::array<std::string_view, {len(properties)}> kKeys{{{{{keys}}}}};"
                           if properties else "  static constexpr std::array<std::string_view, 0> kKeys{};")
        one = schema.get("minProperties") == 1 and schema.get("maxProperties") == 1
        if ("minProperties" in schema or "maxProperties" in schema) and not one:
            fail(f"{name}: of minProperties and maxProperties only 1 and 1 together are understood")
        if schema["type"] == "object":
            out.append("  VERGE_TRY(check_map(node, place));")
        if schema["additionalProperties"] is False:
            out.append(f"  VERGE_TRY(check_keys(node, place, kKeys, {'true' if one else 'false'}));")
        out.append(f"  {name} value;")
        out.append("  value.line = node.line;")
        for key, child in properties.items():
            _, _, optional = self.member(key, child, key in required)
            out.append(f"  if (const Node* found = node.find({quoted(key)})) {{")
            out.append(f"    const Place here = place.member({quoted(key)});")
            if optional:
                out.append(f"    {self.cpp_type(child)} inner{{}};")
                out += ["    " + line for line in self.reader(child, "(*found)", "here", "inner")]
                out.append(f"    value.{key} = std::move(inner);")
            else:
                out += ["    " + line for line in self.reader(child, "(*found)", "here", f"value.{key}")]
            out.append("  }" + (" else {" if key in required else ""))
            if key in required:
                out.append(f"    return missing_key(node, place, {quoted(key)});")
                out.append("  }")
        out.append("  return value;")
        out.append("}")
        out.append(f"Node to_node([[maybe_unused]] const {name}& value) {{")
        out.append("  Node node = Node::map();")
        for key, child in properties.items():
            kind, _, optional = self.member(key, child, key in required)
            if optional:
                out.append(f"  if (value.{key}) node.add({quoted(key)}, {self.writer(child, f'(*value.{key})')});")
            elif key not in required and (kind.startswith("std::vector") or kind.startswith("std::map")):
                out.append(f"  if (!value.{key}.empty()) node.add({quoted(key)}, {self.writer(child, f'value.{key}')});")
            elif "default" in child:
                out.append(f"  if (value.{key} != {self.literal(child, child['default'])}) "
                           f"node.add({quoted(key)}, {self.writer(child, f'value.{key}')});")
            else:
                out.append(f"  node.add({quoted(key)}, {self.writer(child, f'value.{key}')});")
        out += ["  return node;", "}", ""]
        return out


def main():
    if len(sys.argv) != 3:
        fail("expected: generate_cpp.py SCHEMA OUTPUT_BASE")
    path = pathlib.Path(sys.argv[1])
    generator = Generator(json.loads(path.read_text()), path)
    base = pathlib.Path(sys.argv[2])
    base.with_suffix(".hpp").write_text(generator.header())
    base.with_suffix(".cpp").write_text(generator.source())


if __name__ == "__main__":
    main()

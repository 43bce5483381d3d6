"""The schemas' own examples, judged by a JSON Schema validator of somebody else's; the generated C++ readers judge the
same files in tests/unit_tests/wire."""

import json
import re
import subprocess
import sys

import jsonschema
import pytest
import referencing
import yaml
from conftest import ROOT

EXAMPLES = sorted((ROOT / "schemas").glob("*/examples/*/*"))


def resource(uri):
    """Schemas refer to each other by file name."""
    schema = json.loads((ROOT / uri.removeprefix("file:///")).read_text())
    del schema["$id"]  # Names the format; file names are what the references go by.
    return referencing.Resource.from_contents(schema)


def validator(path):
    uri = f"file:///{path.relative_to(ROOT).as_posix()}"
    jsonschema.Draft7Validator.check_schema(json.loads(path.read_text()))
    return jsonschema.Draft7Validator({"$ref": uri}, registry=referencing.Registry(retrieve=resource))


def errors(path):
    kind = path.name.split(".")[0]
    return list(validator(path.parents[2] / f"{kind}.schema.json").iter_errors(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_example(path):
    assert bool(errors(path)) == (path.parent.name == "invalid")


def test_every_document_in_the_tree_is_valid():
    for path in sorted((ROOT / "models").glob("*/*")) + sorted((ROOT / "models").glob("*/*/*.yaml")):
        if path.name == "metadata.json" or path.suffix == ".yaml":
            schema = validator(ROOT / "schemas" / "package" / f"{path.stem}.schema.json")
            schema.validate(yaml.safe_load(path.read_text()))
    schema = validator(ROOT / "schemas" / "agent" / "edge_config.schema.json")
    schema.validate(yaml.safe_load((ROOT / "infrastructure" / "config" / "edge_config.yaml").read_text()))


def test_every_schema_has_references_that_lead_somewhere():
    for path in sorted((ROOT / "schemas").glob("*/*.schema.json")):
        list(validator(path).iter_errors({}))
        for reference in re.findall(r'"\$ref": "([^"]+)"', path.read_text()):
            file, _, name = reference.partition("#/definitions/")
            other = json.loads((path.parent / file if file else path).resolve().read_text())
            assert not name or name in other["definitions"], f"{path.name}: {reference}"


def test_the_reference_is_that_of_the_schemas():
    done = subprocess.run([sys.executable, ROOT / "schemas" / "generate_reference.py", "--check"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr

"""The schemas' own examples, judged by a JSON Schema validator of somebody else's; the generated C++ readers judge the
same files in tests/unit_tests/wire."""

import json
import subprocess
import sys

import jsonschema
import pytest
import yaml
from conftest import ROOT

EXAMPLES = sorted((ROOT / "schemas").glob("*/examples/*/*"))


def errors(path):
    kind = path.name.split(".")[0]
    schema = json.loads((path.parents[2] / f"{kind}.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return list(jsonschema.Draft7Validator(schema).iter_errors(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_example(path):
    assert bool(errors(path)) == (path.parent.name == "invalid")


def test_every_document_in_the_tree_is_valid():
    for path in sorted((ROOT / "models").glob("*/*")) + sorted((ROOT / "models").glob("*/*/*.yaml")):
        if path.name == "metadata.json" or path.suffix == ".yaml":
            schema = json.loads((ROOT / "schemas" / "package" / f"{path.stem}.schema.json").read_text())
            jsonschema.validate(yaml.safe_load(path.read_text()), schema)
    schema = json.loads((ROOT / "schemas" / "agent" / "edge_config.schema.json").read_text())
    jsonschema.validate(yaml.safe_load((ROOT / "infrastructure" / "config" / "edge_config.yaml").read_text()), schema)


def test_the_reference_is_that_of_the_schemas():
    done = subprocess.run([sys.executable, ROOT / "schemas" / "generate_reference.py", "--check"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr

"""Model × engine × cases: recorded results of real models, met by package definitions alone.

`model_table/table.yaml` says which package runs on which engine and how many results it must meet; `expected.json` of
the test data holds them with their tolerances. There is one check for each kind of case and no code for a model.
"""

import copy
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from model_table import checks, demands
from model_table.programs import DEFINITIONS, Package, Pictures, Verge, source_of

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("VERGE_TEST_DATA") or ROOT.parent / "shared/data").resolve()
BUILD = Path(os.environ.get("VERGE_BUILD") or ROOT / "build/dev").resolve()
TABLE = yaml.safe_load((Path(__file__).parent / "model_table/table.yaml").read_text())

pytestmark = pytest.mark.skipif(not (DATA / "expected.json").exists(),
                                reason=f"no real models: VERGE_TEST_DATA ({DATA}) has no expected.json")


def named(rows):
    """The rows as parameters whose names say package and engine."""
    return [pytest.param(row, id=f"{row.get('name', row['package'])}-{row['engine']}") for row in rows]


@pytest.fixture(scope="session")
def expected():
    return json.loads((DATA / "expected.json").read_text())


@pytest.fixture(scope="session")
def cases(expected):
    recorded = demands.read_cases(expected)
    return recorded + demands.cases_again(recorded, TABLE["same"])


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    return Pictures(DATA, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def engines():
    """{engine of this build: the formats it reads}"""
    status, out, errors = Verge(BUILD, None, None).call("engines", "--output", "json")
    assert status == 0, errors
    return {engine["name"]: set(engine["formats"]) for engine in json.loads(out)}


@pytest.fixture
def make_subject(cases, expected, pictures, engines, tmp_path):
    """Assembles the package of a row and puts it before the programs."""
    def make(row, kinds, replace=None):
        if row["engine"] in TABLE["optional"] and row["engine"] not in engines:
            pytest.skip(f"{row['package']}: this build has no engine '{row['engine']}' (./dev verify {row['engine']})")
        tolerances = demands.Tolerances.read(expected["tolerances"])
        golden = cases_of(row, "golden", cases) if "golden" in kinds else []
        samples = checks.golden_samples(golden, tolerances, row.get("golden_absolute"))
        package = Package(DATA, row["package"], tmp_path / "package", samples, replace, row["engine"])
        verge = Verge(BUILD, package, row["engine"])
        return checks.Subject(DATA, BUILD, verge, pictures, tolerances, row.get("apart", {}))

    return make


def cases_of(row, kind, cases):
    model = source_of(row["package"])
    return [case for case in cases if case.model == model and case.kind == kind]


@pytest.mark.parametrize("row", named(row for row in TABLE["rows"] if "cases" in row))
def test_row(row, cases, make_subject, record_property):
    """Every required result is met within its tolerance."""
    subject = make_subject(row, row["cases"])
    faults = []
    for kind, count in row["cases"].items():
        finding = checks.CHECKS[kind](subject, cases_of(row, kind, cases))
        record_property(kind, json.dumps(finding.figures))
        print(f"{kind}: {finding.count} {finding.figures}")
        faults += [f"{kind}: {fault}" for fault in finding.faults]
        if finding.count != count:
            faults.append(f"{kind}: {count} results required, {finding.count} met")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("row", named(row for row in TABLE["rows"] if "refused" in row))
def test_refused_row(row, make_subject):
    """The engine refuses the model, by name and with the reason that the table gives."""
    status, out, errors = make_subject(row, ()).verge.verify()
    assert status not in (0, -6, -11), out
    assert row["engine"] in errors and row["says"] in errors


@pytest.mark.parametrize("row", named(TABLE["wrong"]))
def test_wrong_definition_is_noticed(row, cases, make_subject):
    """The same checks fail for a definition with one mistake."""
    subject = make_subject(row, row["notice"], row["replace"])
    for kind in row["notice"]:
        assert checks.CHECKS[kind](subject, cases_of(row, kind, cases)).faults, f"{kind} did not notice"


@pytest.fixture(scope="session")
def gaps(cases, expected):
    counts = demands.demanded(cases, [model["file"] for model in expected["models"]])
    return lambda table: demands.gaps(table, counts, source_of)


def test_table_is_complete(gaps):
    """Rows and counts are what expected.json demands; every definition stands in a row."""
    assert not gaps(TABLE), "\n".join(gaps(TABLE))
    assert {row["package"] for row in TABLE["rows"]} == {folder.name for folder in DEFINITIONS.iterdir()}


def test_what_is_taken_out_of_the_table_is_missed(gaps):
    """Without any one row, with any one count lowered, or without an excuse, the table is not complete."""
    for section in ("rows", "not_here"):
        for number, entry in enumerate(TABLE[section]):
            less = copy.deepcopy(TABLE)
            del less[section][number]
            assert gaps(less), f"nobody misses {entry}"
    for number, row in enumerate(TABLE["rows"]):
        for kind in row.get("cases", {}):
            less = copy.deepcopy(TABLE)
            less["rows"][number]["cases"][kind] -= 1
            assert gaps(less), f"nobody misses one of {kind} in {row}"


def test_engines_read_what_the_table_says(engines):
    """The engines of this build are those of the table; optional ones may be left out."""
    used = set().union(*TABLE["engines"].values())
    for name, reads in TABLE["engines"].items():
        if name in engines or name not in TABLE["optional"]:
            assert engines.get(name, set()) & used == set(reads), name


def test_the_documentation_has_the_same_engines():
    """The table of engines and formats for people is that of the tests."""
    text = (ROOT / "documentation/model_documentation.md").read_text()
    section = text.split("## Engines and formats")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (`[^|]+) \|", section, re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", formats)) - {"openvino"} for name, formats in rows}  # IR has no recorded result.
    assert told == {name: set(reads) for name, reads in TABLE["engines"].items()}

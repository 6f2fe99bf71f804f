"""The form of each record: its schema on disk, what fits it, and what is found if it does not."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from clinical_symile.cli.schema import record_schema
from clinical_symile.reporting.record_forms import ROWS, form_of_file, record_forms
from tests.helpers.report_data import made_data
from tests.reporting.test_results import RESULT

SCHEMAS = Path(__file__).parents[2] / "schemas"
FORMS = record_forms()
DATA = made_data()
# The first row of each table that the helper makes.
TABLES = {
    **{name: getattr(DATA, name, ()) for name in ROWS},
    **vars(DATA.analysis),
}
MADE: dict[str, Any] = {name: rows[0] for name, rows in TABLES.items() if rows}


def changed(**values: Any) -> str:
    return json.dumps(asdict(RESULT) | values)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_changes_only_with_its_version(name: str):
    path = SCHEMAS / f"{name}.v{FORMS[name].version}.json"
    assert path.read_text(encoding="utf-8") == record_schema(name) + "\n", (
        f"the form of {name} changed. If {path.name} was released, raise the version, keep the "
        f"file, and read files of it; write the new one with `clinical-symile schema {name}`"
    )


def test_every_schema_on_disk_is_of_a_form_that_is_read():
    found = {path.name.partition(".")[0] for path in SCHEMAS.glob("*.json")}
    assert found == {*FORMS}


@pytest.mark.parametrize("name", MADE)
def test_a_row_that_is_written_fits_its_form_and_its_schema(name: str):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    row = json.dumps(asdict(MADE[name]))
    assert FORMS[name].problems(row, file="x") == []
    schema = FORMS[name].schema
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(row), schema)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (changed(value="0.5"), "value: is text; expected a number."),
        (changed(n_samples=9.5), "n_samples: is a number; expected a whole number."),
        (changed(seed=True), "seed: is true or false; expected a whole number."),
        (changed(low={}), "low: is an object; expected a number or null."),
        (changed(high=float("nan")), "high: is not finite; expected a number or null."),
        (changed(hidden={"ecg": None}), "hidden.ecg: is null; expected a number."),
        (changed(hidden=[0.5]), "hidden: is a list; expected an object."),
        ('{"run":', "is no JSON; expected an object of results."),
        ('{"run": "\\u0000"}', "is no JSON; expected an object of results."),
        ("[" * 9999, "is no JSON; expected an object of results."),
        ("[1]", "is a list; expected an object."),
    ],
)
def test_a_value_of_another_form_is_named_with_what_was_expected(record: str, expected: str):
    (found,) = FORMS["results"].problems(record, file="results.jsonl", line=7)
    assert str(found) == f"results.jsonl, line 7: {expected}"


def test_schema_and_form_refuse_the_same_values():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = jsonschema.Draft202012Validator(FORMS["results"].schema)
    values: list[Any] = [None, True, 0, 1.5, "text", {}, {"a": 1}, {"a": "b"}, {"a": None}, [], [1]]
    for field in asdict(RESULT):
        for value in values:
            record = changed(**{field: value})
            fits = not FORMS["results"].problems(record, file="x")
            assert fits == validator.is_valid(json.loads(record)), (field, value)


def test_all_problems_of_a_record_are_found_at_once():
    row = asdict(RESULT) | {"value": None, "colour": "red"}
    del row["digest"]
    found = FORMS["results"].problems(json.dumps(row), file="x")
    assert [one.field for one in found] == ["value", "digest", "colour"]
    assert found[1].found == "is missing"
    assert found[2].found == "is no field of this form"
    assert found[2].expected.startswith("one of run, cohort, task")


def test_a_row_of_an_earlier_version_fits():
    row = asdict(RESULT)
    for field in ("environment", "mask_statistics", "saw_label", "n_smallest_class"):
        del row[field]
    assert FORMS["results"].problems(json.dumps(row), file="x") == []


def test_objects_inside_a_manifest_are_compared(synthetic_store):
    manifest = json.loads((synthetic_store.path / "manifest.json").read_text())
    form = FORMS["store"]
    assert form.problems(json.dumps(manifest), file="m") == []
    manifest["counts"]["train"]["present"]["ecg"] = "many"
    del manifest["outcomes"]["deterioration"]["train"]["positive"]
    assert [one.field for one in form.problems(json.dumps(manifest), file="m")] == [
        "counts.train.present.ecg",
        "outcomes.deterioration.train.positive",
    ]


def test_a_history_holds_numbers_alone():
    form = FORMS["history"]
    assert form.problems('{"epoch": 1, "loss": 0.5}', file="h") == []
    (found,) = form.problems('{"epoch": 1, "subject": "10001"}', file="h")
    assert (found.field, found.expected) == ("subject", "a number")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("results.jsonl", "results"),
        ("losses.jsonl", "comparisons"),
        ("missing_query.jsonl", "results"),
        ("history.jsonl", "history"),
        ("run.toml", "run"),
        ("benchmark.json", "benchmark"),
        ("manifest.json", "store"),
        *((f"{name}.jsonl", name) for name in ROWS),
    ],
)
def test_a_file_has_the_form_of_its_name(file: str, name: str):
    form = form_of_file(file)
    assert form is not None
    assert form.name == name


@pytest.mark.parametrize("file", ["checksums.jsonl", "notes.txt", "store.jsonl", "run.jsonl"])
def test_a_file_of_another_kind_has_no_form(file: str):
    assert form_of_file(file) is None

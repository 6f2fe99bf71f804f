"""The files of a bundle give the data of a report again, without what may not be shared."""

import json
from dataclasses import fields, replace

import pytest

from clinical_symile.errors import DataError
from clinical_symile.reporting.report_data import REPORT_TYPES, ReportData
from clinical_symile.reporting.report_files import (
    is_report_file,
    read_report_files,
    report_files,
    shareable_data,
)
from tests.helpers.report_data import FIRST, made_data, with_all_that_is_told, with_all_there_is
from tests.reporting.test_cohort_counts import MANIFEST
from tests.reporting.test_results import SKIPPED

DATA = replace(
    with_all_that_is_told(with_all_there_is()),
    cohort=MANIFEST,
    notes=["3 samples have no label."],
    unscored=[replace(SKIPPED, reason="only 4 subjects have it.")],
)


def test_every_field_of_a_report_comes_back_from_its_files():
    shared = shareable_data(DATA)
    files = report_files(shared)
    back = read_report_files(files, where="b")
    for field in fields(ReportData):
        before, after = getattr(shared, field.name), getattr(back, field.name)
        assert json.dumps(before, default=vars) == json.dumps(after, default=vars), field.name
    assert all(is_report_file(name, shared.tasks) for name in files)
    assert not is_report_file("tasks/other.json", shared.tasks)
    assert report_files(back) == files


def test_a_field_of_a_report_is_in_a_file_or_left_out_on_purpose():
    in_tables = {"results", "comparisons", "losses", "seeds", "ranks", "methods_compared"}
    in_tables |= {"net_benefit_differences", "settings", "masks", "results_by_rule", "unscored"}
    in_tables |= {"above_best", "analysis", "robustness"}
    assert {one.name for one in fields(ReportData)} == in_tables | {*REPORT_TYPES} | {"gallery"}


def test_examples_small_numbers_and_folders_stay():
    weights = "/home/ann/secret/densenet.safetensors"
    record = {**DATA.runs[0], "definition": {"encoders": {"cxr": {"weights": weights}}}}
    record["definition"]["objective"] = {"name": "lab:Own", "table": "secret/costs.csv"}
    shared = shareable_data(replace(DATA, runs=[record]))
    assert shared.gallery == ()
    assert shared.notes == ["<10 samples have no label."]
    assert shared.unscored[0].reason == "only <10 subjects have it."
    text = b"".join(report_files(shared).values()).decode()
    assert "densenet.safetensors" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("report_data.json", b"[]", "report_data.json: is no object"),
        ("report_data.json", b"{}", "has no tasks; has no notes"),
        (f"tasks/{FIRST}.json", b"\xff", "is no text in UTF-8"),
        (f"tasks/{FIRST}.json", b"{", "is no object"),
        ("results.jsonl", b"{}\n", "results.jsonl, line 1: a result of another version"),
        ("masks.jsonl", None, "masks.jsonl: is missing"),
    ],
)
def test_files_of_another_form_are_refused(name: str, content: bytes | None, words: str):
    files = report_files(shareable_data(made_data(cohort=MANIFEST)))
    if content is None:
        del files[name]
    else:
        files[name] = content
    with pytest.raises(DataError, match=words) as refused:
        read_report_files(files, where="b.zip")
    assert str(refused.value).startswith("b.zip: ")


def test_a_diagnostic_comes_back_without_a_direction():
    table = {"kind": "diagnostic", "primary": "gap", "inputs": ["cxr", "ecg"]}
    data = replace(shareable_data(DATA), tasks={**DATA.tasks, "diagnostic/gap": table})
    back = read_report_files(report_files(data), where="b")
    assert back.tasks["diagnostic/gap"] == {**table, "higher_is_better": None}
    assert [*back.diagnostics] == ["diagnostic/gap"]

"""Which comparisons are primary: named in full, and set before results are known."""

import json
from pathlib import Path

import pytest

from clinical_symile.benchmarking.primary import primary_comparisons, task_and_pattern
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.task_selection import EvaluationTask, with_patterns

TASK = "retrieval/cxr_given_ecg_labs"
ONE, OTHER = f"{TASK}:without-ecg", f"{TASK}:complete"


@pytest.fixture
def tasks(catalog: Catalog) -> list[EvaluationTask]:
    read = read_task(catalog, TASK), read_task(catalog, "diagnostic/gap")
    retrieval, diagnostic = read
    return [with_patterns(retrieval, ["complete", "without-ecg"]), diagnostic]  # pyright: ignore[reportArgumentType, reportReturnType]


def _recorded(out: Path, **values: object) -> None:
    types = {"report": "benchmark", "store": ".", "description": "", "runs": [], "notes": []}
    record = {**types, "definitions": {}, "versions": {}, "elapsed_s": 1.0, **values}
    (out / "benchmark.json").write_text(json.dumps(record), encoding="utf-8")


def test_names_are_kept_in_their_order_once_each(tasks: list[EvaluationTask], tmp_path: Path):
    assert primary_comparisons([ONE, OTHER, ONE], tasks, out=tmp_path) == (ONE, OTHER)
    assert primary_comparisons(None, tasks, out=tmp_path) == ()
    assert task_and_pattern(ONE) == (TASK, "without-ecg")


def test_all_wrong_names_are_refused_at_once(tasks: list[EvaluationTask], tmp_path: Path):
    wrong = [
        TASK,
        f"{TASK}:without-egc",
        "retrieval/cxr_given_ecg:complete",
        "diagnostic/gap:complete",
    ]
    with pytest.raises(DefinitionError) as refused:
        primary_comparisons([ONE, *wrong], tasks, out=tmp_path)
    sentences = [str(problem) for problem in refused.value.problems]
    assert len(sentences) == 4
    assert "has no pattern; expected a task and a pattern" in sentences[0]
    assert "did you mean 'without-ecg'?" in sentences[1]
    assert (
        f"unknown evaluated task 'retrieval/cxr_given_ecg'; did you mean '{TASK}'?" in sentences[2]
    )
    assert "unknown evaluated task 'diagnostic/gap'" in sentences[3]
    assert {problem.code for problem in refused.value.problems} == {"CS-F032"}


@pytest.mark.parametrize("recorded", [{}, {"primary": None}, {"primary": []}])
def test_nothing_becomes_primary_after_results(
    recorded: dict, tasks: list[EvaluationTask], tmp_path: Path
):
    _recorded(tmp_path, **recorded)
    assert primary_comparisons(None, tasks, out=tmp_path) == ()
    with pytest.raises(DefinitionError, match=r"primary comparisons are none; .*, not retrieval/"):
        primary_comparisons([ONE], tasks, out=tmp_path)


def test_a_benchmark_keeps_its_primary_comparisons(tasks: list[EvaluationTask], tmp_path: Path):
    _recorded(tmp_path, primary=[ONE, OTHER])
    assert primary_comparisons(None, tasks, out=tmp_path) == (ONE, OTHER)
    assert primary_comparisons([OTHER, ONE], tasks, out=tmp_path) == (OTHER, ONE)
    with pytest.raises(DefinitionError, match=f"are {ONE}, {OTHER}; expected the same, not none"):
        primary_comparisons([], tasks, out=tmp_path)
    fewer = [with_patterns(tasks[0], ["complete"])]
    with pytest.raises(DefinitionError, match="unknown pattern 'without-ecg'"):
        primary_comparisons(None, fewer, out=tmp_path)

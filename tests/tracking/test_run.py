from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.provenance import now, provenance
from clinical_symile.tracking.results import Result, SkippedResult
from clinical_symile.tracking.run import Run
from tests.tracking.test_results import RESULT, UNSCORED

TASK = RESULT.task


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "runs" / "symile-0")
    made.write_metadata({"name": made.name, "seed": 0, "definition": {"dim": 8, "weights": None}})
    return made


def _outcome(*above: int) -> pd.DataFrame:
    return pd.DataFrame({"row": range(len(above)), "above": above, "tied": 0})


def _write(
    run: Run,
    *results: Result,
    task: str = TASK,
    unscored: tuple[SkippedResult, ...] = (),
    above: tuple[int, ...] = (0, 1),
    tuned: bool = False,
) -> None:
    outcomes = {row.missingness: _outcome(*above) for row in results}
    run.write_evaluation(
        task,
        results=results,
        unscored=unscored,
        outcomes=outcomes,
        tuning=outcomes if tuned else {},
        candidates=pd.DataFrame({"query": [0, 0], "candidate": [0, 1]}),
    )


def test_a_record_is_read_as_it_was_written_but_for_none(run: Run) -> None:
    assert run.metadata == {"name": "symile-0", "seed": 0, "definition": {"dim": 8}}


def test_a_run_is_finished_once_its_record_says_so(run: Run, tmp_path: Path) -> None:
    assert not Run(tmp_path / "nothing").is_finished
    assert not run.is_finished
    run.write_metadata({**run.metadata, "finished": now()})
    assert run.is_finished


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a run: it has no run\.toml\. Give the folder that"):
        _ = Run(tmp_path).metadata


def test_a_broken_record_is_told(run: Run) -> None:
    (run.path / "run.toml").write_text("name = ")
    with pytest.raises(DataError, match=r"run\.toml: not valid TOML: .* Train again\."):
        _ = run.metadata


def test_a_history_is_read_as_it_was_written(run: Run) -> None:
    assert run.history == []
    history = [{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 1e-300}]
    run.write_history(history)
    assert run.history == history


def test_a_run_that_was_not_evaluated_has_no_results(run: Run) -> None:
    assert (run.results, run.unscored) == ([], [])
    with pytest.raises(DataError, match=r"has no outcomes of task 'a/b' under 'complete'\. Run"):
        run.outcome("a/b", "complete")


def test_what_came_of_a_task_is_read_as_it_was_written(run: Run) -> None:
    _write(run, RESULT, unscored=(UNSCORED,), above=(3, 0, 1))
    assert run.results == [RESULT]
    assert run.unscored == [UNSCORED]
    pd.testing.assert_frame_equal(run.outcome(TASK, "mcar-30"), _outcome(3, 0, 1))
    lists = pd.read_parquet(run.path / "candidates" / f"{TASK}.parquet")
    assert lists.to_dict("list") == {"query": [0, 0], "candidate": [0, 1]}


def test_evaluating_a_pattern_again_replaces_it_and_nothing_else(run: Run) -> None:
    complete = replace(RESULT, missingness="complete")
    other = replace(RESULT, task="retrieval/other")
    _write(run, RESULT, replace(RESULT, metric="recall_at_5"), complete)
    _write(run, other, task="retrieval/other")
    again = replace(RESULT, value=0.5)
    _write(run, again, above=(1, 1))
    assert run.results == [complete, other, again]
    assert run.outcome(TASK, "mcar-30")["above"].tolist() == [1, 1]
    assert run.outcome(TASK, "complete")["above"].tolist() == [0, 1]


def test_a_pattern_is_either_scored_or_unscored(run: Run) -> None:
    reason = replace(UNSCORED, task=TASK, missingness="mcar-30")
    _write(run, RESULT)
    _write(run, unscored=(reason,))
    assert (run.results, run.unscored) == ([], [reason])
    _write(run, RESULT)
    assert (run.results, run.unscored) == ([RESULT], [])


def test_tuning_predictions_of_another_model_do_not_outlive_a_re_evaluation(run: Run) -> None:
    complete = replace(RESULT, missingness="complete")
    _write(run, RESULT, complete, tuned=True)
    _write(run, RESULT)
    assert run.tuning_outcome(TASK, "mcar-30") is None
    assert run.tuning_outcome(TASK, "complete") is not None


def test_tables_of_patterns_that_are_dropped_go_with_their_rows(run: Run) -> None:
    complete = replace(RESULT, missingness="complete")
    other = replace(RESULT, task=f"{TASK}/deeper", missingness="complete")
    _write(run, other, task=other.task, tuned=True)
    _write(run, RESULT, complete, tuned=True)
    _write(run, replace(RESULT, digest="another"), tuned=True)
    for folder in ("outcomes", "tuning"):
        there = (run.path / folder / TASK).rglob("*.parquet")
        names = {path.relative_to(run.path / folder / TASK).as_posix() for path in there}
        assert names == {"mcar-30.parquet", "deeper/complete.parquet"}


def test_a_file_that_is_not_whole_never_takes_the_name(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: pd.DataFrame, path: Path, *, index: bool) -> None:
        path.write_bytes(b"PAR1")
        raise KeyboardInterrupt

    _write(run, RESULT)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", half)
    with pytest.raises(KeyboardInterrupt):
        _write(run, replace(RESULT, value=0.5), above=(9, 9))
    assert run.results == [RESULT]
    assert run.outcome(TASK, "mcar-30")["above"].tolist() == [0, 1]


def test_a_record_that_cannot_be_written_leaves_the_one_before(run: Run) -> None:
    before = run.metadata
    with pytest.raises(TypeError):
        run.write_metadata({**before, "finished": object()})
    assert run.metadata == before


def test_provenance_names_the_versions_that_ran() -> None:
    versions = provenance()["versions"]
    assert versions["torch"]
    assert versions["clinical-symile"]
    assert versions["python"].startswith("3.")


def test_what_was_scored_by_a_table_that_is_another_by_now_is_not_kept(run: Run) -> None:
    ours = replace(RESULT, missingness="mask-ours", digest=f"{RESULT.digest}.before")
    _write(run, RESULT, ours)
    run.write_evaluation(
        TASK,
        results=[RESULT],
        unscored=[],
        outcomes={RESULT.missingness: _outcome(0, 1)},
        tuning={},
        candidates=pd.DataFrame(),
        outdated={"mask-ours"},
    )
    assert run.results == [RESULT]
    assert not (run.path / "outcomes" / TASK / "mask-ours.parquet").exists()

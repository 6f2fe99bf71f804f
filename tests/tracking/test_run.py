from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.errors import DataError, RenamedWordWarning, UncheckedFilesWarning
from clinical_symile.tracking.provenance import now, provenance
from clinical_symile.tracking.results import Result, SkippedResult
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import MlflowCopy
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
    assert run.results == [again, complete, other]
    assert run.outcome(TASK, "mcar-30")["above"].tolist() == [1, 1]
    assert run.outcome(TASK, "complete")["above"].tolist() == [0, 1]


def test_results_by_rule_are_kept_beside_the_results_and_replaced_with_them(run: Run) -> None:
    def write(value: float) -> None:
        run.write_evaluation(
            TASK,
            results=[replace(RESULT, value=value, missing_query="marginalize", bank_size=512)],
            unscored=[],
            outcomes={RESULT.missingness: _outcome(0, 1)},
            candidates=pd.DataFrame(),
            by_rule=[replace(RESULT, value=value / 2, missing_query="drop")],
        )

    assert run.results_by_rule == []
    write(0.4)
    assert [(row.missing_query, row.value) for row in run.results_by_rule] == [("drop", 0.2)]
    write(0.6)
    assert [(row.missing_query, row.value) for row in run.results_by_rule] == [("drop", 0.3)]
    _write(run, RESULT)
    assert run.results_by_rule == []


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


# A run as version 0.1 wrote it.
_RUN_OF_0_1 = """\
name = "symile-0"
task = "pretraining/symile"
task_digest = "819c492d72cdf308"
cohort = "synthetic"
store_digest = "7b1d4160a06f082f"
seed = 0
version = "0.1.0"
started = "2026-11-28T13:17:50+00:00"
finished = "2026-11-28T13:18:39+00:00"

[versions]
python = "3.11.7"
clinical-symile = "0.1.0"

[definition]
kind = "pretraining"
absent = "omit"
"""
_RESULT_OF_0_1 = (
    '{"run": "symile-0", "cohort": "synthetic", "task": "classification/deterioration", '
    '"split": "held_out", "missingness": "complete", "metric": "auroc", "value": 0.7, '
    '"low": 0.6, "high": 0.8, "interval": "bca", "chance": 0.5, "n_samples": 120, '
    '"n_subjects": 90, "hidden": {"ecg": 0.0}, "mask": "0123", "seed": 0, "digest": "e50afbb8"}\n'
)


def test_a_run_of_version_0_1_opens(tmp_path: Path) -> None:
    run = Run(tmp_path / "symile-0")
    task = "classification/deterioration"
    (run.path / "told" / "classification").mkdir(parents=True)
    (run.path / "told" / f"{task}.digest").write_text("9cc5")
    (run.path / "run.toml").write_text(_RUN_OF_0_1)
    (run.path / "history.jsonl").write_text('{"epoch": 1, "step": 18, "loss": 8.5}\n')
    (run.path / "results.jsonl").write_text(_RESULT_OF_0_1)
    (run.path / "unscored.jsonl").write_text("")
    assert run.is_trained
    assert run.is_finished
    assert run.mlflow_copy is None
    with pytest.warns(RenamedWordWarning, match=r"the folder 'told/' is called 'analysis/'"):
        assert run.analysis_digest(task) == "9cc5"
    with pytest.warns(UncheckedFilesWarning, match="as a run of version 0.2.1 and before"):
        snapshot = run.snapshot()
    assert (snapshot.cohort, snapshot.results[0].value) == ("synthetic", 0.7)
    assert snapshot.history == [{"epoch": 1, "step": 18, "loss": 8.5}]
    run.write_analysis_digest(task, "new")
    assert run.analysis_digest(task) == "new"
    assert not (run.path / "told" / f"{task}.digest").exists()


def test_the_record_says_where_the_mlflow_copy_is_and_moves_with_its_database(
    run: Run, tmp_path: Path
) -> None:
    database = tmp_path.resolve() / "mlflow.db"
    copy = MlflowCopy(tracking_uri=f"sqlite:///{database}", experiment="synthetic", run_id="42")
    before = run.metadata
    run.write_mlflow_copy(copy)
    assert run.mlflow_copy == copy
    assert run.metadata == before
    assert str(tmp_path) not in (run.path / "run.toml").read_text()
    run.write_metadata({**before, "finished": now()})
    assert run.mlflow_copy == copy
    (tmp_path / "runs").rename(tmp_path / "moved")
    moved = Run(tmp_path / "moved" / "symile-0").mlflow_copy
    assert moved is not None
    assert moved.tracking_uri == f"sqlite:///{database}"


def test_a_table_that_is_no_record_of_a_copy_is_refused(run: Run) -> None:
    with (run.path / "run.toml").open("a") as file:
        file.write('[mlflow]\nrun_id = "42"\n')
    with pytest.raises(DataError, match=r"\[mlflow\] has run_id; expected the texts experiment"):
        _ = run.mlflow_copy


def test_a_notebook_shows_the_record_of_a_run_escaped(run: Run) -> None:
    run.write_metadata({"name": run.name, "seed": 0, "task": "<b>x</b>", "cohort": "synthetic"})
    shown = run._repr_html_()
    assert "run symile-0" in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
    assert "<b>" not in shown
    assert str(run.path) not in shown


def test_a_notebook_shows_a_folder_that_is_no_run_yet(tmp_path: Path) -> None:
    assert "<td>finished</td><td>no</td>" in Run(tmp_path / "new")._repr_html_()

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from clinical_symile.api.verification import verify_folder
from clinical_symile.benchmarking.comparisons import compare_runs
from clinical_symile.benchmarking.finalize import STAGES
from clinical_symile.benchmarking.run import complete_benchmark
from clinical_symile.benchmarking.spec import BenchmarkSpec, plan_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluation.references import evaluate_baseline, evaluate_oracle
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.evaluation.task_selection import applicable_tasks, run_name
from clinical_symile.files import lock_folder, write_bytes
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.stats.multiple_testing import holm
from clinical_symile.tracking.benchmark_tables import TriedSetting
from clinical_symile.tracking.checksums import CHECKSUMS_FILE
from clinical_symile.tracking.progress import ProgressBar
from clinical_symile.tracking.results import Comparison, Result, read_rows
from clinical_symile.tracking.run import Run
from tests.helpers.quick import with_few_resamples_everywhere
from tests.helpers.synthetic import TINY, quiet

TASKS = ("retrieval/cxr_given_ecg_labs", "classification/deterioration")
RUNS = ("symile-0", "clip-0")
SPEC = BenchmarkSpec(
    cohort="synthetic",
    tasks=TASKS,
    baselines=(),
    primary=("retrieval/cxr_given_ecg_labs:without-ecg", "retrieval/cxr_given_ecg_labs:complete"),
    generate=("subjects=60",),
    overrides=(*TINY, "epochs=1"),
    accelerator="cpu",
)


@pytest.fixture(scope="module")
def again(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Benchmark]:
    """A function that runs the same small benchmark in the same folder.

    The folder has the store and its raw files already: `prepare` has tests of its own.
    """
    out = tmp_path_factory.mktemp("benchmark")
    for name in ("source", "store"):
        shutil.copytree(synthetic_store.path.parent / name, out / name)

    def run(bar: ProgressBar = quiet) -> Benchmark:
        with with_few_resamples_everywhere() as patched:
            patched.delenv("MLFLOW_TRACKING_URI", raising=False)
            state = torch.get_rng_state()
            done = complete_benchmark(SPEC, catalog=catalog, out=out, bar=bar)
            assert torch.equal(torch.get_rng_state(), state), "drew from the global generator"
            return done

    return run


@pytest.fixture(scope="module")
def made(again: Callable[..., Benchmark]) -> Benchmark:
    return again()


def test_a_benchmark_leaves_its_files(made: Benchmark) -> None:
    files = ("results.jsonl", "comparisons.jsonl", "report.html", "mlflow.db")
    assert all((made.out / name).stat().st_size for name in files)
    for name in RUNS:
        run = Run(made.out / "runs" / name)
        assert run.is_finished
        assert run.weights.is_file()
    assert made.synced.problem is None
    assert made.synced.uri.endswith("mlflow.db")
    assert not list(made.out.rglob("*.partial"))


def test_a_fresh_benchmark_is_intact_with_its_mlflow_files(made: Benchmark) -> None:
    assert list((made.out / "mlartifacts").rglob("run.toml"))
    found = verify_folder(made.out)
    assert found.is_intact, str(found)
    assert not found.unlisted


def test_every_task_pattern_and_metric_has_a_number_for_every_run_and_the_oracle(
    made: Benchmark,
) -> None:
    results = read_rows(made.out / "results.jsonl", Result)
    assert results == made.results
    found = {(r.run, r.task, r.missingness, r.metric) for r in results}
    expected = {
        (run, task.name, pattern, metric)
        for run in (*RUNS, "oracle")
        for task in made.tasks
        for pattern in task.missingness
        for metric in task.metrics
    }
    assert [task.name for task in made.tasks] == list(TASKS)
    assert found == expected
    assert len(results) == len(expected)
    assert made.unscored == []


def test_all_runs_answered_the_same_questions(made: Benchmark) -> None:
    for task in TASKS:
        assert len({result.digest for result in made.results if result.task == task}) == 1


def test_the_oracle_is_better_than_chance(made: Benchmark) -> None:
    for result in made.results:
        if result.run == "oracle" and result.missingness == "complete":
            assert result.chance is None or result.metric == "brier" or result.value > result.chance


def test_runs_of_the_same_seed_are_compared_under_every_pattern(made: Benchmark) -> None:
    comparisons = read_rows(made.out / "comparisons.jsonl", Comparison)
    assert comparisons == made.comparisons
    values = {
        (result.run, result.task, result.missingness): result.value
        for result in made.results
        for task in made.tasks
        if (result.task, result.metric) == (task.name, task.primary)
    }
    assert len(comparisons) == sum(len(task.missingness) for task in made.tasks)
    for row in comparisons:
        assert (row.run, row.baseline) == RUNS
        of_run, of_baseline = [values[r, row.task, row.missingness] for r in RUNS]
        assert row.difference == pytest.approx(of_run - of_baseline)
        assert row.low <= row.difference <= row.high  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]


def test_primary_comparisons_are_a_family_of_their_own(made: Benchmark) -> None:
    comparisons = read_rows(made.out / "comparisons.jsonl", Comparison)
    cells = {tuple(name.split(":")) for name in SPEC.primary or ()}
    primary = [row for row in comparisons if (row.task, row.missingness) in cells]
    others = [row for row in comparisons if row not in primary and row.p_value is not None]
    assert len(primary) == 2
    assert {row.family for row in primary} == {
        "2 primary tests: 1 pair of runs, 1 task, 2 patterns"
    }
    for rows in (primary, others):
        adjusted = holm([row.p_value for row in rows if row.p_value is not None])
        assert [row.p_holm for row in rows] == pytest.approx(adjusted)
    assert primary[0].family not in {row.family for row in others}


def test_what_is_primary_is_not_changed_once_results_are_known(
    made: Benchmark, catalog: Catalog
) -> None:
    before = (made.out / "benchmark.json").read_bytes()
    for other in ((), (f"{TASKS[1]}:complete",)):
        with pytest.raises(DefinitionError, match="the results of this benchmark are known"):
            complete_benchmark(
                replace(SPEC, primary=other), catalog=catalog, out=made.out, bar=quiet
            )
    assert (made.out / "benchmark.json").read_bytes() == before


def test_no_sample_or_subject_is_in_what_leaves_the_folder(made: Benchmark) -> None:
    page = (made.out / "report.html").read_text()
    samples = made.store.samples
    for column in ("sample", "subject"):
        assert not any(str(number) in page for number in samples[column].unique())


def test_a_second_time_nothing_is_done_again_and_every_step_shows_how_far_it_is(
    made: Benchmark, again: Callable[..., Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("embedded again")

    def state() -> dict[Path, int]:
        kept = [made.out / "source", made.out / "store", made.out / "runs"]
        paths = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
        # The oracle's own numbers cost nothing and are written each time, with their checksums.
        oracle = [made.out / "runs" / "oracle" / name for name in ("oracle.json", CHECKSUMS_FILE)]
        return {path: path.stat().st_mtime_ns for path in paths if path not in oracle}

    steps: dict[str, tuple[int, int]] = {}

    @contextmanager
    def bar(label: str) -> Iterator[Callable[[int, int], None]]:
        steps[label] = (0, 0)
        yield lambda done, total: steps.__setitem__(label, (done, total))

    before, results = state(), (made.out / "results.jsonl").read_bytes()
    monkeypatch.setattr("clinical_symile.evaluation.runner.embed_rows", refuse)
    second = again(bar)
    assert state() == before
    assert (made.out / "results.jsonl").read_bytes() == results
    assert second.results == made.results
    assert second.comparisons == made.comparisons
    for stage in STAGES:
        done, total = steps[stage.name]
        assert done == total > 0, stage.name
    assert "Write the report" in steps


def _copy_before_evaluation(run: Run, folder: Path) -> Run:
    """A copy of a run as its training left it."""
    copied = Run(folder / run.name)
    with lock_folder(copied.path):
        for name in ("run.toml", "model.safetensors"):
            write_bytes(copied.path / name, (run.path / name).read_bytes())
    return copied


def test_a_task_that_changed_is_evaluated_again(made: Benchmark, tmp_path: Path) -> None:
    run = made.runs[0]
    copied = _copy_before_evaluation(run, tmp_path)
    task = made.tasks[0].model_copy(update={"missingness": ("complete",)})
    evaluate_run(copied, [task], store=made.store)
    before = copied.results
    evaluate_run(copied, [task], store=made.store)
    assert copied.results == before
    evaluate_run(copied, [task.model_copy(update={"seed": 1})], store=made.store)
    assert {row.digest for row in copied.results} != {row.digest for row in before}
    assert len(copied.results) == len(before)


def test_a_reason_for_no_number_stands_only_while_the_task_does(
    made: Benchmark, tmp_path: Path
) -> None:
    table = made.store.samples.assign(outcome_deterioration=0.0)
    store = replace(made.store, samples=table)
    copied = _copy_before_evaluation(made.runs[0], tmp_path)
    task = made.tasks[1].model_copy(update={"missingness": ("complete",)})
    evaluate_run(copied, [task], store=store)
    assert [row.missingness for row in copied.unscored] == ["complete"]
    changed = task.model_copy(update={"seed": 1})
    evaluate_run(copied, [changed], store=made.store)
    assert copied.unscored == []
    assert {row.missingness for row in copied.results} == {"complete"}


def test_a_run_of_another_store_is_not_evaluated(made: Benchmark) -> None:
    other = replace(made.store, manifest={**made.store.manifest, "digest": "another"})
    with pytest.raises(DataError, match="whose subjects may have been in training"):
        evaluate_run(made.runs[0], made.tasks, store=other)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            {"baseline": "prevalence", "store_digest": "x"},
            "has results of baseline 'prevalence'; .* by `clinical-symile benchmark --baselines ",
        ),
        (
            {"predictions": "theirs.csv", "store_digest": "x"},
            "has results of predictions 'theirs.csv'; .* `clinical-symile evaluate --predictions",
        ),
        (
            {"task": "pretraining/x", "cohort": "x", "seed": 0, "definition": {"dim": 8}},
            r"run\.toml: has no store_digest; expected the record that training wrote",
        ),
    ],
)
def test_a_folder_that_was_not_trained_is_told_for_what_it_is(
    record: dict[str, Any], said: str, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    run.write_metadata(record)
    with pytest.raises(DataError, match=said):
        evaluate_run(run, [], store=synthetic_store)


def test_a_run_without_weights_is_not_evaluated(made: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes((made.runs[0].path / "run.toml").read_bytes())
    with pytest.raises(
        DataError, match=r"model\.safetensors: cannot be read as this run's weights"
    ):
        evaluate_run(Run(tmp_path), made.tasks, store=made.store)


def test_nobody_knows_the_best_answers_of_a_real_cohort(made: Benchmark, tmp_path: Path) -> None:
    real = replace(made.store, manifest={**made.store.manifest, "generator": None})
    assert evaluate_oracle(made.tasks, store=real, run=Run(tmp_path / "oracle")) is None
    assert not (tmp_path / "oracle").exists()


def test_runs_of_different_seeds_are_not_compared(made: Benchmark, tmp_path: Path) -> None:
    other = Run(tmp_path / "clip-1")
    other.write_metadata({**made.runs[1].metadata, "seed": 1})
    assert compare_runs([made.runs[0], other], made.tasks, store=made.store) == []


@pytest.mark.parametrize(
    ("task", "name"),
    [("pretraining/symile", "symile-3"), ("pretraining/paper/clip", "paper-clip-3")],
)
def test_a_run_is_named_after_its_task_and_seed(task: str, name: str) -> None:
    assert run_name(task, 3) == name


def test_patterns_of_tasks_stand_for_those_that_apply(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    tasks, notes = applicable_tasks(
        catalog, synthetic_store, patterns=("classification/*", "!*/more/*")
    )
    assert [task.name for task in tasks] == ["classification/deterioration"]
    assert any(
        "'classification/cardiomegaly' is not applicable to cohort 'synthetic'" in n for n in notes
    )
    tasks, notes = applicable_tasks(
        catalog, synthetic_store, patterns=("retrieval/*", "!*/more/*", "*")
    )
    assert len([task for task in tasks if task.kind == "retrieval"]) == 3
    assert len({task.name for task in tasks}) == len(tasks)
    assert not any("/more/" in task.name for task in tasks)
    assert len(set(notes)) == len(notes)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("retrieval/cxr_given_ecg_lab", "did you mean 'retrieval/cxr_given_ecg_labs'"),
        (
            "pretraining/symile",
            "is of kind pretraining; expected retrieval, classification or diagnostic",
        ),
        ("classification/cardiomegaly", "is not applicable to cohort 'synthetic': it codes no"),
        ("nothing/*", r"no task among nothing/\*. `clinical-symile list tasks`"),
    ],
)
def test_a_task_that_cannot_be_scored_is_told(
    pattern: str, message: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    with pytest.raises(DefinitionError, match=message):
        applicable_tasks(catalog, synthetic_store, patterns=(pattern,))


def test_baselines_are_scored_beside_on_tasks_that_predict(made: Benchmark, tmp_path: Path) -> None:
    learned = parse_task(made.runs[0].metadata["definition"], name="pretraining/x", where="x")
    assert isinstance(learned, Pretraining)
    run = Run(tmp_path / "labs-logistic")
    ask = partial(
        evaluate_baseline, "labs-logistic", store=made.store, run=run, pretraining=[learned]
    )
    assert not ask([task for task in made.tasks if task.kind == "retrieval"])
    assert ask(made.tasks)
    (task,) = [task for task in made.tasks if task.kind == "classification"]
    known = {row.missingness for row in (*run.results, *run.unscored)}
    assert known == set(task.missingness)
    assert {row.task for row in run.results} == {task.name}
    assert any("no labs are available" in row.reason for row in run.unscored)
    assert not run.is_trained
    before, written = run.results, (run.path / "results.jsonl").stat().st_mtime_ns
    assert ask(made.tasks)
    assert run.results == before
    assert (run.path / "results.jsonl").stat().st_mtime_ns == written
    compared = compare_runs([made.runs[0], run], made.tasks, store=made.store)
    assert {row.missingness for row in compared} == {row.missingness for row in run.results}
    assert compare_runs([run, run], made.tasks, store=made.store) == []


def test_an_unknown_baseline_is_told_before_anything_is_made(
    catalog: Catalog, tmp_path: Path
) -> None:
    with pytest.raises(DefinitionError, match="unknown baseline 'prevalense'; did you mean"):
        complete_benchmark(
            replace(SPEC, baselines=("prevalense",)),
            catalog=catalog,
            out=tmp_path / "out",
            bar=quiet,
        )
    assert not (tmp_path / "out").exists()


def test_a_rule_for_missing_query_modalities_replaces_the_objectives_own(
    made: Benchmark, tmp_path: Path
) -> None:
    run = next(run for run in made.runs if run.name.startswith("symile"))
    copied = _copy_before_evaluation(run, tmp_path)
    task = made.tasks[0].model_copy(update={"missingness": ("without-ecg",)})

    evaluate_run(copied, [task], store=made.store, missing_query="drop")
    assert {(row.missing_query, row.bank_size) for row in copied.results} == {("drop", None)}
    assert not (copied.path / "bank.safetensors").exists()

    evaluate_run(copied, [task], store=made.store)
    assert {row.missing_query for row in copied.results} == {"marginalize"}
    kept = (copied.path / "bank.safetensors").read_bytes()
    assert [row.missing_query for row in copied.results_by_rule] == [
        "marginalize",
        "mean_bank",
        "drop",
    ]
    before = copied.results
    evaluate_run(copied, [task], store=made.store)
    assert copied.results == before
    assert (copied.path / "bank.safetensors").read_bytes() == kept


def test_a_rule_is_refused_where_the_score_has_none_or_the_rule_is_unknown(
    made: Benchmark,
) -> None:
    clip = next(run for run in made.runs if run.name.startswith("clip"))
    with pytest.raises(DefinitionError, match="no rule for a missing query modality"):
        evaluate_run(clip, made.tasks, store=made.store, missing_query="drop")
    symile = next(run for run in made.runs if run.name.startswith("symile"))
    with pytest.raises(DefinitionError, match="did you mean 'marginalize'"):
        evaluate_run(symile, made.tasks, store=made.store, missing_query="marginalise")


@pytest.mark.slow
def test_the_best_setting_on_tuning_is_evaluated_with_every_seed(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    for name in ("source", "store"):
        shutil.copytree(synthetic_store.path.parent / name, tmp_path / name)
    spec = replace(SPEC, pretraining=("pretraining/clip",), seeds=(0, 1), tune=True)
    assert plan_benchmark(spec, catalog=catalog).n_trainings == 4
    with with_few_resamples_everywhere() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        made = complete_benchmark(spec, catalog=catalog, out=tmp_path, bar=quiet)
    rows = read_rows(tmp_path / "settings.jsonl", TriedSetting)
    (chosen,) = [row for row in rows if row.is_best]
    assert chosen.value == max(row.value for row in rows)
    runs = [Run(tmp_path / "runs" / f"clip-{seed}") for seed in (0, 1)]
    temperature = chosen.changes.get("objective.temperature", 0.07)
    definitions = [run.metadata["definition"]["objective"]["temperature"] for run in runs]
    assert definitions == [temperature] * 2
    best = Run(tmp_path / "settings" / str(chosen.setting) / "clip-0")
    assert runs[0].weights.read_bytes() == best.weights.read_bytes()
    assert {run.name for run in made.runs} == {"clip-0", "clip-1", "oracle"}
    assert verify_folder(tmp_path).is_intact

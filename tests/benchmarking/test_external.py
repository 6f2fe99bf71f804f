from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from clinical_symile.benchmarking import external
from clinical_symile.benchmarking.external import ExternalRun, add_embeddings, add_predictions
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.evaluate import Evaluation, evaluate
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.tracking.run import Run
from tests.helpers.synthetic import quiet

DETERIORATION = "classification/deterioration"


pytestmark = pytest.mark.usefixtures("few_resamples", "no_analyses", "no_mlflow_copies")


@pytest.fixture
def predictor(synthetic_store: CohortStore, generator: torch.Generator) -> EmbeddingPredictor:
    """Random embeddings of the whole store."""
    present = torch.from_numpy(synthetic_store.present.copy())
    z = torch.nn.functional.normalize(torch.randn(len(present), 3, 6, generator=generator), dim=2)
    embeddings = Embeddings(
        z * present[:, :, None], present, synthetic_store.modalities, torch.arange(len(present))
    )
    clip = resolve("clip", OBJECTIVES)()
    return EmbeddingPredictor(embeddings, clip, synthetic_store)


def _evaluated(
    catalog: Catalog, name: str, predictor: EmbeddingPredictor, store: CohortStore
) -> Evaluation:
    task = read_task(catalog, name)
    assert isinstance(task, Retrieval | Classification)
    return evaluate(task, predictor, store=store, run="own", seed=0)


def _predictions(made: Evaluation, store: CohortStore, *patterns: str) -> pd.DataFrame:
    samples = store.samples["sample"].to_numpy()
    kept = ["sample", "missingness", "probability", "label"]
    frames = pd.concat(
        frame.assign(sample=samples[frame["row"]], missingness=pattern)
        for pattern, frame in made.outcomes.items()
        if pattern in patterns
    )
    return frames.drop(columns=[name for name in frames if name not in kept])


@pytest.fixture
def include(
    catalog: Catalog, tmp_path: Path, synthetic_store: CohortStore
) -> Callable[..., Benchmark]:
    """A function that writes predictions to a file and includes them."""

    def include(table: pd.DataFrame, **options: object) -> Benchmark:
        table.to_csv(tmp_path / "theirs.csv", index=False)
        arguments = {
            "name": "theirs",
            "out": tmp_path / "out",
            "store": synthetic_store.path,
            "tasks": (DETERIORATION,),
            "catalog": catalog,
            "bar": quiet,
        }
        target = ExternalRun(**{**arguments, **options})
        return add_predictions(tmp_path / "theirs.csv", target)

    return include


def test_a_runs_own_predictions_give_its_own_numbers(
    include: Callable, catalog: Catalog, predictor: EmbeddingPredictor, synthetic_store: CohortStore
) -> None:
    own = _evaluated(catalog, DETERIORATION, predictor, synthetic_store)
    made = include(_predictions(own, synthetic_store, "complete", "only-ecg"))
    theirs = [row for row in made.results if row.run == "theirs"]
    expected = [row for row in own.results if row.missingness in ("complete", "only-ecg")]
    assert [replace(row, run="own", seed=0) for row in theirs] == expected
    assert {row.missingness for row in made.unscored if row.run == "theirs"} == set(
        own.outcomes
    ) - {"complete", "only-ecg"}
    assert "the file has no predictions of deterioration" in made.unscored[0].reason
    assert made.report.is_file()
    assert any(row.run == "oracle" for row in made.results)


def test_predictions_that_do_not_say_what_is_missing_are_made_with_all_that_is_there(
    include: Callable, catalog: Catalog, predictor: EmbeddingPredictor, synthetic_store: CohortStore
) -> None:
    own = _evaluated(catalog, DETERIORATION, predictor, synthetic_store)
    table = _predictions(own, synthetic_store, "complete").drop(columns=["missingness", "label"])
    made = include(table)
    assert {row.missingness for row in made.results if row.run == "theirs"} == {"complete"}


def test_patterns_that_no_task_asks_are_noted(
    include: Callable, catalog: Catalog, predictor: EmbeddingPredictor, synthetic_store: CohortStore
) -> None:
    own = _evaluated(catalog, DETERIORATION, predictor, synthetic_store)
    table = _predictions(own, synthetic_store, "complete")
    unasked = table.assign(missingness="mcar-10")
    made = include(pd.concat([table, unasked]))
    assert made.notes == [
        "theirs.csv: no task has the pattern 'mcar-10'; its predictions are not used."
    ]
    with pytest.raises(DataError, match=r"predictions are under patterns that no task has"):
        include(unasked, name="unasked")


def test_a_benchmark_with_patterns_of_its_own_asks_others_under_these(
    include: Callable,
    catalog: Catalog,
    predictor: EmbeddingPredictor,
    synthetic_store: CohortStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = _evaluated(catalog, DETERIORATION, predictor, synthetic_store)
    table = read_task(catalog, DETERIORATION).model_dump(mode="json", exclude={"name"})
    record = {
        **{"report": "benchmark", "runs": [], "notes": [], "description": ""},
        "definitions": {DETERIORATION: table | {"missingness": ["only-ecg"]}},
    }
    monkeypatch.setattr(external, "earlier_record", lambda out, store: record)
    made = include(_predictions(own, synthetic_store, "complete", "only-ecg"))
    assert [task.missingness for task in made.tasks] == [("only-ecg",)]
    assert {row.missingness for row in made.results if row.run == "theirs"} == {"only-ecg"}


def test_without_a_store_a_file_under_other_patterns_is_refused_and_mended_in_its_place(
    include: Callable, rng: np.random.Generator
) -> None:
    table = _carebench(rng).rename(columns={"predictions": "probability", "labels": "label"})
    table = table.assign(sample=range(len(table)))
    with pytest.raises(DataError, match=r"no task has, without-ecg; expected observed\."):
        include(table.assign(missingness="without-ecg"), store=None)
    assert include(table, store=None).results


def test_a_refused_file_leaves_nothing_in_a_new_folder_and_changes_no_other(
    include: Callable,
    rng: np.random.Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, out = _carebench(rng), tmp_path / "out"
    table = table.rename(columns={"predictions": "probability", "labels": "label"})
    table = table.assign(sample=range(len(table)))
    for wrong in (table.assign(missingness="without-ecg"), table[:1]):
        with pytest.raises(DataError):
            include(wrong, store=None)
        assert not out.exists()
    include(table, store=None)

    def content() -> dict[Path, bytes]:  # an empty lock stays on purpose
        files = [path for path in out.rglob("*") if path.suffix != ".lock"]
        return {path: path.read_bytes() for path in files if path.is_file()}

    before = content()
    with pytest.raises(DataError, match="labels are not those"):
        include(table.assign(label=1 - table["label"]), store=None, name="second")

    def refuse(run: Run, *arguments: object, **named: object) -> None:
        assert run.path.is_dir()
        raise DataError("the second task is refused")

    monkeypatch.setattr(external, "evaluate_and_save", refuse)
    with pytest.raises(DataError, match="second task"):
        include(table, store=None, name="second")
    assert content() == before


def test_a_runs_own_embeddings_give_its_own_numbers(
    catalog: Catalog, tmp_path: Path, predictor: EmbeddingPredictor, synthetic_store: CohortStore
) -> None:
    rows, columns = np.nonzero(synthetic_store.present)
    table = pd.DataFrame(
        {
            "sample": synthetic_store.samples["sample"].to_numpy()[rows],
            "modality": np.array(synthetic_store.modalities)[columns],
            # Of any length: they are brought to length 1.
            "embedding": list(3 * predictor.embeddings.z.numpy()[rows, columns]),
        }
    )
    table.to_parquet(tmp_path / "theirs.parquet")
    tasks = ("retrieval/cxr_given_ecg_labs", DETERIORATION)
    target = ExternalRun(
        name="theirs",
        out=tmp_path / "out",
        store=synthetic_store.path,
        catalog=catalog,
        tasks=tasks,
        bar=quiet,
    )
    made = add_embeddings(tmp_path / "theirs.parquet", target, objective="clip")
    for task in tasks:
        own = _evaluated(catalog, task, predictor, synthetic_store)
        theirs = [row for row in made.results if (row.run, row.task) == ("theirs", task)]
        assert [row.metric for row in theirs] == [row.metric for row in own.results]
        for row, expected in zip(theirs, own.results, strict=True):
            assert row.value == pytest.approx(expected.value, abs=0.02)
            assert row.digest == expected.digest
    table.iloc[1:].to_parquet(tmp_path / "less.parquet")
    with pytest.raises(DataError, match="1 recordings of the store have no embedding"):
        add_embeddings(tmp_path / "less.parquet", replace(target, name="less"), objective="clip")


def test_embeddings_are_compared_by_direction_or_as_they_are_as_the_objective_or_the_user_says(
    catalog: Catalog,
    tmp_path: Path,
    synthetic_store: CohortStore,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, columns = np.nonzero(synthetic_store.present)
    z = rng.normal(size=(len(rows), 6)) * rng.uniform(0.1, 10, size=(len(rows), 1))
    table = pd.DataFrame(
        {
            "sample": synthetic_store.samples["sample"].to_numpy()[rows],
            "modality": np.array(synthetic_store.modalities)[columns],
            "embedding": list(z.astype(np.float32)),
        }
    )
    table.to_parquet(tmp_path / "theirs.parquet")
    task = "retrieval/cxr_given_ecg_labs"

    def numbers(name: str, similarity: str | None) -> tuple[list[float], list[str]]:
        target = ExternalRun(
            name=name,
            out=tmp_path / name,
            store=synthetic_store.path,
            catalog=catalog,
            tasks=(task,),
            bar=quiet,
        )
        file = tmp_path / "theirs.parquet"
        made = add_embeddings(file, target, objective="clip", similarity=similarity)
        assert target.run.metadata["similarity"] in ("cosine", "dot")
        return [row.value for row in made.results if row.run == name], list(made.notes)

    def own(z: np.ndarray) -> list[float]:
        whole = np.zeros((*synthetic_store.present.shape, 6), dtype=np.float32)
        whole[rows, columns] = z
        embeddings = Embeddings(
            torch.from_numpy(whole),
            torch.from_numpy(synthetic_store.present.copy()),
            synthetic_store.modalities,
            torch.arange(len(whole)),
        )
        predictor = EmbeddingPredictor(embeddings, resolve("clip", OBJECTIVES)(), synthetic_store)
        made = _evaluated(catalog, task, predictor, synthetic_store)
        return [row.value for row in made.results]

    unit = own(z / np.linalg.norm(z, axis=1, keepdims=True))
    as_given = own(z.astype(np.float32))
    assert unit != as_given
    values, notes = numbers("declared", None)
    assert values == unit
    assert any("were brought to length 1" in note for note in notes)
    assert numbers("cosine", "cosine")[0] == unit
    values, notes = numbers("dot", "dot")
    assert values == as_given
    assert not any("length 1" in note for note in notes)
    monkeypatch.setattr(resolve("clip", OBJECTIVES), "similarity", "dot")
    assert numbers("own", None)[0] == as_given


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda t: t.assign(sample=t["sample"] + 10**9),
            "are of samples that are not in the store",
        ),
        (lambda t: t.iloc[3:], "lacks 3 of"),
        (lambda t: t.assign(label=1 - t["label"]), "labels are not those of the store"),
        (
            lambda t: t.rename(columns={"probability": "predictions", "label": "labels"}).drop(
                columns="sample"
            ),
            "does not say which sample a row is of",
        ),
        (
            lambda t: pd.DataFrame(
                {"subject_id": range(9), "predicted_boolean_probability": 0.5}
            ).assign(subject_id=10000001),
            "8 of 9 predictions repeat a sample of an earlier row",
        ),
    ],
)
def test_a_file_that_does_not_fit_the_store_is_refused_with_counts(
    spoil: Callable,
    message: str,
    include: Callable,
    catalog: Catalog,
    predictor: EmbeddingPredictor,
    synthetic_store: CohortStore,
) -> None:
    own = _evaluated(catalog, DETERIORATION, predictor, synthetic_store)
    with pytest.raises(DataError, match=message):
        include(spoil(_predictions(own, synthetic_store, "complete")))


def test_several_predictions_of_one_sample_at_several_times_are_refused(
    include: Callable, synthetic_store: CohortStore
) -> None:
    people, times = np.unique(synthetic_store.samples["subject"], return_counts=True)
    once = people[times == 1][0]
    table = pd.DataFrame({"subject_id": [once] * 2, "predicted_boolean_probability": 0.5})
    table["prediction_time"] = pd.to_datetime(["2020-01-01", "2020-02-01"])
    with pytest.raises(DataError, match="1 of 2 predictions are of a sample that already has one"):
        include(table)


def _carebench(rng: np.random.Generator, n: int = 120) -> pd.DataFrame:
    label = rng.integers(2, size=n).astype(float)
    risk = 1 / (1 + np.exp(-(label - 0.5 + rng.normal(size=n))))
    return pd.DataFrame(
        {
            "predictions": risk,
            "labels": label,
            "meta_age": rng.integers(20, 90, n),
            "meta_has_cxr": rng.random(n) < 0.6,
        }
    )


def test_files_as_they_are_get_a_report_and_are_compared_without_a_store(
    include: Callable, rng: np.random.Generator
) -> None:
    table = _carebench(rng)
    first = include(table, store=None, name="first")
    assert "does not say which subject a row belongs to" in first.notes[0]
    assert {row.run for row in first.results} == {"first"}
    other = table.assign(predictions=rng.random(len(table)))
    second = include(other, store=None, name="second")
    assert [run.name for run in second.runs] == ["first", "second"]
    (comparison,) = second.comparisons
    assert (comparison.run, comparison.baseline) == ("first", "second")
    assert comparison.low > 0
    page = second.report.read_text(encoding="utf-8")
    assert "first" in page
    assert "second" in page
    # The same file again changes nothing; another one under the same name is refused.
    assert include(other, store=None, name="second").results == second.results
    with pytest.raises(DataError, match=r"a run of predictions 'theirs.csv' has this name"):
        include(table, store=None, name="second")
    with pytest.raises(DataError, match="labels are not those of the store"):
        include(table.assign(labels=1 - table["labels"]), store=None, name="third")
    with pytest.raises(DataError, match="has a run 'second', whose name differs from 'Second'"):
        include(table, store=None, name="Second")


def test_how_many_labels_are_unknown_is_noted_once(
    include: Callable, rng: np.random.Generator
) -> None:
    table = _carebench(rng).assign(subject_id=range(120))
    table.loc[:29, "labels"] = np.nan
    note = "30 of 120 samples have no label of outcome, and are not scored on it."
    assert include(table, store=None, name="first").notes == [note]
    assert include(table, store=None, name="second").notes == [note]


def test_labels_in_words_are_refused_beside_a_store_and_leave_none_without(
    include: Callable, synthetic_store: CohortStore, rng: np.random.Generator, tmp_path: Path
) -> None:
    ids = synthetic_store.samples["sample"]
    table = pd.DataFrame({"sample": ids, "probability": 0.5, "label": "no"})
    for store in (synthetic_store.path, None):
        with pytest.raises(DataError, match=f"{len(ids)} of {len(ids)} predictions have a label"):
            include(table, store=store)
    assert not (tmp_path / "out" / "store").exists()
    label = rng.integers(2, size=len(ids))
    assert include(table.assign(label=label), store=None).results


def test_a_file_of_meds_goes_in_as_it_is(include: Callable, rng: np.random.Generator) -> None:
    table = _carebench(rng)
    made = include(
        pd.DataFrame(
            {
                "subject_id": np.arange(len(table)) // 2,
                "prediction_time": pd.date_range("2020-01-01", periods=len(table)).astype(str),
                "boolean_value": table["labels"] == 1,
                "predicted_boolean_value": table["predictions"] > 0.5,
                "predicted_boolean_probability": table["predictions"],
            }
        ),
        store=None,
    )
    assert made.notes == []
    (row,) = [row for row in made.results if row.metric == "auroc"]
    assert (row.n_samples, row.n_subjects) == (120, 60)
    assert made.report.is_file()


def test_several_labels_are_scored_together_and_each_for_itself(
    include: Callable, rng: np.random.Generator
) -> None:
    label = rng.integers(2, size=(100, 2)).astype(float)
    made = include(
        pd.DataFrame(
            {f"label_class_{n}": label[:, n] for n in range(2)}
            | {f"pred_class_{n}": 0.3 * label[:, n] + 0.5 * rng.random(100) for n in range(2)}
        ),
        store=None,
    )
    metrics = {row.metric for row in made.results}
    assert {"auroc", "auroc/class_0", "auroc/class_1"} <= metrics


def test_people_of_a_prediction_file_are_resampled_whole(
    include: Callable, rng: np.random.Generator
) -> None:
    once = _carebench(rng, 60)
    # Each person three times over, the same each time: no more is known than of one third.
    table = pd.concat([once] * 3, ignore_index=True).assign(subject_id=[*range(60)] * 3)
    made = include(table, store=None)
    assert made.notes == []
    (whole,) = [row for row in made.results if row.metric == "auroc"]
    assert (whole.n_samples, whole.n_subjects) == (180, 60)
    narrow = include(table.drop(columns="subject_id"), store=None, out=made.out.parent / "other")
    (rows,) = [row for row in narrow.results if row.metric == "auroc"]
    assert whole.value == pytest.approx(rows.value, abs=1e-12)
    assert whole.high - whole.low > 1.3 * (rows.high - rows.low)


def test_a_benchmark_of_another_store_takes_no_more_runs(
    include: Callable,
    catalog: Catalog,
    rng: np.random.Generator,
    synthetic_store: CohortStore,
    predictor: EmbeddingPredictor,
) -> None:
    include(_carebench(rng), store=None)
    own = _evaluated(catalog, DETERIORATION, predictor, synthetic_store)
    with pytest.raises(DataError, match="holds a benchmark of store"):
        include(_predictions(own, synthetic_store, "complete"))

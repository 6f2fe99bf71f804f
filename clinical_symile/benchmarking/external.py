"""A model of others among the runs of a benchmark: the same questions, statistics and report."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinical_symile import __version__
from clinical_symile.benchmarking.finalize import ProgressBar, finalize_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.external.files import Predictions, read_embeddings, read_predictions
from clinical_symile.data.external.store import (
    NO_PEOPLE,
    external_task,
    unknown_labels,
    write_store,
)
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.evaluation.predictors.embedding import Scorer
from clinical_symile.evaluation.predictors.external import embedding_scorer, prediction_scorer
from clinical_symile.evaluation.predictors.external_pairs import pair_scorer, read_scores
from clinical_symile.evaluation.runner import evaluate_and_save
from clinical_symile.evaluation.task_selection import EvaluationTask, applicable_tasks
from clinical_symile.reporting.benchmark_report import RECORD, Benchmark, benchmark_tasks
from clinical_symile.reporting.result_lookup import ORACLE
from clinical_symile.tracking.run import Run, now, provenance

REPORT = "benchmark"


def add_predictions(
    file: Path,
    *,
    name: str,
    out: Path,
    store: Path | None,
    catalog: Catalog,
    tasks: Sequence[str],
    bar: ProgressBar,
) -> Benchmark:
    """Score a file of predictions, compare it with the runs that are there, render the report.

    Args:
        file: the predictions.
        name: of the run.
        out: the folder of a benchmark, or a new one.
        store: whose samples they are of; None for those of the first file that came to `out`.
        catalog: where definitions are.
        tasks: names or patterns of tasks; not looked at without a store of one's own.
        bar: makes a progress bar.

    Raises:
        DataError: the file or the folder is not as it must be.
    """
    started, predictions = time.perf_counter(), read_predictions(file)
    notes: list[str] = []
    if store is None:
        opened = _own_store(predictions, out)
        asked: list[EvaluationTask] = [external_task(opened)]
        if not predictions.has("subject"):
            notes.append(NO_PEOPLE.format(file=predictions.file))
        notes += unknown_labels(opened)
    else:
        opened = open_store(store)
        applicable, unfit = applicable_tasks(catalog, opened, patterns=tasks)
        asked = [task for task in applicable if isinstance(task, Classification)]
        if predictions.has("outcome"):
            told = set(predictions.table["outcome"])
            asked = [task for task in asked if set(getattr(task, "outcomes", ())) <= told]
        notes += [note for note in unfit if not any("*" in pattern for pattern in tasks)]
    outcomes = tuple(dict.fromkeys(o for t in asked for o in getattr(t, "outcomes", ())))
    patterns = {pattern for task in asked for pattern in task.missingness}
    scorer, unused = prediction_scorer(predictions, opened, outcomes=outcomes, patterns=patterns)
    about = {
        "predictions": predictions.file,
        "sha256": predictions.sha256,
        "form": predictions.form,
        "rows": len(predictions.table),
    }
    return _include(
        scorer,
        asked,
        about,
        name=name,
        out=out,
        store=opened,
        catalog=catalog,
        notes=[*notes, *unused],
        started=started,
        bar=bar,
    )


def add_embeddings(
    file: Path,
    *,
    name: str,
    objective: str,
    out: Path,
    store: Path,
    catalog: Catalog,
    tasks: Sequence[str],
    bar: ProgressBar,
) -> Benchmark:
    """Score a file of embeddings on all tasks, as `add_predictions` does.

    Args:
        file: the embeddings.
        name: of the run.
        objective: by whose score candidates are ranked.
        out: the folder of a benchmark, or a new one.
        store: whose samples they are of.
        catalog: where definitions are.
        tasks: names or patterns of tasks.
        bar: makes a progress bar.

    Raises:
        DataError: the file or the folder is not as it must be.
    """
    started, vectors, opened = time.perf_counter(), read_embeddings(file), open_store(store)
    scorer = embedding_scorer(vectors, opened, objective=objective)
    embedded = set(vectors.modalities)
    applicable, notes = applicable_tasks(catalog, opened, patterns=tasks)
    asked = [task for task in applicable if set(task.modalities) <= embedded]
    notes = [note for note in notes if not any("*" in pattern for pattern in tasks)]
    notes += [
        f"{vectors.file}: has no embeddings of all that task '{task.name}' asks for."
        for task in applicable
        if task not in asked
    ]
    about = {
        "embeddings": vectors.file,
        "sha256": vectors.sha256,
        "scored_as": objective,
        "rows": len(vectors.z),
    }
    return _include(
        scorer,
        asked,
        about,
        name=name,
        out=out,
        store=opened,
        catalog=catalog,
        notes=notes,
        started=started,
        bar=bar,
    )


def add_scores(
    file: Path,
    *,
    name: str,
    out: Path,
    store: Path,
    catalog: Catalog,
    tasks: Sequence[str],
    bar: ProgressBar,
) -> Benchmark:
    """Score a file of scores on one retrieval task, as `add_predictions` does.

    Args:
        file: the scores.
        name: of the run.
        out: the folder of a benchmark, or a new one.
        store: whose samples they are of.
        catalog: where definitions are.
        tasks: names or patterns of tasks, of which one is a retrieval.
        bar: makes a progress bar.

    Raises:
        DataError: the file or the folder is not as it must be.
    """
    started, scores, opened = time.perf_counter(), read_scores(file), open_store(store)
    applicable, _ = applicable_tasks(catalog, opened, patterns=tasks)
    asked = [task for task in applicable if isinstance(task, Retrieval)]
    if len(asked) != 1:
        raise DataError(
            f"{scores.file}: scores are of one retrieval task; {len(asked)} are asked about: "
            f"{', '.join(task.name for task in asked) or 'none'}. Name one with --tasks."
        )
    scorer, notes = pair_scorer(scores, asked[0], opened)
    about = {"scores": scores.file, "sha256": scores.sha256, "rows": len(scores.table)}
    return _include(
        scorer,
        asked,
        about,
        name=name,
        out=out,
        store=opened,
        catalog=catalog,
        notes=notes,
        started=started,
        bar=bar,
    )


def _own_store(predictions: Predictions, out: Path) -> CohortStore:
    if (out / "store" / "manifest.json").is_file():
        return open_store(out / "store")
    return write_store(predictions, out / "store")


def _include(
    scorer: Scorer,
    asked: Sequence[EvaluationTask],
    about: dict[str, Any],
    *,
    name: str,
    out: Path,
    store: CohortStore,
    catalog: Catalog,
    notes: list[str],
    started: float,
    bar: ProgressBar,
) -> Benchmark:
    if not asked:
        raise DataError(
            f"{about.get('predictions', about.get('embeddings'))}: no task asks about what it has. "
            "Name one with --tasks, or leave --store out if it has labels."
        )
    before = _before(out, store)
    tasks = {**benchmark_tasks(before, catalog=catalog), **{task.name: task for task in asked}}
    run = Run(out / "runs" / name)
    _write_record(run, about, store)
    with bar(f"Evaluate {name}") as progress:
        for number, task in enumerate(asked, start=1):
            evaluate_and_save(run, task, scorer, store, seed=0, missingness=None)
            progress(number, len(asked))
    others = [other for other in before["runs"] if other not in (name, ORACLE)]
    return finalize_benchmark(
        out,
        report=before["report"],
        catalog=catalog,
        store=store,
        runs=[*(Run(out / "runs" / other) for other in others), run],
        tasks=list(tasks.values()),
        notes=list(dict.fromkeys([*before["notes"], *notes])),
        description=before["description"],
        started=started,
        margin=before.get("margin"),
        bar=bar,
    )


def _before(out: Path, store: CohortStore) -> dict[str, Any]:
    """What the folder's record says, or one of an empty folder."""
    path = out / RECORD
    if not path.is_file():
        return {
            "report": REPORT,
            "runs": [],
            "definitions": {},
            "notes": [],
            "description": store.manifest["description"],
        }
    record = json.loads(path.read_text(encoding="utf-8"))
    other = open_store(Path(record["store"]))
    if other.digest != store.digest:
        raise DataError(
            f"{out}: holds a benchmark of store {other.digest} of cohort '{other.cohort}'; this is "
            f"store {store.digest} of '{store.cohort}'. Give another --out, or its store."
        )
    return record


def _write_record(run: Run, about: dict[str, Any], store: CohortStore) -> None:
    """The record of a run that was made elsewhere; that of the same file stays as it is."""
    if (run.path / "run.toml").is_file():
        record = run.record
        if "task" in record:
            raise DataError(
                f"{run.path}: a run that was trained here has this name. Give another --name."
            )
        same = {**about, "store_digest": store.digest}
        if all(record.get(key) == value for key, value in same.items()):
            return
    run.write_record(
        {
            "name": run.name,
            **about,
            "cohort": store.cohort,
            "store_digest": store.digest,
            "version": __version__,
            "started": now(),
            **provenance(),
            "finished": now(),
            "definition": {"description": "A model of others, by the file it left."},
        }
    )

"""Add an external model to a benchmark: evaluate its file, compare it with the runs, report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_symile import __version__
from clinical_symile.benchmarking.earlier import earlier_record, earlier_settings
from clinical_symile.benchmarking.external_run import ExternalRun, check_not_taken
from clinical_symile.benchmarking.finalize import EvaluatedRuns, finalize_benchmark
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.external.embeddings import read_embeddings
from clinical_symile.data.external.pair_scores import read_pair_scores
from clinical_symile.data.external.predictions import Predictions, read_predictions
from clinical_symile.data.external.store import (
    NO_SUBJECTS,
    external_task,
    is_prediction_store,
    unknown_labels,
    write_store,
)
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.evaluation.external_validation import (
    ExternalValidation,
    write_validation_record,
)
from clinical_symile.evaluation.predictors.base import Predictor
from clinical_symile.evaluation.predictors.external import (
    declared_similarity,
    external_embedding_predictor,
    external_risk_predictor,
)
from clinical_symile.evaluation.predictors.external_pairs import (
    external_pairs_predictor,
)
from clinical_symile.evaluation.runner import evaluate_and_save
from clinical_symile.evaluation.task_selection import EvaluationTask, applicable_tasks
from clinical_symile.files import lock_folder
from clinical_symile.registry.names import path_in
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.benchmark_report import Benchmark, benchmark_tasks
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.provenance import now, provenance
from clinical_symile.tracking.refusal import remove_if_refused
from clinical_symile.tracking.run import Run


@dataclass(frozen=True, kw_only=True, repr=False)
class _Submission:
    """An external model that was read from its file.

    Attributes:
        predictor: answers the tasks.
        store: the cohort that it is evaluated on.
        tasks: the tasks that its file answers.
        record: what `run.toml` says of the file.
        notes: what a reader must know besides.
    """

    predictor: Predictor
    store: CohortStore
    tasks: Sequence[EvaluationTask]
    record: dict[str, Any]
    notes: Sequence[str] = ()


def add_predictions(file: Path, target: ExternalRun) -> Benchmark:
    """Evaluate a file of predicted risks, compare it with the runs of a benchmark, and report.

    Args:
        file: the predictions.
        target: the run to write.

    Returns:
        The benchmark's results with the external model among them.

    Raises:
        DataError: the file is wrong, or the folder holds another store or a run of this name.
            Nothing of the file stays in the folder.
    """
    return _add(lambda: _read_predictions(file, target), target)


def _read_predictions(file: Path, target: ExternalRun) -> _Submission:
    """Read a file of predicted risks, and open its store or write it."""
    predictions = read_predictions(file)
    notes: list[str] = [*predictions.notes]
    record = {
        "predictions": predictions.file,
        "sha256": predictions.sha256,
        "form": predictions.form,
        "rows": len(predictions.table),
    }
    if target.store is None:
        check_not_taken(target.run, record)
        store = _own_store(predictions, target.out)
        tasks: list[EvaluationTask] = [external_task(store)]
        if not predictions.has("subject"):
            notes.append(NO_SUBJECTS.format(file=predictions.file))
        notes += unknown_labels(store)
    else:
        store = open_store(target.store)
        applicable, unfit = _applicable(target, store)
        tasks = [task for task in applicable if isinstance(task, Classification)]
        if predictions.has("outcome"):
            predicted = set(predictions.table["outcome"])
            tasks = [task for task in tasks if set(getattr(task, "outcomes", ())) <= predicted]
        notes += target.relevant(unfit)
    outcomes = tuple(dict.fromkeys(o for t in tasks for o in getattr(t, "outcomes", ())))
    patterns = {pattern for task in tasks for pattern in task.missingness}
    predictor, unused = external_risk_predictor(
        predictions, store, outcomes=outcomes, patterns=patterns
    )
    return _Submission(
        predictor=predictor, store=store, tasks=tasks, record=record, notes=[*notes, *unused]
    )


def add_embeddings(
    file: Path, target: ExternalRun, *, objective: str, similarity: str | None = None
) -> Benchmark:
    """Evaluate a file of embeddings, as `add_predictions` does with predictions.

    Args:
        file: the embeddings.
        target: the run to write.
        objective: name of the objective whose score ranks the candidates.
        similarity: `cosine` to bring vectors to length 1, `dot` to use them as they are; None for
            what the objective declares.

    Raises:
        DataError: the file or the folder is not as expected.
    """
    return _add(lambda: _read_embeddings(file, target, objective, similarity), target)


def _read_embeddings(
    file: Path, target: ExternalRun, objective: str, similarity: str | None
) -> _Submission:
    """Read a file of embeddings, and open its store."""
    embeddings, store = read_embeddings(file), target.opened_store("Embeddings")
    similarity = similarity or declared_similarity(objective)
    record = {
        "embeddings": embeddings.file,
        "sha256": embeddings.sha256,
        "scored_as": objective,
        "similarity": similarity,
        "rows": len(embeddings.z),
    }
    predictor, scaled = external_embedding_predictor(
        embeddings, store, objective=objective, similarity=similarity
    )
    embedded = set(embeddings.modalities)
    applicable, notes = _applicable(target, store)
    tasks = [task for task in applicable if set(task.modalities) <= embedded]
    lacking = [
        f"{embeddings.file}: has no embeddings of all that task '{task.name}' asks for."
        for task in applicable
        if task not in tasks
    ]
    return _Submission(
        predictor=predictor,
        store=store,
        tasks=tasks,
        record=record,
        notes=[*embeddings.notes, *scaled, *target.relevant(notes), *lacking],
    )


def add_scores(file: Path, target: ExternalRun) -> Benchmark:
    """Evaluate a file of query-candidate scores on one retrieval task, as `add_predictions` does.

    Args:
        file: the scores.
        target: the run to write; exactly one of its tasks is a retrieval.

    Raises:
        DataError: the file or the folder is not as expected.
    """
    return _add(lambda: _read_scores(file, target), target)


def _read_scores(file: Path, target: ExternalRun) -> _Submission:
    """Read a file of scores, and open its store."""
    scores, store = read_pair_scores(file), target.opened_store("Scores")
    record = {"scores": scores.file, "sha256": scores.sha256, "rows": len(scores.table)}
    applicable, _ = _applicable(target, store)
    tasks = [task for task in applicable if isinstance(task, Retrieval)]
    if len(tasks) != 1:
        raise DataError(
            f"{scores.file}: scores belong to one retrieval task; {len(tasks)} were named: "
            f"{', '.join(task.name for task in tasks) or 'none'}. Name one with --tasks.",
            code="CS-M013",
        )
    predictor, notes = external_pairs_predictor(scores, tasks[0], store)
    return _Submission(
        predictor=predictor,
        store=store,
        tasks=tasks,
        record=record,
        notes=[*scores.notes, *notes],
    )


def add_run_of_another_cohort(validation: ExternalValidation, target: ExternalRun) -> Benchmark:
    """Evaluate a run that was trained on another cohort, as `add_predictions` does with a file.

    Args:
        validation: the run, and the cohort as its encoders read it.
        target: the run to write.

    Raises:
        DataError: the folder is of another store, or samples count as missing that the store has.
    """
    return _add(lambda: _read_validation(validation, target), target)


def _read_validation(validation: ExternalValidation, target: ExternalRun) -> _Submission:
    """Choose the tasks of a run of another cohort, and write its record."""
    store, before = validation.store, open_store(validation.store.path)
    if store.digest != before.digest:
        raise DataError(
            f"{before.path}: some samples have no analyte that '{validation.run.name}' reads, so "
            "that its results are of other samples than those of other runs. Leave --out out.",
            code="CS-R016",
        )
    applicable, unfit = _applicable(target, store)
    tasks = [task for task in applicable if set(task.modalities) <= {*validation.modalities}]
    write_validation_record(validation, target.run)
    return _Submission(
        predictor=validation.predictor(),
        store=store,
        tasks=tasks,
        record=validation.record(),
        notes=[*validation.notes, *target.relevant(unfit)],
    )


def _applicable(target: ExternalRun, store: CohortStore) -> tuple[list[EvaluationTask], list[str]]:
    """Select tasks as `applicable_tasks` does, with the patterns of the benchmark that has them."""
    tasks, notes = applicable_tasks(target.catalog, store, patterns=target.tasks)
    known = benchmark_tasks(earlier_record(target.out, store), catalog=target.catalog)
    return [known.get(task.name, task) for task in tasks], notes


def _own_store(predictions: Predictions, out: Path) -> CohortStore:
    """Open the store that the first file of predictions defined, or define it."""
    if (out / "store" / "manifest.json").is_file():
        return open_store(out / "store")
    return write_store(predictions, out / "store")


def _add(read: Callable[[], _Submission], target: ExternalRun) -> Benchmark:
    """Evaluate a submission, then finish the benchmark with the runs that are already there."""
    with lock_folder(target.out):
        with remove_if_refused(target.out, target.out / "store", target.run.path):
            evaluated = _evaluate(read(), target)
        return finalize_benchmark(evaluated, catalog=target.catalog, bar=target.bar)


def _evaluate(submission: _Submission, target: ExternalRun) -> EvaluatedRuns:
    """Evaluate a submission on its tasks; return it with the runs that are already there."""
    store, tasks, record = submission.store, submission.tasks, submission.record
    if not tasks:
        raise DataError(
            f"{next(iter(record.values()))}: no task asks about what it has. Name one with "
            "--tasks, or leave --store out if the file has labels.",
            code="CS-M013",
        )
    before = earlier_record(target.out, store)
    check_not_taken(target.run, record)
    check_folder(target.run.path)
    known = benchmark_tasks(before, catalog=target.catalog)
    _write_record(target.run, record, store)
    with target.bar(f"Evaluate {target.name}") as progress:
        for number, task in enumerate(tasks, start=1):
            evaluate_and_save(
                target.run, task, submission.predictor, store, seed=0, missingness=None
            )
            progress(number, len(tasks))
    if all(row.low is None for row in target.run.results):
        _refuse_without_results(target, submission)
    others = [name for name in before["runs"] if name not in (target.name, ORACLE)]
    return EvaluatedRuns(
        out=target.out,
        report=before["report"],
        store=store,
        runs=(*(Run(path_in(target.out / "runs", name)) for name in others), target.run),
        tasks=tuple({**known, **{task.name: task for task in tasks}}.values()),
        notes=tuple(dict.fromkeys([*before["notes"], *submission.notes])),
        description=before["description"],
        margin=before.get("margin"),
        primary=tuple(before.get("primary") or ()),
        started=target.started,
        tried=earlier_settings(target.out),
    )


def _refuse_without_results(target: ExternalRun, submission: _Submission) -> None:
    """Refuse a file without any interval, with the reasons.

    Raises:
        DataError: always.
    """
    run = target.run
    reasons = dict.fromkeys(
        reason
        for reason in (
            *(row.no_interval for row in run.results),
            *(row.reason for row in run.unscored),
        )
        if reason
    )
    file, store = next(iter(submission.record.values())), submission.store
    rows = len(store.samples)
    n_subjects = len(store.samples["subject"].unique())
    about = (
        f"it has {_counted(rows, 'sample')} of {_counted(n_subjects, 'subject')}"
        if is_prediction_store(store)
        else f"the store has {_counted(n_subjects, 'subject')}"
    )
    problems = [f"{file}: no interval can be computed; {about}: {reason}" for reason in reasons]
    raise DataError(*problems, code="CS-M027")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _write_record(run: Run, about: dict[str, Any], store: CohortStore) -> None:
    """Write the record of an external model; that of the same file stays as it is."""
    if (run.path / "run.toml").is_file():
        record = run.metadata
        same = {**about, "store_digest": store.digest}
        if all(record.get(key) == value for key, value in same.items()):
            return
    run.write_metadata(
        {
            "name": run.name,
            **about,
            "cohort": store.cohort,
            "store_digest": store.digest,
            "version": __version__,
            "started": now(),
            **provenance(),
            "finished": now(),
            "definition": {"description": "An external model, evaluated from its file."},
        }
    )

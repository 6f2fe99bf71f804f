"""Evaluate trained runs, baselines and the oracle on tasks, and save the results.

Results with the same fingerprints as before are not computed again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.external.training_inputs import INPUTS_FILE, write_inputs
from clinical_symile.data.store import CohortStore
from clinical_symile.data.store_summary import write_summary
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluation.compare_query_rules import results_by_rule
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.predictors.bank import draw_bank, read_bank, write_bank
from clinical_symile.evaluation.predictors.base import Predictor
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.predictors.imputed_values import (
    ImputedPredictor,
    fit_imputed_values,
)
from clinical_symile.evaluation.predictors.training_embeddings import training_embeddings
from clinical_symile.evaluation.probes.base import Encoders
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.files import lock_folder
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.missing_query import RULES
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.registry.names import path_in
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.tracking.checksums import check_folder, missing_files
from clinical_symile.tracking.costs import evaluation_costs
from clinical_symile.tracking.progress import Progress, log_line
from clinical_symile.tracking.results import SkippedResult
from clinical_symile.tracking.run import Run
from clinical_symile.training.feature_cache import with_features
from clinical_symile.training.learner import Learner, load_learner

# The tables with rows of every task.
_TABLES = ("results.jsonl", "unscored.jsonl", "missing_query.jsonl")


def evaluate_run(
    run: Run,
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    missingness: Mapping[str, Sequence[str]] | None = None,
    missing_query: str | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Evaluate a trained run on tasks and save the results in its folder.

    Args:
        run: the run's folder.
        tasks: the tasks; one that the run has results of is skipped.
        store: the cohort that the run was trained on.
        missingness: by task, patterns instead of its own; these are always evaluated.
        missing_query: the rule for a missing query modality, instead of the objective's own; see
            `objectives.missing_query`.
        progress: called with tasks done and all tasks.

    Raises:
        DataError: the run was not trained, was trained on another store, is not finished, or has
            the name of the oracle or of a baseline; or its files were changed.
    """
    check_folder(run.path)
    record = training_record(run)
    check_run_name(run.name, where=str(run.path), advice="Rename the folder.")
    if record["store_digest"] != store.digest:
        raise DataError(
            f"{run.path}: was trained on store {record['store_digest']} of cohort "
            f"'{record['cohort']}'; this is store {store.digest} of '{store.cohort}', whose "
            "subjects may have been in training. Give the store that it was trained on; a store of "
            "another hospital needs a cohort of another name.",
            code="CS-R006",
        )
    if not run.is_finished:
        raise DataError(
            f"{run.path}: its training is not finished. Run the same `clinical-symile train` again "
            "to continue it.",
            code="CS-R005",
        )
    task = parse_task(record["definition"], name=record["task"], where=str(run.path / "run.toml"))
    assert isinstance(task, Pretraining)
    if not (run.path / INPUTS_FILE).is_file():
        with lock_folder(run.path):
            write_inputs(run.path, store)  # runs of version 0.2.0 have none
    learner = load_learner(run, task, store)
    set_missing_query(learner.objective, missing_query, run)
    with lock_folder(run.path):
        gone = missing_files(run.path)
        predictor: Predictor | None = None
        for number, evaluated in enumerate(tasks, start=1):
            unknown = [name for name in evaluated.modalities if name not in task.modalities]
            if unknown:
                skip_task(run, evaluated, store, unknown)
            elif missingness is not None or not is_evaluated(
                run, evaluated, store, gone, missing_query=_missing_query(learner, evaluated)
            ):
                if predictor is None:
                    with evaluation_costs(run, None):
                        predictor = trained_predictor(
                            run, task, learner, store, seed=record["seed"]
                        )
                patterns = None if missingness is None else missingness[evaluated.name]
                evaluate_and_save(run, evaluated, predictor, store, record["seed"], patterns)
            progress(number, len(tasks))


def set_missing_query(objective: Objective, rule: str | None, run: Run) -> None:
    """Replace an objective's rule for a missing query modality.

    Raises:
        DefinitionError: there is no such rule, or the objective's score has none.
    """
    if rule is None:
        return
    if rule not in RULES:
        raise DefinitionError(
            unknown_name_message(rule, dict.fromkeys(RULES), what="missing_query"), code="CS-F025"
        )
    if objective.missing_query is None:
        raise DefinitionError(
            f"{run.path}: its objective's score has no rule for a missing query modality; expected "
            "one whose score is a product, such as symile. Leave --missing-query out.",
            code="CS-F025",
        )
    objective.missing_query = rule


def trained_predictor(
    run: Run, task: Pretraining, learner: Learner, store: CohortStore, *, seed: int
) -> EmbeddingPredictor:
    """Embed the store by a run's encoders; a bank of train embeddings is kept with the run.

    Replacements are fitted to what the run's own training had, and the bank is drawn from it. There
    is none where a vector takes the place of a missing modality.
    """
    objective = learner.objective
    readable = with_features(store, learner.model)
    embeddings = embed_rows(learner.model, readable, np.arange(len(store.samples)))
    if embeddings.sets is not None:
        most = 2 ** len(embeddings.modalities) - 1
        log_line(
            f"{run.name}: its encoders depend on which modalities a sample has; all samples are "
            f"encoded once more for each set that a task leaves, at most {most} times"
        )
    encoders = Encoders(learner, store, run=run)
    if learner.model.panel is not None:
        fitted = cache(
            partial(fit_imputed_values, task, learner.model, embeddings, store, seed=seed)
        )
        return ImputedPredictor(embeddings, objective, store, encoders=encoders, fitted=fitted)
    training = cache(
        partial(training_embeddings, task, learner.model, embeddings, store, seed=seed)
    )
    predictor = EmbeddingPredictor(
        embeddings, objective, store, encoders=encoders, training=training
    )
    if predictor.missing_query in (None, "drop"):
        return predictor
    bank = read_bank(run.path, seed=seed)
    if bank is None:
        bank = draw_bank(training(), size=objective.bank_size, seed=seed)
        with lock_folder(run.path):
            write_bank(bank, run.path)
    return replace(predictor, bank=bank)


def _missing_query(learner: Learner, task: EvaluationTask) -> str | None:
    """Return the rule that a task's results record.

    None for classification, and where a vector takes the place of a missing modality.
    """
    way = learner.model.missing_modality
    fitted = learner.model.fit is not None
    has_replacement = fitted or hasattr(way, "substitute") or hasattr(way, "fill")
    if has_replacement or not isinstance(task, Retrieval):
        return None
    return learner.objective.missing_query


def training_record(run: Run) -> dict[str, Any]:
    """Return the metadata of a run that was trained or imported.

    Raises:
        DataError: the run was neither, or its record is incomplete.
    """
    record = run.metadata
    missing = {"task", "definition", "cohort", "store_digest", "seed"} - record.keys()
    if not missing:
        return record
    commands = {
        "baseline": "benchmark --baselines",
        "predictions": "evaluate --predictions",
        "embeddings": "evaluate --embeddings",
        "scores": "evaluate --scores",
    }
    for kind, command in commands.items():
        if kind in record:
            raise DataError(
                f"{run.path}: has results of {kind} '{record[kind]}'; expected a run that "
                f"`clinical-symile train` wrote. Evaluate this one by `clinical-symile {command} "
                f"{record[kind]}`.",
                code="CS-R007",
            )
    raise DataError(
        f"{run.path / 'run.toml'}: has no {', '.join(sorted(missing))}; expected the record that "
        "training wrote. Restore it, or remove the run's folder and train again.",
        code="CS-R003",
    )


def skip_task(run: Run, task: EvaluationTask, store: CohortStore, unknown: Sequence[str]) -> None:
    """Save the reason why a run is not evaluated on a task: modalities without an encoder."""
    about = {"run": run.name, "cohort": store.cohort, "task": task.name}
    reason = f"the run has no encoder for {', '.join(unknown)}, which the task needs."
    fingerprint = expected_fingerprints(task, store)
    unscored = [
        SkippedResult(
            **about,
            missingness=pattern,
            reason=reason,
            digest=fingerprint(pattern),
            code="CS-S009",
        )
        for pattern in task.missingness
    ]
    run.write_evaluation(
        task.name, results=[], unscored=unscored, outcomes={}, candidates=DataFrame()
    )


def is_evaluated(
    run: Run,
    task: EvaluationTask,
    store: CohortStore,
    gone: Collection[str],
    *,
    missing_query: str | None = None,
) -> bool:
    """Return True if the run has a result or a reason for each pattern of the current task.

    A result by another rule for missing query modalities does not count, and none does if a table
    of the task, or of all tasks, is among the files that are `gone`.
    """
    folders = {path_in(Path(folder), task.name).as_posix() for folder in ("outcomes", "tuning")}
    candidates = path_in(Path("candidates"), task.name, suffix=".parquet").as_posix()
    if any(file in (*_TABLES, candidates) or file.rpartition("/")[0] in folders for file in gone):
        return False
    expected = expected_fingerprints(task, store)
    known = {
        row.missingness
        for row in (*run.results, *run.unscored)
        if row.task == task.name
        and row.digest == expected(row.missingness)
        and (isinstance(row, SkippedResult) or row.missing_query == missing_query)
    }
    return set(task.missingness) <= known


def evaluate_and_save(
    run: Run,
    task: EvaluationTask,
    predictor: Predictor,
    store: CohortStore,
    seed: int,
    missingness: Sequence[str] | None,
) -> None:
    """Evaluate a model on one task and save the results, and what it cost, in a run's folder.

    Args:
        run: the run's folder.
        task: the task.
        predictor: the model.
        store: the cohort.
        seed: the seed of the model's training.
        missingness: patterns instead of the task's own.
    """
    with evaluation_costs(run, task.name, is_part=missingness is not None):
        made = evaluate(
            task,
            predictor,
            store=store,
            run=run.name,
            seed=seed,
            missingness=missingness,
            saw_labels=labels_seen(run),
        )
        by_rule = results_by_rule(
            task, predictor, store=store, run=run.name, seed=seed, missingness=missingness
        )
        expected = expected_fingerprints(task, store)
        write_summary(run.path, store)
        run.write_evaluation(
            task.name,
            results=made.results,
            unscored=made.unscored,
            outcomes=made.outcomes,
            tuning=made.tuning,
            candidates=made.candidates,
            by_rule=by_rule,
            outdated={
                row.missingness
                for row in (*run.results, *run.unscored)
                if row.task == task.name and row.digest != expected(row.missingness)
            },
        )


def labels_seen(run: Run) -> list[str]:
    """Return the outcomes whose labels a run's training read; empty for a run without training."""
    if not (run.path / "run.toml").is_file():
        return []
    return list(run.metadata.get("saw_labels", ()))

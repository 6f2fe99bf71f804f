"""Evaluate a run on another cohort than it was trained on: external validation.

Encoders, statistics and probes are those of the training cohort. Nothing is fitted to the other
cohort; only recalibration uses its tuning split, and says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from clinical_symile import __version__
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.external.training_inputs import (
    read_inputs,
    read_like_training,
    store_inputs,
    training_store,
)
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.predictors.imputed_values import ImputedPredictor
from clinical_symile.evaluation.probes.base import Encoders
from clinical_symile.evaluation.runner import (
    evaluate_and_save,
    set_missing_query,
    skip_task,
    trained_predictor,
    training_record,
)
from clinical_symile.evaluation.task_selection import TRAINED_ON, EvaluationTask
from clinical_symile.files import lock_folder
from clinical_symile.formatting import join_words
from clinical_symile.hashing import file_sha256
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.registry.names import path_in
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.costs import evaluation_costs
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.provenance import now, provenance
from clinical_symile.tracking.refusal import remove_if_refused
from clinical_symile.tracking.run import Run
from clinical_symile.training.feature_cache import with_features
from clinical_symile.training.learner import Learner, load_learner
from clinical_symile.training.start import ancestors, trained_on_another_store


@dataclass(frozen=True, repr=False)
class ExternalValidation:
    """A run that is ready to be evaluated on another cohort.

    Attributes:
        run: the run.
        store: the other cohort, as the run's encoders read it.
        modalities: those of the run.
        trained_on: name of the training cohort.
        seed: of the training.
        predictor: made when it is first needed.
        notes: how the cohorts differ, and how this was reconciled.
    """

    run: Run
    store: CohortStore
    modalities: tuple[str, ...]
    trained_on: str
    seed: int
    predictor: Callable[[], EmbeddingPredictor]
    notes: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The name of the run of the results; it has the training cohort's."""
        return f"{self.run.name}-from-{self.trained_on}"

    def record(self) -> dict[str, Any]:
        """Return what identifies the evaluated model."""
        return {
            "run": self.run.name,
            "trained_on": self.trained_on,
            "training_store_digest": self.run.metadata["store_digest"],
            "weights_sha256": file_sha256(self.run.weights),
            "store_digest": self.store.digest,
        }


def is_other_cohort(run: Run, store: CohortStore) -> bool:
    """Return True if a run was trained on another cohort than a store's."""
    record = run.metadata
    trained = "task" in record and "store_digest" in record
    return trained and record["store_digest"] != store.digest and record["cohort"] != store.cohort


def check_own_options(store: CohortStore, options: Mapping[str, Any]) -> None:
    """Refuse options that only another cohort than the run's has a use for.

    Args:
        store: of the run's own cohort.
        options: by name; None where not given.

    Raises:
        DataError: one is given.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise DataError(
            f"{', '.join(given)}: '{store.cohort}' is the cohort that the run was trained on, and "
            "its results are kept with it; expected none of these. Leave them out, or give the "
            "store of another cohort.",
            code="CS-F024",
        )


def open_validation(
    run: Run,
    store: CohortStore,
    *,
    training: CohortStore | None = None,
    missing_query: str | None = None,
) -> ExternalValidation:
    """Prepare the evaluation of a run on another cohort.

    Args:
        run: a finished run.
        store: the other cohort.
        training: the store that the run was trained on; None for its recorded place. Without it,
            tasks that fit a probe cannot be scored.
        missing_query: the rule for a missing query modality, instead of the objective's own.

    Raises:
        DataError: the run is not finished, its statistics are unknown, `training` is another store,
            its weights come from another store of this cohort, or the cohorts differ in what
            cannot be reconciled.
    """
    check_folder(run.path)
    record = training_record(run)
    if not run.is_finished:
        raise DataError(
            f"{run.path}: its training is not finished. Run the same `clinical-symile train` again "
            "to continue it.",
            code="CS-R005",
        )
    if training is not None and training.digest != record["store_digest"]:
        raise DataError(
            f"{training.path}: store {training.digest} of cohort '{training.cohort}'; expected "
            f"store {record['store_digest']}, which {run.path} was trained on. Name that one.",
            code="CS-R006",
        )
    before = ancestors(record)
    if other := trained_on_another_store(before, store):
        raise DataError(
            f"{run.path}: started from weights that were trained on store {other} of cohort "
            f"'{store.cohort}'; this is store {store.digest}, whose held-out subjects may have "
            "been in that training. Evaluate on that store, or on a cohort of another name.",
            code="CS-R006",
        )
    task = parse_task(record["definition"], name=record["task"], where=str(run.path / "run.toml"))
    assert isinstance(task, Pretraining)
    if training is None:
        inputs = read_inputs(run.path, store_digest=record["store_digest"])
        training = training_store(inputs, folder=run.path)
    else:
        inputs = store_inputs(training, folder=run.path)
    there, notes = read_like_training(store, inputs, task.modalities)
    about = (
        f"'{run.name}' {TRAINED_ON} '{record['cohort']}' and is evaluated on "
        f"'{store.cohort}', with the statistics and probes of '{record['cohort']}'."
    )
    if before:
        cohorts = join_words(
            [f"'{name}'" for name in dict.fromkeys(one["cohort"] for one in before)]
        )
        notes = [f"its weights started from a training on {cohorts}.", *notes]
    learner = load_learner(run, task, there)
    set_missing_query(learner.objective, missing_query, run)
    return ExternalValidation(
        run=run,
        store=there,
        modalities=task.modalities,
        trained_on=record["cohort"],
        seed=record["seed"],
        predictor=cache(
            lambda: _predictor(run, task, learner, there, training, seed=record["seed"])
        ),
        notes=(about, *notes),
    )


def evaluate_other_cohort(
    validation: ExternalValidation,
    tasks: Sequence[EvaluationTask],
    *,
    target: Run,
    missingness: Mapping[str, Sequence[str]] | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Evaluate a run on another cohort and save the results in a folder of their own.

    Args:
        validation: the run and the cohort.
        tasks: tasks of the other cohort.
        target: the folder of the results.
        missingness: by task, patterns instead of its own.
        progress: called with tasks done and all tasks.

    Raises:
        DataError: the folder holds another run.
    """
    store, seed = validation.store, validation.seed
    with lock_folder(target.path), remove_if_refused(target.path):
        check_folder(target.path)
        write_validation_record(validation, target)
        predictor: EmbeddingPredictor | None = None
        for number, task in enumerate(tasks, start=1):
            unknown = [name for name in task.modalities if name not in validation.modalities]
            if unknown:
                skip_task(target, task, store, unknown)
            else:
                patterns = None if missingness is None else missingness[task.name]
                if predictor is None:
                    with evaluation_costs(target, None):
                        predictor = validation.predictor()
                evaluate_and_save(target, task, predictor, store, seed, patterns)
            progress(number, len(tasks))


def write_validation_record(validation: ExternalValidation, target: Run) -> None:
    """Write `run.toml` of the results of an external validation.

    Raises:
        DataError: the folder holds another run.
    """
    same, store = validation.record(), validation.store
    if target.path.exists():
        there = target.metadata if (target.path / "run.toml").is_file() else {}
        other = [key for key, value in same.items() if there.get(key) != value]
        if other:
            raise DataError(
                f"{target.path}: holds a run of another {', '.join(other)}. Give another name with "
                "--name, or remove the folder.",
                code="CS-M015",
            )
        return
    labels = validation.run.metadata.get("saw_labels")
    target.write_metadata(
        {
            "name": target.name,
            **same,
            "cohort": store.cohort,
            "seed": validation.seed,
            "version": __version__,
            "started": now(),
            **provenance(),
            "finished": now(),
            "reconciled": list(validation.notes[1:]),
            **({"saw_labels": labels} if labels else {}),
            "definition": {"description": validation.notes[0]},
        }
    )


def other_cohort_folder(
    validation: ExternalValidation, *, out: Path | None = None, name: str | None = None
) -> Run:
    """Return the folder of the results: in `out`, or beside the run.

    Raises:
        DataError: the name is the oracle's or a baseline's, or cannot be a name.
    """
    name = check_run_name(name or validation.name, where="--name")
    return Run(path_in(out or validation.run.path.parent, name))


def _predictor(
    run: Run,
    task: Pretraining,
    learner: Learner,
    store: CohortStore,
    training: CohortStore | None,
    *,
    seed: int,
) -> EmbeddingPredictor:
    """Embed the other cohort; the training cohort is embedded when a probe or the bank needs it."""

    @cache
    def source() -> EmbeddingPredictor:
        if training is None:
            raise CannotScore(
                "probes and the replacement of missing query modalities need the training store, "
                "which is not at its recorded place. Name it with --training-store.",
                code="CS-S016",
            )
        return trained_predictor(run, task, learner, training, seed=seed)

    rows = np.arange(len(store.samples))
    embeddings = embed_rows(learner.model, with_features(store, learner.model), rows)
    encoders = Encoders(learner, store)
    if learner.model.panel is not None:
        return ImputedPredictor(
            embeddings,
            learner.objective,
            store,
            encoders=encoders,
            source=source,
            fitted=lambda: cast(ImputedPredictor, source()).fitted(),
        )
    return EmbeddingPredictor(
        embeddings, learner.objective, store, encoders=encoders, source=source
    )

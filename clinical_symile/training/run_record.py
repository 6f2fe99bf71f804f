"""The record of a run: its task, data, seed, version and environment, kept in `run.toml`."""

from typing import Any

from clinical_symile import __version__
from clinical_symile.config.tasks.encoders import encoder_source
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import argument_files, portable_fields, task_digest
from clinical_symile.data.audit.known_sets import shared_sets
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.formatting import join_words
from clinical_symile.models.encoders.weights import weights_sha256
from clinical_symile.tracking.progress import log_line
from clinical_symile.tracking.provenance import now, provenance
from clinical_symile.tracking.run import Run
from clinical_symile.training.start import started_weights


def new_record(
    run: Run, task: Pretraining, store: CohortStore, *, seed: int, deterministic: bool = False
) -> dict[str, Any]:
    """Return the record of a run that starts now."""
    files, encoders = _files_sha256(task), encoder_sources(task, store)
    labels = task.labels_read(store.outcomes)
    return {
        "name": run.name,
        **_identity(task, store, seed),
        "started": now(),
        **provenance(),
        **({"deterministic": True} if deterministic else {}),
        **({"saw_labels": labels} if labels else {}),
        **({"files_sha256": files} if files else {}),
        **({"encoders": encoders} if encoders else {}),
        "definition": portable_fields(task, exclude={"name", "settings"}),
    }


def read_or_new_record(
    run: Run, task: Pretraining, store: CohortStore, *, seed: int, deterministic: bool = False
) -> dict[str, Any]:
    """Return the record in the run's folder, or a new one.

    Raises:
        DataError: the folder has a run of another task, store, seed or version, one that started
            from other weights or read other files, or one that was begun with the other choice of
            deterministic algorithms.
    """
    if not (run.path / "run.toml").is_file():
        return new_record(run, task, store, seed=seed, deterministic=deterministic)
    record, identity = run.metadata, _identity(task, store, seed)
    if bool(record.get("deterministic")) != deterministic:
        raise DataError(
            f"{run.path}: was begun {'without' if deterministic else 'with'} --deterministic; a "
            "run goes on as it was begun. Give the same option, or another folder or name.",
            code="CS-R002",
        )
    seen = {**record, "start_weights": record.get("start", {}).get("weights_sha256")}
    if "start" in record and (weights := started_weights(task)) is not None:
        identity["start_weights"] = weights
    read, now_there = record.get("files_sha256", {}), _files_sha256(task)
    identity |= {key: now_there[key] for key in read.keys() & now_there.keys()}
    seen |= read
    different = [key for key, value in identity.items() if seen.get(key) != value]
    if different:
        raise DataError(
            f"{run.path}: holds a run of another {', '.join(different)} "
            f"({', '.join(str(seen.get(key)) for key in different)}); expected "
            f"{', '.join(str(identity[key]) for key in different)}. Give another folder or name, "
            "or remove this one.",
            code="CS-R002",
        )
    return record


def _identity(task: Pretraining, store: CohortStore, seed: int) -> dict[str, Any]:
    """Return the part of a record that must be equal for training to resume."""
    return {
        "task": task.name,
        "task_digest": task_digest(task),
        "cohort": store.cohort,
        "store_digest": store.digest,
        "seed": seed,
        "version": __version__,
    }


def _files_sha256(task: Pretraining) -> dict[str, str]:
    """Return the SHA-256 of each file that an argument of the task names."""
    return {key: weights_sha256(path) for key, path in argument_files(task).items()}


def encoder_sources(task: Pretraining, store: CohortStore) -> dict[str, dict[str, Any]]:
    """Return, for each encoder with a file of weights, what the task says of it.

    These are the file's name, its SHA-256, the licence and the training data; and as `overlap` the
    public data sets that both the weights and the cohort are from. A line says so.
    """
    encoders = portable_fields(task, exclude={"name"})["encoders"]
    found = {name: encoder_source(encoder) for name, encoder in encoders.items()}
    found = {name: about for name, about in found.items() if about}
    for name, about in found.items():
        if shared := shared_sets(about.get("training_data", ()), store):
            about["overlap"] = shared
            log_line(
                f"{name}: its encoder was trained on {join_words(shared)}, which this cohort is "
                "from: it may have seen held-out subjects. The run's record and card say so."
            )
    return found

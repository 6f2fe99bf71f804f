"""Import the released Symile-MIMIC model as a finished run."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.cohort import modality_adapter, read_cohort
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, pretraining_task
from clinical_symile.data.external.training_inputs import write_inputs
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.files import lock_folder
from clinical_symile.hashing import file_sha256
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.tracking.provenance import now
from clinical_symile.tracking.run import Run
from clinical_symile.training._lightning_checkpoint import LightningFile, read_lightning_file
from clinical_symile.training.checkpoint import save_weights
from clinical_symile.training.learner import build_learner
from clinical_symile.training.run_record import new_record

_COHORT = "symile_mimic"
_NEGATIVES = {"n_squared": "all", "n": "shuffled"}
_SIZE_PX = 320
_NARROWEST = 2  # an embedding of one number has no LayerNorm

# The prefix of a weight's name in the official model, and in this package.
_PREFIXES = {
    "cxr_encoder.resnet.": "model.encoders.cxr.network.",
    "cxr_encoder.layer_norm.": "model.norms.cxr.",
    "ecg_encoder.resnet.": "model.encoders.ecg.network.",
    "ecg_encoder.layer_norm.": "model.norms.ecg.",
    "labs_encoder.fc1.": "model.encoders.labs.network.1.",
    "labs_encoder.fc2.": "model.encoders.labs.network.3.",
    "labs_encoder.fc3.": "model.encoders.labs.network.5.",
    "labs_encoder.layer_norm.": "model.norms.labs.",
    "logit_scale": "objective.log_logit_scale",
}


def import_checkpoint(file: Path, *, catalog: Catalog, store: CohortStore, run: Run) -> list[str]:
    """Import a checkpoint of the official Symile-MIMIC model as a finished run.

    Its embeddings are those of the official model. The encoders receive the inputs that they were
    trained on: an image on ImageNet's scale, an ECG between -1 and 1 with its leads in the order of
    MIMIC-IV-ECG, and percentiles of labs with indicators of observed analytes.

    Source: Saporta et al. 2024, section 5.3. https://arxiv.org/abs/2411.01053

    Args:
        file: the checkpoint.
        catalog: has the cohort `symile_mimic` and the paper's tasks.
        store: the store that the run will be evaluated on.
        run: the folder of the run; it must not exist.

    Returns:
        Notes to read before trusting its results.

    Raises:
        DataError: the file is not such a checkpoint, the store lacks a modality that the model
            reads, the run exists, or its
            name is the oracle's or a baseline's.
    """
    check_run_name(run.name, where=str(run.path))
    if run.path.exists():
        raise DataError(
            f"{run.path}: the run exists. Give another --name, or remove it.", code="CS-R002"
        )
    released = read_lightning_file(file)
    weights = _renamed(released.weights, str(file))
    _check_store(catalog, store)
    task = _task(released, catalog, store, str(file))
    learner = build_learner(task, store, seed=0)
    own = learner.state_dict()
    wrong = [
        name
        for name in sorted(own.keys() | weights.keys())
        if name not in own or name not in weights or own[name].shape != weights[name].shape
    ]
    if wrong:
        raise DataError(
            f"{file}: not the weights of the official Symile-MIMIC model; {len(wrong)} differ, "
            f"such as '{wrong[0]}'. Only checkpoints of that model can be imported.",
            code="CS-M026",
        )
    learner.load_state_dict(weights)
    notes = _notes(store)
    record = {
        **new_record(run, task, store, seed=int(released.settings.get("seed") or 0)),
        "imported": {"sha256": file_sha256(file), "epoch": released.epoch, "notes": notes},
        "finished": now(),
    }
    with lock_folder(run.path):
        save_weights(learner, run)
        write_inputs(run.path, store)
        run.write_metadata(record)  # last: it says that the run is finished
    return notes


def _renamed(weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return the weights under the names of this package."""
    renamed, unknown = {}, []
    for name, tensor in weights.items():
        prefix = next((start for start in _PREFIXES if name.startswith(start)), None)
        if prefix is None:
            unknown.append(name)
        else:
            renamed[_PREFIXES[prefix] + name.removeprefix(prefix)] = tensor
    if unknown:
        raise DataError(
            f"{where}: has weights '{unknown[0]}' and {len(unknown) - 1} others that the official "
            "Symile-MIMIC model does not have. Only checkpoints of that model can be imported.",
            code="CS-M026",
        )
    return renamed


def _check_store(catalog: Catalog, store: CohortStore) -> None:
    """Refuse a store whose modalities are not those that the model reads."""
    about, problems = store.manifest["modalities"], []
    for name in ("cxr", "ecg", "labs"):
        if name not in about:
            problems.append(
                f"{store.path}: has no modality '{name}', which the model reads. Use another store."
            )
    if problems:
        raise DataError(*problems, code="CS-M026")
    cohort = read_cohort(catalog.path("cohorts", _COHORT), name=_COHORT)
    if about["labs"]["parts"] != [*modality_adapter(cohort, "labs").parts]:
        problems.append(
            f"{store.path}: its analytes are not those of cohort '{_COHORT}' in "
            "the same order, which the model's first layer needs. Prepare with its labs.csv."
        )
    if about["cxr"]["shape"] != [1, _SIZE_PX, _SIZE_PX]:
        problems.append(
            f"{store.path}: X-rays have shape {about['cxr']['shape']}; the model was trained on "
            f"{_SIZE_PX} pixels. Prepare with size_px = {_SIZE_PX}."
        )
    if problems:
        raise DataError(*problems, code="CS-M026")


def _task(released: LightningFile, catalog: Catalog, store: CohortStore, where: str) -> Pretraining:
    """Return the paper's task with the settings of the checkpoint."""
    settings = released.settings
    objective, negatives = settings.get("loss_fn"), settings.get("negative_sampling", "n")
    if objective not in ("symile", "clip") or negatives not in _NEGATIVES:
        raise DataError(
            f"{where}: was trained with loss {objective!r} and negatives {negatives!r}; expected "
            f"symile or clip, and {' or '.join(_NEGATIVES)}. Only these can be imported.",
            code="CS-M026",
        )
    name = f"pretraining/paper/{objective}"
    paper = pretraining_task(catalog, name, [])
    last = released.weights.get("labs_encoder.layer_norm.weight")
    dim = paper.dim if last is None else len(last)
    temperature = math.exp(-float(settings.get("logit_scale_init", 0.0)))
    ecg = {"name": "resnet18_stretched"}
    statistics = store.manifest["modalities"]["ecg"]["statistics"]
    if "sd_mv" in statistics:
        ecg["sd_mv"] = statistics["sd_mv"]
    definition = paper.model_dump(mode="json", exclude={"name", "settings"})
    definition |= {
        "dim": max(dim, _NARROWEST),
        "description": f"The official Symile-MIMIC model, trained with {objective}.",
        "objective": {"name": objective, "temperature": temperature}
        | ({"negatives": _NEGATIVES[negatives]} if objective == "symile" else {"reduction": "sum"})
        | {"logit_scale_max": math.inf},
        "encoders": {**definition["encoders"], "ecg": ecg},
        "batch_size": int(settings.get("batch_sz_train") or paper.batch_size),
        "epochs": int(settings.get("epochs") or paper.epochs),
    }
    definition["optimiser"] |= {
        "learning_rate": float(settings.get("lr") or paper.optimiser.learning_rate),
        "weight_decay": float(settings.get("weight_decay", paper.optimiser.weight_decay)),
    }
    task = parse_task(definition, name=name, where=where)
    assert isinstance(task, Pretraining)
    return task


def _notes(store: CohortStore) -> list[str]:
    """Return a warning if the model's training subjects may be in the store."""
    if store.cohort == _COHORT:
        return []
    return [
        f"The model was trained on subjects of MIMIC-IV, in the train split of '{_COHORT}'. If "
        f"subjects of MIMIC-IV are in cohort '{store.cohort}', it may be evaluated on its own "
        "training subjects."
    ]

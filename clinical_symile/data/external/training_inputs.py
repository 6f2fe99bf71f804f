"""Keep with a run what its encoders read, and read another cohort in the same way.

`inputs.json` in a run's folder holds, for each modality of the training store, the shape, the units
and the statistics of the train samples. It never leaves the folder.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError, Problem
from clinical_symile.files import write_text
from clinical_symile.formatting import format_count
from clinical_symile.hashing import digest_of
from clinical_symile.modalities.panel_matching import match_panels
from clinical_symile.tracking.records import read_json, wrong_fields

INPUTS_FILE = "inputs.json"
_ACTION = "Name that store with --training-store, or evaluate the run on it once: this writes them."
# The values of `inputs.json` that are read, and those of each modality.
_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("store_digest", "store"), str),
    "modalities": dict[str, dict[str, Any]],
    "units": dict[str, list[str]],
}
_MODALITY_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("adapter", "dtype", "unit"), str),
    "shape": list[int],
    "parts": list[str],
    "statistics": dict[str, Any],
    "train_samples": int,
}
# What must be equal for an encoder to read another store; a panel is matched instead.
_SAME = ("adapter", "dtype", "unit", "shape", "parts")
_FEW = 10
# An encoder has not learned to do without an analyte that more of its train samples have.
_ALWAYS_MEASURED = 0.99


def store_inputs(store: CohortStore, *, folder: Path) -> dict[str, Any]:
    """Return what encoders trained on a store read: shapes, units and statistics.

    Args:
        store: the training store.
        folder: the run's, from which the place of the store is counted, so that both can be moved.
    """
    return {
        "cohort": store.cohort,
        "store_digest": store.digest,
        "store": Path(os.path.relpath(store.path.resolve(), folder.resolve())).as_posix(),
        "modalities": {
            name: {key: about[key] for key in (*_SAME, "statistics")}
            | {"train_samples": store.manifest["counts"]["train"]["present"][name]}
            for name, about in store.manifest["modalities"].items()
        },
        "units": store.manifest["units"],
    }


def write_inputs(folder: Path, store: CohortStore) -> None:
    """Write `inputs.json` into a run's folder."""
    text = json.dumps(store_inputs(store, folder=folder))
    write_text(folder / INPUTS_FILE, text)


def read_inputs(folder: Path, *, store_digest: str) -> dict[str, Any]:
    """Read `inputs.json` of a run.

    Args:
        folder: the run's.
        store_digest: of the store that the run was trained on.

    Raises:
        DataError: it does not exist, cannot be read, or is of another store.
    """
    path = folder / INPUTS_FILE
    problem = "no such file, as in runs of version 0.2.0"
    if path.is_file():
        inputs = read_json(path, types=_TYPES, action=_ACTION, code="CS-R016")
        wrong = [
            f"modalities.{name}: {one}"
            for name, about in inputs["modalities"].items()
            for one in wrong_fields(about, _MODALITY_TYPES)
        ]
        if not wrong and inputs["store_digest"] == store_digest and inputs["modalities"]:
            return inputs
        problem = "; ".join(wrong) or "of another store"
    raise DataError(
        f"{path}: {problem}; expected the statistics of the store that the run was trained on. "
        f"{_ACTION}",
        code="CS-R016",
    )


def training_store(inputs: Mapping[str, Any], *, folder: Path) -> CohortStore | None:
    """Open the training store at its recorded place; None if it is not there any more."""
    path = folder.resolve() / str(inputs["store"])
    if not (path / "manifest.json").is_file():
        return None
    store = open_store(path)
    return store if store.digest == inputs["store_digest"] else None


def read_like_training(
    store: CohortStore, inputs: Mapping[str, Any], modalities: Sequence[str]
) -> tuple[CohortStore, list[str]]:
    """Return another cohort as encoders read it that were trained on another store.

    Statistics are those of the training store. Labs are matched by the name of the analyte. Units
    are converted; an analyte that the store lacks counts as not observed, and one that the encoders
    do not know is not read. All else must be the same.

    Args:
        store: the other cohort.
        inputs: of the training store: `store_inputs`.
        modalities: those that the encoders read.

    Returns:
        The store, and a note for each difference.

    Raises:
        DataError: a modality is lacking or differs in more than its panel; all problems at once.
    """
    manifest, present = dict(store.manifest), store.present.copy()
    about = dict(manifest["modalities"])
    units, notes, problems = dict(manifest["units"]), [], list[str]()
    converted = dict(store.converted)
    for name in modalities:
        trained = inputs["modalities"].get(name)
        if trained is None or name not in store.modalities:
            problems.append(
                f"{store.path}: cohort '{store.cohort}' has no {name}; expected the modalities of "
                f"the run, {', '.join(modalities)}. Prepare it with all of them."
            )
            continue
        panel = inputs["units"].get(name)
        if panel is None or name not in units:
            problems += _differences(store, name, trained, about[name])
        else:
            own, wanted = (
                dict(zip(one["parts"], unit, strict=True))
                for one, unit in ((about[name], units[name]), (trained, panel))
            )
            try:
                match = match_panels(wanted, own)
            except ValueError as error:
                problems.append(
                    f"{store.path}: {name} are in units that cannot be converted into those of the "
                    f"run: {error}. In the cohort's panel, set unit to that of the run and "
                    "recorded_unit to the site's, with g_per_mol, and prepare again."
                )
                continue
            stored = np.asarray(store.array(name))
            values = match.apply(stored)
            column = store.modalities.index(name)
            has_others = ~np.isnan(stored).all(axis=1)
            empty = present[:, column] & has_others & np.isnan(values).all(axis=1)
            present[empty, column] = False
            if own != wanted or list(own) != list(wanted):
                converted[name] = values
            notes += _panel_notes(store, name, match, int(empty.sum()))
            notes += _unlearned_notes(store, name, match.lacking, trained)
            units[name] = panel
        about[name] = {**about[name], **{k: trained[k] for k in (*_SAME, "statistics")}}
    if problems:
        raise DataError(*problems, code="CS-R016")
    manifest |= {"modalities": about, "units": units}
    if not np.array_equal(present, store.present):
        # Other samples are missing than in the store: results have a fingerprint of their own.
        manifest["digest"] = digest_of(store.digest, np.packbits(present).tobytes())
    columns = {f"present_{m}": present[:, place] for place, m in enumerate(store.modalities)}
    made = replace(
        store,
        manifest=manifest,
        samples=store.samples.assign(**columns),
        present=present,
        converted=converted,
    )
    return made, notes


def _differences(
    store: CohortStore, name: str, trained: Mapping[str, Any], own: Mapping[str, Any]
) -> list[Problem]:
    """Return a problem for each way in which a modality is stored differently."""
    return [
        Problem(
            f"{store.path}: {key} of {name} is {own[key]}; expected {trained[key]}, as the run was "
            "trained on. Prepare the cohort with the same settings.",
            "CS-R016",
        )
        for key in _SAME
        if own[key] != trained[key]
    ]


def _panel_notes(store: CohortStore, name: str, match: Any, emptied: int) -> list[str]:
    where = f"{name} of '{store.cohort}'"
    notes = []
    if match.lacking:
        notes.append(f"{where}: lacks {', '.join(match.lacking)}; they count as not observed.")
    if match.unused:
        notes.append(
            f"{where}: {', '.join(match.unused)} are not read; the run does not know them."
        )
    if match.converted:
        pairs = ", ".join(f"{one} from {own} to {unit}" for one, own, unit in match.converted)
        notes.append(f"{where}: converted {pairs}.")
    if emptied:
        count = f"fewer than {_FEW}" if emptied < _FEW else format_count(emptied)
        notes.append(f"{where}: {count} samples have no analyte of the run; they count as missing.")
    return notes


def _unlearned_notes(
    store: CohortStore, name: str, lacking: Sequence[str], trained: Mapping[str, Any]
) -> list[str]:
    """Name lacking analytes that hardly any train sample was without."""
    samples = trained.get("train_samples")  # runs before version 0.2.2 do not say
    distributions = trained["statistics"].get("distributions")
    if not samples or not distributions:
        return []
    measured = {
        analyte: sum(distribution["counts"])
        for analyte, distribution in zip(trained["parts"], distributions, strict=True)
    }
    always = [one for one in lacking if measured[one] >= _ALWAYS_MEASURED * samples]
    if not always:
        return []
    return [
        f"{name} of '{store.cohort}': nearly all train samples have {', '.join(always)}. The run "
        "has not learned to do without. Train with patterns that hide analytes, such as "
        f"{name}-mcar-30, or without these analytes."
    ]

"""Describe a store by what may leave the machine: shapes, units and counts of ten or more.

`dataset.json` lies in each run's folder. MLflow shows it as the schema and profile of a dataset.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_symile.data.store import CohortStore
from clinical_symile.data.store_manifest import is_synthetic
from clinical_symile.files import lock_folder, write_text
from clinical_symile.formatting import format_parts, format_within
from clinical_symile.tracking.rounding import value_step
from clinical_symile.tracking.snapshot import DATASET_FILE


def store_summary(store: CohortStore) -> dict[str, Any]:
    """Return the cohort, the digest, the schema and the profile of a store.

    The schema has a line for each modality, and for each analyte of a panel, with its type, shape
    and unit. The profile has the samples and subjects of each split. Counts below ten are withheld.
    Numbers on real subjects are rounded where they leave the run's folder; `tuning_step` is the
    step of metrics of the tuning split.
    """
    about, units = store.manifest["modalities"], store.manifest["units"]
    return {
        "cohort": store.cohort,
        "store_digest": store.digest,
        "synthetic": is_synthetic(store.manifest),
        "tuning_step": value_step(_tuning_samples(store)),
        "schema": [
            line
            for name, modality in about.items()
            for line in _lines(name, modality, units.get(name, ()))
        ],
        "profile": _profile(store),
    }


def _tuning_samples(store: CohortStore) -> int:
    """Return the samples of the tuning split; 0 for a store without one."""
    return store.manifest["counts"].get("tuning", {}).get("samples", 0)


def write_summary(folder: Path, store: CohortStore) -> None:
    """Write `dataset.json` into a run's folder, unless it is there already."""
    path, text = folder / DATASET_FILE, json.dumps(store_summary(store), ensure_ascii=False)
    if not path.is_file() or path.read_bytes() != text.encode():
        with lock_folder(folder):  # the run's, so that its checksums list the file
            write_text(path, text)


def _lines(name: str, about: Mapping[str, Any], units: Sequence[str]) -> list[dict[str, str]]:
    shape = " \N{MULTIPLICATION SIGN} ".join(map(str, about["shape"]))
    parts = zip(about["parts"], units, strict=True) if units else ()
    return [
        {"name": name, "type": f"{about['dtype']}, {shape}, {about['unit']}"},
        *({"name": f"{name}.{part}", "type": f"{about['dtype']}, {unit}"} for part, unit in parts),
    ]


def _profile(store: CohortStore) -> dict[str, str]:
    counts = store.manifest["counts"]
    samples = format_parts({split: one["samples"] for split, one in counts.items()})
    profile: dict[str, str] = {}
    for split, one in counts.items():
        numbers = {
            "subjects": one["subjects"],
            **{f"with {name}": one["present"][name] for name in store.modalities},
        }
        words = format_within(numbers.values(), one["samples"], samples[split])
        profile[f"{split} samples"] = samples[split]
        profile |= {f"{split} {what}": word for what, word in zip(numbers, words, strict=True)}
    return profile

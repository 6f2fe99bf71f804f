"""A made-up Symile-MIMIC release, written by the rules of its authors' scripts."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision import transforms

from clinical_symile.config.catalog import open_catalog
from clinical_symile.modalities.labs import read_panel

SIZE_PX = 320
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# As MIMIC-IV-ECG's headers have it: aVF stands before aVL.
LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
ITEMS = [
    analyte.column
    for analyte in read_panel(open_catalog().path("cohorts", "symile_mimic").parent / "labs.csv")
]
PARTS = {"train": "train", "val": "tuning", "test": "held_out"}


@dataclass
class Release:
    """A folder as it is downloaded, and what is in it.

    Attributes:
        folder: of the release.
        table: one row per admission: ids, `part` (None where it is in no split), paths and labs.
        xrays: grey levels that are in the arrays, by admission.
        ecgs: millivolts `[time, lead]` in the order of `LEADS`, by admission.
        candidates: admissions of each list, by part and asking admission.
    """

    folder: Path
    table: pd.DataFrame
    xrays: dict[int, np.ndarray]
    ecgs: dict[int, np.ndarray]
    candidates: dict[str, dict[int, list[int]]]

    def ids(self, part: str) -> list[int]:
        return self.table.loc[self.table["part"] == part, "hadm_id"].tolist()

    def array(self, name: str, part: str) -> Path:
        return self.folder / f"data_npy/{part}/{name}_{part}.npy"

    def load(self, name: str, part: str) -> np.ndarray:
        return np.load(self.array(name, part))


def write_release(
    folder: Path,
    rng: np.random.Generator,
    *,
    train: int = 12,
    val: int = 4,
    test: int = 4,
    candidates: int = 3,
    missing: float = 0.3,
    write_ecg: Callable[..., None] | None = None,
) -> Release:
    """Write it: CSV tables, `labs_means.json` and NumPy arrays, and raw files beside them.

    Two more admissions are in no split: one of a person in train, one of a person in val.

    Args:
        folder: is made.
        rng: draws everything.
        train: admissions, and so on.
        val: likewise.
        test: likewise.
        candidates: length of a list.
        missing: share of the labs that were not measured.
        write_ecg: writes the raw recordings of MIMIC too, if given.
    """
    parts = ["train"] * train + ["val"] * val + ["test"] * test + [None, None]
    table = pd.DataFrame({"hadm_id": 20_000_000 + rng.permutation(900)[: len(parts)]})
    table["subject_id"] = 10_000_000 + np.arange(len(parts))
    table["part"] = parts
    table.loc[len(parts) - 2, "subject_id"] = 10_000_000
    table.loc[len(parts) - 1, "subject_id"] = 10_000_000 + train
    table["cxr_path"] = [f"files/p10/p{s}/s{n}/x.jpg" for n, s in enumerate(table["subject_id"])]
    table["ecg_path"] = [f"files/p1000/p{s}/s{n}/{n}" for n, s in enumerate(table["subject_id"])]
    values = rng.normal(50, 20, (len(table), len(ITEMS))).round(1)
    values[rng.random(values.shape) < missing] = np.nan
    table[ITEMS] = values
    release = Release(folder, table, {}, {}, {})
    for row in table.itertuples():
        _write_recordings(release, row, rng, write_ecg)
    _write_tables(release, rng, candidates)
    return release


def _write_recordings(
    release: Release,
    row: Any,
    rng: np.random.Generator,
    write_ecg: Callable[..., None] | None,
) -> None:
    image = Image.fromarray(rng.integers(0, 256, (330, 324), dtype=np.uint8))
    path = release.folder / "mimic-cxr-jpg" / row.cxr_path
    if write_ecg is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=95)
        image = Image.open(path)
    image = transforms.Resize(SIZE_PX)(image)
    crop = image.crop((0, 0, SIZE_PX, SIZE_PX))  # in train, drawn once at random
    if row.part != "train":
        crop = transforms.CenterCrop(SIZE_PX)(image)
    release.xrays[row.hadm_id] = np.asarray(crop)
    steps = np.rint(rng.normal(0, 60, (5000, 12)))
    release.ecgs[row.hadm_id] = steps / 200
    if write_ecg is not None:
        path = release.folder / "mimic-iv-ecg" / row.ecg_path
        write_ecg(path, steps / 200, leads=LEADS, units_per_mv=200)


def _write_tables(release: Release, rng: np.random.Generator, candidates: int) -> None:
    table = release.table.copy()
    findings = ["Atelectasis", "Cardiomegaly", "Edema", "Lung Opacity", "No Finding"]
    findings += ["Pleural Effusion"]
    dropped = ["Consolidation", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion"]
    dropped += ["Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices"]
    for finding in (*findings, *dropped):
        table[finding] = rng.choice([1.0, 0.0, -1.0, np.nan], len(table))
    table["No Finding"] = table["No Finding"].where(table["No Finding"] == 1)
    whole = table.drop(columns="part").assign(
        gender=rng.choice(["F", "M"], len(table)),
        age=rng.integers(20, 92, len(table)).astype(float),
        race=rng.choice(["WHITE - RUSSIAN", "UNKNOWN", "ASIAN"], len(table)),
        hospital_expire_flag=rng.integers(0, 2, len(table)),
        cxr_ViewPosition=rng.choice(["AP", "PA"], len(table)),
    )
    whole.to_csv(release.folder / "symile_mimic_data.csv", index=False)
    in_train = table["part"] == "train"
    for item in ITEMS:  # the empirical distribution in train, right-continuous
        known = table.loc[in_train, item].to_numpy()
        known = np.sort(known[~np.isnan(known)])
        share = np.searchsorted(known, table[item].to_numpy(), side="right") / max(len(known), 1)
        table[f"{item}_percentile"] = np.where(table[item].isna(), np.nan, share)
    percentiles = [f"{item}_percentile" for item in ITEMS]
    means = table.loc[in_train, percentiles].mean().to_dict()
    (release.folder / "labs_means.json").write_text(json.dumps(means, indent=4))
    table = table.drop(columns=dropped)
    for part in PARTS:
        frame = table.loc[table["part"] == part].drop(columns="part")
        listed, release.candidates[part] = _listed(frame, rng, candidates)
        if part != "train":
            frame = frame.assign(label_hadm_id=frame["hadm_id"], label=1)
        if part != "test":
            frame.to_csv(release.folder / f"{part}.csv", index=False)
            _write_arrays(release, part, frame, means)
        if part != "train":
            name = "test" if part == "test" else "val_retrieval"
            listed.to_csv(release.folder / f"{name}.csv", index=False)
            _write_arrays(release, name, listed, means)


def _listed(
    frame: pd.DataFrame, rng: np.random.Generator, candidates: int
) -> tuple[pd.DataFrame, dict[int, list[int]]]:
    """Each admission as a query, then its drawn candidates."""
    rows, lists = [frame.assign(label_hadm_id=frame["hadm_id"], label=1)], {}
    for hadm_id in frame["hadm_id"]:
        others = frame.loc[frame["hadm_id"] != hadm_id]
        drawn = others.iloc[rng.permutation(len(others))[: candidates - 1]]
        rows.append(drawn.assign(label_hadm_id=hadm_id, label=0))
        lists[hadm_id] = [hadm_id, *drawn["hadm_id"]]
    return pd.concat(rows), lists


def _write_arrays(
    release: Release, part: str, frame: pd.DataFrame, means: dict[str, float]
) -> None:
    ids = frame["hadm_id"].tolist()
    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize(*IMAGENET)])
    images = [scale(release.xrays[i][:, :, None].repeat(3, axis=2)) for i in ids]
    percentiles = frame[[f"{item}_percentile" for item in ITEMS]].fillna(means)
    arrays = {
        "cxr": np.stack(images),
        "ecg": np.stack([_stretched(release.ecgs[i]) for i in ids]),
        "labs_percentiles": percentiles.to_numpy(dtype=np.float32),
        "labs_missingness": frame[ITEMS].notna().to_numpy(dtype=np.int64),  # 1: observed
        "hadm_id": np.array(ids),
    }
    if part in ("val_retrieval", "test"):
        arrays |= {name: frame[name].to_numpy() for name in ("label", "label_hadm_id")}
    release.array("cxr", part).parent.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(release.array(name, part), array)


def _stretched(millivolts: np.ndarray) -> np.ndarray:
    low, high = millivolts.min(), millivolts.max()
    return (2 * (millivolts - low) / (high - low) - 1).astype(np.float32)[None]


def as_tensors(release: Release) -> None:
    """Bring the arrays to the form that the authors' own scripts write."""
    for array in sorted((release.folder / "data_npy").rglob("*.npy")):
        tensor = release.folder / array.relative_to(release.folder / "data_npy").with_suffix(".pt")
        tensor.parent.mkdir(exist_ok=True)
        torch.save(torch.from_numpy(np.load(array)), tensor)
        array.unlink()

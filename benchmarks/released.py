"""Symile-MIMIC in its released shapes and full size: time and memory of `prepare`.

The tables and arrays are made up. Arrays are sparse files: the first of each split hold recordings,
the others zeros, which are read just the same and rejected.

    python benchmarks/released.py --folder DIR    # needs 8 GB of disk there, and Linux
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from clinical_symile.config.catalog import open_catalog
from clinical_symile.data.store import open_store
from clinical_symile.modalities.labs import read_panel

RESULTS = Path(__file__).parent / "results" / "released.csv"
ADMISSIONS = {"train": 10_000, "val": 750, "test": 464}
UNUSED, LISTED = 408, 10
FILLED = 0.25  # share of the admissions whose arrays hold recordings
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FINDINGS = ("Atelectasis", "Cardiomegaly", "Edema", "Lung Opacity", "No Finding")
FINDINGS += ("Pleural Effusion", "Consolidation", "Enlarged Cardiomediastinum", "Fracture")
FINDINGS += ("Lung Lesion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices")


def write_release(folder: Path) -> None:
    """Write the tables and arrays that `prepare` reads."""
    rng = np.random.default_rng(0)
    panel = read_panel(open_catalog().path("cohorts", "symile_mimic").parent / "labs.csv")
    number = sum(ADMISSIONS.values()) + UNUSED
    whole = pd.DataFrame({"subject_id": 10_000_000 + np.arange(number)})
    whole["hadm_id"] = 20_000_000 + rng.permutation(number)
    whole.loc[number - UNUSED :, "subject_id"] = 10_000_000  # of a subject of train
    whole["cxr_path"] = whole["ecg_path"] = "files/" + whole["hadm_id"].astype(str)
    labs = rng.normal(50, 20, (number, len(panel))).round(1)
    labs[rng.random(labs.shape) < 0.3] = np.nan
    whole[[analyte.column for analyte in panel]] = labs
    whole[list(FINDINGS)] = rng.choice([1.0, 0.0, -1.0, np.nan], (number, len(FINDINGS)))
    whole["gender"], whole["age"], whole["race"] = "F", 60.0, "WHITE"
    whole["hospital_expire_flag"], whole["cxr_ViewPosition"] = 0, "AP"
    whole.to_csv(folder / "symile_mimic_data.csv", index=False)
    first = 0
    for part, count in ADMISSIONS.items():
        frame, first = whole.iloc[first : first + count], first + count
        listed = pd.concat([frame, *(_candidates(frame, row, rng) for row in range(count))])
        ids = frame["hadm_id"].tolist()
        listed["label_hadm_id"] = [*ids, *np.repeat(ids, LISTED - 1)]
        if part == "val":
            listed.to_csv(folder / "val_retrieval.csv", index=False)
        written = listed if part == "test" else frame
        written.to_csv(folder / f"{part}.csv", index=False)
        _write_arrays(folder, part, written["hadm_id"].tolist(), ids[: int(FILLED * count)])


def _candidates(frame: pd.DataFrame, row: int, rng: np.random.Generator) -> pd.DataFrame:
    others = rng.choice(len(frame) - 1, size=LISTED - 1, replace=False)
    return frame.iloc[others + (others >= row)]


def _write_arrays(folder: Path, part: str, ids: list[int], filled: list[int]) -> None:
    place = folder / "data_npy" / part
    place.mkdir(parents=True)
    np.save(place / f"hadm_id_{part}.npy", ids)
    shapes = {"cxr": (len(ids), 3, 320, 320), "ecg": (len(ids), 1, 5000, 12)}
    arrays = {
        name: np.lib.format.open_memmap(
            place / f"{name}_{part}.npy", mode="w+", dtype=np.float32, shape=shape
        )
        for name, shape in shapes.items()
    }
    rows = np.array(ids)
    for hadm_id in filled:
        rng = np.random.default_rng(hadm_id)
        grey = rng.integers(0, 256, (320, 320)) / 255
        steps = np.rint(rng.normal(0, 60, (5000, 12)))
        ecg = 2 * (steps - steps.min()) / (steps.max() - steps.min()) - 1
        for row in np.flatnonzero(rows == hadm_id):
            for channel in range(3):
                arrays["cxr"][row, channel] = (grey - MEAN[channel]) / SD[channel]
            arrays["ecg"][row, 0] = ecg


def memory_mb(process: int) -> list[float]:
    """Resident memory of a process and of all that it started, mapped files included."""
    parents, resident = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:  # it has just ended
            continue
        parents[int(status.parent.name)] = int(lines["PPid"])
        resident[int(status.parent.name)] = int(lines.get("VmRSS", "0 kB").split()[0]) / 1024
    family = {process}
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    return [resident.get(one, 0.0) for one in family]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, help="for the made-up files; a temporary one without"
    )
    chosen = parser.parse_args().folder
    folder = Path(tempfile.mkdtemp(dir=chosen))
    try:
        (folder / "source").mkdir()
        write_release(folder / "source")
        command = [sys.executable, "-m", "clinical_symile", "prepare", "symile_mimic"]
        command += ["--source", str(folder / "source"), "--out", str(folder / "store")]
        started, together, largest = time.perf_counter(), 0.0, 0.0
        process = subprocess.Popen(command)
        while process.poll() is None:
            now = memory_mb(process.pid)
            together, largest = max(together, sum(now)), max(largest, *now)
            time.sleep(0.2)
        seconds = time.perf_counter() - started
        if process.returncode:
            sys.exit(process.returncode)
        arrays = list((folder / "source").rglob("*.npy"))
        store = open_store(folder / "store")
        row = {
            "arrays_gb": round(sum(file.stat().st_size for file in arrays) / 1e9, 1),
            "samples": len(store.samples),
            "complete": int(store.present.all(axis=1).sum()),
            "seconds": round(seconds),
            "peak_mb_together": round(together),
            "peak_mb_largest_process": round(largest),
        }
        with RESULTS.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, row, lineterminator="\n")
            writer.writeheader()
            writer.writerow(row)
        print(RESULTS.read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

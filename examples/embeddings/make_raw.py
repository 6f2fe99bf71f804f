"""Write raw files of 240 made-up admissions: tables of three splits, and embeddings in three forms.

Run `python examples/embeddings/make_raw.py raw`. Replace the random vectors by those of your own
encoder: the files stay the same.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

SPLITS = {"train": 140, "tuning": 50, "held_out": 50}
WIDTHS = {"cxr": 32, "ecg": 24, "labs": 16}


def write_raw(folder: Path) -> None:
    """Write the tables and the embeddings."""
    rng = np.random.default_rng(0)
    count = sum(SPLITS.values())
    shared = rng.normal(size=(count, 6))  # what all three recordings show
    ids = np.array([f"exam-{number}" for number in range(count)])
    vectors = {}
    for name, width in WIDTHS.items():
        noise = rng.normal(size=(count, width))
        vectors[name] = (shared @ rng.normal(size=(6, width)) + noise).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    # Three forms; the order of rows is free.
    order = rng.permutation(count)
    np.savez(folder / "cxr.npz", embeddings=vectors["cxr"][order], ids=ids[order])
    lists = [vector.tolist() for vector in vectors["ecg"]]
    pd.DataFrame({"id": ids, "embedding": lists}).to_parquet(folder / "ecg.parquet")
    np.save(folder / "labs.npy", vectors["labs"])
    np.save(folder / "labs_ids.npy", ids)
    table = pd.DataFrame({"admission": np.arange(count), "patient": np.arange(count)})
    for name in WIDTHS:  # an empty id: no such recording
        table[name] = np.where(rng.random(count) < 0.1, "", ids)
    table["died"] = (shared[:, 0] + rng.normal(size=count) > 0.5).astype(int)
    first = 0
    for split, size in SPLITS.items():
        table[first : first + size].to_csv(folder / f"{split}.csv", index=False)
        first += size


if __name__ == "__main__":
    write_raw(Path(sys.argv[1]))

"""What asking under many patterns costs: the default grid against `complete` on 10,000 samples.

A run of `benchmark missingness` is asked for one retrieval, on its store repeated until it has
10,000 samples: their recordings are encoded once, then they are scored under each pattern.

Run with `.venv/bin/python benchmarks/missingness.py missing`, the folder of a finished
`clinical-symile benchmark missingness --cohort synthetic --out missing`; it writes
`benchmarks/results/missingness.md`.
"""

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.missingness.patterns import expand
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import load_learner

SAMPLES = 10_000
OUT = Path(__file__).parent / "results" / "missingness.md"
HEAD = "| patterns | encoding | scoring and intervals | together | against `complete` |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", default="missingness-masked_cube-0")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    run = Run(options.folder / "runs" / options.run)
    task = parse_task(run.metadata["definition"], name=run.metadata["task"], where="run.toml")
    name = "retrieval/cxr_given_ecg_labs"
    asked = read_task(open_catalog(), name)
    assert isinstance(task, Pretraining)
    assert isinstance(asked, Retrieval)
    with tempfile.TemporaryDirectory() as folder:
        store = _repeated(open_store(options.folder / "store"), Path(folder))
        learner = load_learner(run, task, store)
        started = time.perf_counter()
        embeddings = embed_rows(learner.model, store, np.arange(SAMPLES))
        encoding = time.perf_counter() - started
        predictor = EmbeddingPredictor(embeddings, learner.objective, store)
        lines, whole = [HEAD, "|---|--:|--:|--:|--:|\n"], 0.0
        for words in (("complete",), ("every",), ("grid",)):
            patterns = expand(words, asked.query)
            started = time.perf_counter()
            made = evaluate(asked, predictor, store=store, run="r", seed=0, missingness=patterns)
            scoring = time.perf_counter() - started
            assert not made.unscored
            whole = whole or encoding + scoring
            lines.append(
                f"| `{words[0]}`: {len(patterns)} | {encoding:.1f} s | {scoring:.1f} s | "
                f"{encoding + scoring:.1f} s | {(encoding + scoring) / whole:.2f} |\n"
            )
    text = f"{SAMPLES} samples, `{name}`, {os.cpu_count()} cores:\n\n{''.join(lines)}"
    options.out.write_text(text, encoding="utf-8")
    print(text)


def _repeated(store: CohortStore, folder: Path) -> CohortStore:
    """Return the store with its complete samples repeated as further subjects, all held out."""
    whole = np.flatnonzero(store.present.all(axis=1))
    rows = np.resize(whole, SAMPLES)
    for modality in store.modalities:
        values = store.array(modality)
        copy = open_memmap(
            folder / f"{modality}.npy", "w+", values.dtype, (SAMPLES, *values.shape[1:])
        )
        for place, row in enumerate(rows):
            copy[place] = values[row]
    samples = store.samples.iloc[rows].reset_index(drop=True)
    names = pd.RangeIndex(SAMPLES).astype(str)
    split = np.where(np.arange(SAMPLES) < 300, "train", "held_out")
    samples = samples.assign(sample=names, subject=np.arange(SAMPLES), split=split)
    shutil.copy(store.path / "manifest.json", folder)
    return replace(store, path=folder, samples=samples, present=store.present[rows])


if __name__ == "__main__":
    main()

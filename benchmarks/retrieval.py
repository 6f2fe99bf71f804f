"""Time and memory of ranking among a large gallery.

Run with `.venv/bin/python benchmarks/retrieval.py`; it writes `benchmarks/results/retrieval.md`.
Embeddings are random: neither time nor memory depends on what they are.
"""

import argparse
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import Gallery
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.ranking import rank
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.objectives.symile import Symile

TASK = "retrieval/cxr_given_ecg_labs"
HEAD = (
    "| candidates | queries | dim | seconds | candidates scored a second | extra memory (MB) | "
    "queries x candidates in float64 (MB) |\n|--:|--:|--:|--:|--:|--:|--:|\n"
)


def peak_mb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(candidates: int, *, queries: int, dim: int) -> str:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(candidates, 3, dim, generator=generator)
    embeddings = Embeddings(
        z=z.div_(dim**0.5),
        available=torch.ones(candidates, 3, dtype=torch.bool),
        modalities=("cxr", "ecg", "labs"),
        rows=torch.arange(candidates),
    )
    task = read_task(open_catalog(), TASK)
    assert isinstance(task, Retrieval)
    nowhere: Any = None  # the store gives labels, which are not needed here
    predictor = EmbeddingPredictor(embeddings, Symile(), nowhere)
    everyone = np.arange(candidates)
    available = np.ones((queries, 2), dtype=bool)
    before, started = peak_mb(), time.perf_counter()
    request = Request(task, everyone[:queries], available, parse_pattern("complete"))
    rank(request, predictor, among=Gallery(everyone, everyone))
    seconds = time.perf_counter() - started
    return (
        f"| {candidates:,} | {queries} | {dim} | {seconds:.1f} | "
        f"{queries * candidates / seconds:,.0f} | {peak_mb() - before:.0f} | "
        f"{8 * queries * candidates / 2**20:,.0f} |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=128)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "retrieval.md"
    )
    options = parser.parse_args()
    rows = [
        measure(count, queries=options.queries, dim=options.dim) for count in options.candidates
    ]
    about = (
        f"\nOn a CPU ({platform.machine()}), {torch.get_num_threads()} threads, PyTorch "
        f"{torch.__version__}. Extra memory is how far the most that the process held rose.\n"
    )
    options.out.write_text(HEAD + "".join(rows) + about, encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

"""A step of a large batch of small encoders: seconds and peak memory, the plain way and ours.

Three ways, each in a process of its own: the whole batch through the encoders and a dense loss that
keeps the logits of all combinations; the same with the loss in tiles; and with the encoders over
few samples at a time besides (`encode_at_a_time`). Encoders and widths are those of the task
`pretraining/symile`, inputs are random and held in all ways. Memory is the peak above what was held
before the step. What would need more than `--memory` is listed with what it needs, and not run.

Run with `python benchmarks/large_batch.py`; the table is kept in
`benchmarks/results/large_batch.md`.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.loader import Batch
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.objectives.symile import symile_loss
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import ENCODERS

TASK = "pretraining/symile"
SHAPES = {"cxr": (1, 320, 320), "ecg": (12, 5000), "labs": (2, 50)}
HEAD = "| batch | encoders | loss | seconds | memory, MB |\n|--:|---|---|--:|--:|\n"


def dense_loss(z: Tensor, scale: float) -> Tensor:
    """Every logit in memory, one cube for all anchors."""
    logits = scale * torch.einsum("ad,bd,cd->abc", *z.unbind(dim=1))
    right = scale * z.prod(dim=1).sum(dim=1)
    sums = [logits.movedim(m, 0).flatten(1).logsumexp(dim=1) for m in range(3)]
    return (torch.stack(sums) - right).mean()


class Way(NamedTuple):
    """How a step is done.

    Attributes:
        loss: of embeddings and a scale.
        in_parts: whether encoders see few samples at a time.
    """

    loss: Callable[[Tensor, float], Tensor]
    in_parts: bool


WAYS = {
    "plain": Way(dense_loss, in_parts=False),
    "tiles": Way(symile_loss, in_parts=False),
    "tiles, in parts": Way(symile_loss, in_parts=True),
}


def needed(way: Way, batch: int, dim: int) -> float:
    """About how many bytes a loss holds at its peak."""
    return 4.0 * (3 * batch**2 * dim + 6 * batch**3) if way.loss is dense_loss else 0.0


def read() -> Pretraining:
    task = read_task(open_catalog(), TASK)
    assert isinstance(task, Pretraining)
    return task


def resident(field: str) -> float:
    """VmRSS or VmHWM of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure(way: Way, batch: int, at_a_time: int) -> dict[str, float]:
    """Measure one step in a process of its own."""
    task, generator = read(), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    encoders = {
        name: resolve(task.encoders[name].name, ENCODERS)(
            shape, task.dim, **task.encoders[name].arguments
        )
        for name, shape in SHAPES.items()
    }
    model = MultimodalEncoder(
        encoders,
        dim=task.dim,
        norm=task.norm,
        missing_modality=task.missing_modality,
        encode_at_a_time=at_a_time if way.in_parts else None,
    ).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def drawn(samples: int) -> Batch:
        inputs = {
            name: torch.rand(samples, *shape, generator=generator) for name, shape in SHAPES.items()
        }
        present = torch.ones(samples, len(SHAPES), dtype=torch.bool)
        return Batch(inputs, present, tuple(SHAPES), torch.arange(samples))

    def step(of: Batch) -> float:
        started = time.perf_counter()
        way.loss(model(of).z, task.dim / 2).backward()
        optimiser.step()
        optimiser.zero_grad()
        return time.perf_counter() - started

    step(drawn(8))  # what libraries set up once is not the step's
    whole = drawn(batch)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    seconds = step(whole)
    return {"seconds": seconds, "memory": resident("VmHWM") - before}


def row(name: str, batch: int, options: argparse.Namespace) -> str:
    way = WAYS[name]
    bytes_needed = needed(way, batch, read().dim)
    if bytes_needed > 1e9 * options.memory:
        cells = ["not run", f"the loss needs about {bytes_needed / 1e6:,.0f}"]
    else:
        words = [sys.executable, __file__, "--way", name, "--batches", str(batch)]
        words += ["--at-a-time", str(options.at_a_time)]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
        found = json.loads(done.stdout)
        cells = [f"{found['seconds']:.1f}", f"{found['memory'] / 1e6:,.0f}"]
    encoders = f"{options.at_a_time} at a time" if way.in_parts else "all at once"
    loss = "dense" if way.loss is dense_loss else "in tiles"
    return f"| {' | '.join([f'{batch:,}', encoders, loss, *cells])} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--at-a-time", type=int, default=64)
    parser.add_argument("--memory", type=float, default=8.0, help="limit in GB")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(WAYS[options.way], options.batches[0], options.at_a_time)))
        return
    rows = []
    for batch in options.batches:
        for name in WAYS:
            rows.append(row(name, batch, options))
            print(rows[-1], end="", flush=True)
    text = (
        f"A step of the encoders of `{TASK}` with all negatives: X-rays of 320 px, ECGs of 12 x "
        f"5000,\n50 labs, {read().dim} dimensions. Memory is the peak above inputs and weights. "
        f"On {platform.machine()},\n{torch.get_num_threads()} threads, PyTorch "
        f"{torch.__version__}. Made by `python benchmarks/large_batch.py`.\n\n{HEAD}"
        f"{''.join(rows)}"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "large_batch.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Memory and time of a step of every objective: how both grow, and against the plain way.

A step is the loss of a complete batch of three modalities and its gradients, in float32 on one
thread. Each objective has its default arguments and is measured in a process of its own.

- Memory is the peak above what was resident before the step, with views and side information
  already there. The exponentials that inner products keep, up to 59 MB whatever n is, are switched
  off, since they hide how the rest grows; `objectives.py --growth` measures both. Growth is the
  slope of log memory over log n for d = 64. An objective that compares all n^3 combinations is
  measured to n = 1,024, all others to n = 4,096. The limit at n = 1,024 and d = 512 is one and a
  half times the inputs and their gradients, and 64 MB.
- Time is compared at n = 1,024 and d = 128 with the plain way: the same objective, whose matrices
  of scores are kept for the way back by PyTorch's own differentiation. Both are processor seconds,
  the least of several steps that take turns. Objectives that reduce no matrix of scores tile by
  tile in `kernels.scores` have no plain way here.

Run with `python benchmarks/costs.py`, which writes `costs.md` into `benchmarks/results/`.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks.fixtures import toy_input
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels import tiled
from clinical_symile.objectives.kernels.scores import Excluded, ScoreReductions, TileScore
from clinical_symile.registry.base import keyword_arguments, resolve
from clinical_symile.registry.families import OBJECTIVES

MODALITIES = ("cxr", "ecg", "labs")
SIZES = (256, 1024, 4096)
CUBES = {"balanced_symile", "sigmoid_symile", "symile"}  # all combinations of three
LARGEST_CUBE = 1024
HEAD = (
    "| objective | memory at n = 1,024, d = 64, MB | growth | memory at n = 1,024, d = 512, MB "
    "| limit, MB | time against the plain way |\n|---|--:|--:|--:|--:|--:|\n"
)


def plain_reductions(
    score: TileScore,
    left: Sequence[Tensor],
    right: Sequence[Tensor],
    parameters: Sequence[Tensor] = (),
    *,
    excluded: Excluded | None = None,
    only: str | None = None,
    tile_cells: int = 0,
) -> ScoreReductions:
    """Reduce the whole matrix of scores, which PyTorch keeps for the way back."""
    scores = score(left, right, parameters)
    sums, exponents = scores, scores
    if excluded is not None:
        mask = excluded.left[:, None] == excluded.right
        sums, exponents = scores.masked_fill(mask, 0), scores.masked_fill(mask, -math.inf)
    ways: dict[str, Callable[[], Tensor]] = {
        "rows": lambda: exponents.logsumexp(dim=1),
        "columns": lambda: exponents.logsumexp(dim=0),
        "row_sums": lambda: sums.sum(dim=1),
        "column_sums": lambda: sums.sum(dim=0),
    }
    nothing = scores.new_full((), math.nan)
    return ScoreReductions(
        *(way() if only in (None, name) else nothing for name, way in ways.items())
    )


def made(name: str, n: int, d: int) -> tuple[Objective, ObjectiveInput, Tensor]:
    """Return the objective, the input of a step, and the embeddings that gradients are for."""
    generator = torch.Generator().manual_seed(0)
    objective = resolve(name, OBJECTIVES)()
    objective.connect(modalities=MODALITIES, dim=d, norm="l2", generator=generator)
    objective.begin_training(rows=n, batch_size=n)
    width = 2 * d if objective.spread else d
    z = torch.randn(n, 3, width, generator=generator)
    z[..., :d] = torch.nn.functional.normalize(z[..., :d], dim=2)
    rows = torch.arange(n)
    available = torch.ones(n, 3, dtype=torch.bool)
    embeddings = Embeddings(
        z.requires_grad_(), available, MODALITIES, rows, spread=objective.spread
    )
    side = SideInformation(
        rows,
        labels=(torch.rand(n, 3, generator=generator) < 0.5).float(),
        subjects=rows // 2,
        values=torch.randn(n, 4, generator=generator),
    )
    return objective, toy_input(objective, embeddings, side), z


def step(objective: Objective, inputs: ObjectiveInput, z: Tensor) -> None:
    z.grad = None
    drawn = torch.Generator().manual_seed(1)
    objective.training_loss(inputs, group=None, generator=drawn).total.backward(retain_graph=True)


def resident(field: str) -> float:
    """VmRSS or VmHWM of this process, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def memory(name: str, n: int, d: int) -> float:
    """Return the peak of a step above what was resident before, in MB."""
    parts = made(name, n, d)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    step(*parts)
    return resident("VmHWM") - before


def slowdown(name: str, repeats: int) -> float | None:
    """Return the time of a step over that of the plain way; None if the objective has no other."""
    parts, times = made(name, 1024, 128), np.zeros((repeats + 1, 2))
    modules = [
        module
        for path, module in sys.modules.items()
        if path.startswith("clinical_symile.objectives.") and hasattr(module, "reduce_scores")
        if not path.endswith("kernels.scores")
    ]
    tiled = [module.reduce_scores for module in modules]
    calls: list[str] = []

    def counted(*arguments: object, **settings: object) -> ScoreReductions:
        calls.append("")
        return plain_reductions(*arguments, **settings)  # pyright: ignore

    for turn in range(repeats + 1):
        for column, ways in enumerate((tiled, [counted] * len(modules))):
            for module, way in zip(modules, ways, strict=True):
                module.reduce_scores = way  # pyright: ignore
            start = time.process_time()
            step(*parts)
            times[turn, column] = time.process_time() - start
    ours, plain = times[1:].min(axis=0)
    return ours / plain if calls else None


def memories(name: str) -> dict[str, float]:
    """Measure the memory of one objective in this process."""
    tiled.KEPT_BYTES = 0
    memory(name, min(SIZES), 64)  # what libraries set up once is not the step's
    largest = LARGEST_CUBE if name in CUBES else max(SIZES)
    sizes = [n for n in SIZES if n <= largest]
    found = [memory(name, n, 64) for n in sizes]
    wide = made(name, 8, 512)[0].spread + 1
    return {
        "middle": found[sizes.index(1024)],
        "growth": float(np.polyfit(np.log(sizes), np.log(np.maximum(found, 0.1)), 1)[0]),
        "wide": memory(name, 1024, 512),
        "limit": 1.5 * 2 * 4 * 1024 * 3 * 512 * wide / 1e6 + 64,
    }


def in_a_process(name: str, what: str, repeats: int) -> Any:
    words = [sys.executable, __file__, f"--{what}", name, f"--repeats={repeats}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if what == "memory":
        # Large blocks go back to the system at once, so that each peak is that of its own step.
        environment |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--objectives", help="by name, with commas; default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    parser.add_argument("--time", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        print(json.dumps(memories(options.memory)))
        return
    if options.time:
        print(json.dumps(slowdown(options.time, options.repeats)))
        return
    names = options.objectives.split(",") if options.objectives else sorted(OBJECTIVES)
    lines = []
    for name in names:
        keyword_arguments(name, OBJECTIVES)  # an unknown name is refused before the first process
        found = in_a_process(name, "memory", options.repeats)
        ratio = in_a_process(name, "time", options.repeats)
        cells = [f"{found[key]:.{digits}f}" for key, digits in (("middle", 1), ("growth", 2))]
        cells += [f"{found['wide']:.0f}", f"{found['limit']:.0f}"]
        cells += ["" if ratio is None else f"{ratio:.2f}"]
        lines.append(f"| `{name}` | {' | '.join(cells)} |\n")
        print(lines[-1], end="", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    text = (
        "A step is the loss of a complete batch of three modalities and its gradients, in\n"
        "float32 on one thread. Growth is the slope of log memory over log n at d = 64, to\n"
        "n = 4,096, or 1,024 for objectives of all n^3 combinations. The limit is 1.5 times\n"
        "inputs and gradients, and 64 MB. Exponentials that are kept, up to 59 MB whatever n\n"
        "is, are not counted. Time is that of n = 1,024, d = 128, in processor\n"
        "seconds, over that of the same objective with its matrices of scores kept. Made by\n"
        f"`python benchmarks/costs.py` on {platform.machine()}, {os.cpu_count()} cores, "
        f"PyTorch {torch.__version__}.\n\n"
    )
    (options.out / "costs.md").write_text(text + HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()

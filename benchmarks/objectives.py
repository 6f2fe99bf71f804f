"""Exact Symile side by side: the authors' package, the dense einsum, and ours.

A step is the loss with all negatives and its gradients, in float32 on the CPU. Each is measured in
a process of its own, with the rate of a plain product of two large matrices in the same process.
Seconds are the least of several repeats; processor seconds are those of all threads together, and
depend less on what else the machine does. Memory is the peak above what was resident before the
first step. What would need more memory than `--memory` is listed with what it needs, and not run.
Where there is a GPU, the same is measured there, and the fused kernels beside the tiles.

Run with `pip install '.[benchmark]' && python benchmarks/objectives.py`; the table is kept in
`benchmarks/results/objectives.md`. With `--growth` it measures instead how memory grows with the
batch, for some minutes, and keeps that in `benchmarks/results/objectives_growth.md`.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.kernels.tiled import KEPT_BYTES
from clinical_symile.objectives.symile import symile_loss

PRODUCT = 2048
CASES = ((256, 512, 3), (64, 256, 4), (128, 64, 3), (280, 8192, 3))
CASES_ON_GPU = ((256, 512, 3), (280, 8192, 3), (1024, 8192, 3))
GROWTH = {3: (256, 512, 1024, 2048, 4096), 2: (256, 1024, 4096, 16384)}
GROWTH_DIM = {3: 4, 2: 64}
GROWTH_HEAD = (
    "| loss | n | d | M | memory, MB | exponentials kept, MB | without them, MB |\n"
    "|---|--:|--:|--:|--:|--:|--:|\n"
)
HEAD = (
    "| step | n | d | M | threads | seconds | processor seconds | memory, MB | of the rate | "
    "of it, in processor seconds |\n"
)
RULE = "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"


def official(z: Tensor, scale: Tensor) -> Tensor:
    package = importlib.import_module("symile")
    return package.Symile(negative_sampling="n_squared")(list(z.unbind(dim=1)), scale)


def dense(z: Tensor, scale: Tensor) -> Tensor:
    axes = ascii_lowercase[: z.shape[1]]
    factors = ",".join(f"{axis}z" for axis in axes)
    logits = scale * torch.einsum(f"{factors}->{axes}", *z.unbind(dim=1))
    right = scale * z.prod(dim=1).sum(dim=1)
    sums = [logits.movedim(m, 0).flatten(1).logsumexp(dim=1) for m in range(z.shape[1])]
    return (torch.stack(sums) - right).mean()


STEPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "official": official,
    "dense": dense,
    "ours": symile_loss,
    "ours, fused": partial(symile_loss, kernel="fused"),
    "ours, CLIP": clip_loss,
}


def operations(n: int, d: int, modalities: int) -> float:
    """Those of a step of ours if no tile is kept."""
    return 8.0 * n**modalities * d


def needed(step: str, n: int, d: int, modalities: int) -> float:
    """Estimate the peak memory of a step in bytes, from the sizes of the tensors that it keeps."""
    products, cube = n ** (modalities - 1) * d, n**modalities
    if step == "official":
        return 4.0 * (8 * products + 9 * cube) * modalities / 3
    return 4.0 * (3 * products + 6 * cube) if step == "dense" else 0.0


def resident(field: str) -> float:
    """VmRSS or VmHWM of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def timed(work: Callable[[], object], device: str) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - processor


def forget_peak(device: str) -> float:
    """Return the allocated bytes, and measure peaks from here on."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def measure(
    step: str, n: int, d: int, modalities: int, *, repeats: int, device: str
) -> dict[str, float]:
    """Measure one step in a process of its own."""
    generator = torch.Generator().manual_seed(0)

    def work(n: int = n) -> None:
        drawn = torch.randn(n, modalities, d, generator=generator)
        z = functional.normalize(drawn.to(device), dim=2)
        scale = torch.tensor(d ** ((modalities - 1) / 2), device=device, requires_grad=True)
        loss = STEPS[step](z.requires_grad_(), scale)
        loss.backward()
        found["loss"] = loss.item()

    found: dict[str, float] = {}
    work(8)  # what libraries set up once is not the step's
    before = forget_peak(device)
    times = [timed(work, device)]
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident("VmHWM")
    found["memory"] = peak - before
    square, out = torch.randn(2, PRODUCT, PRODUCT, device=device)

    def product() -> Tensor:
        return torch.mm(square, square, out=out)

    products = [timed(product, device) for _ in range(3)]
    for _ in range(repeats - 1):
        times.append(timed(work, device))
        products += [timed(product, device) for _ in range(2)]
    found["seconds"], found["processor"] = np.min(times, axis=0)
    rate, processor_rate = 2 * PRODUCT**3 / np.min(products, axis=0)
    found["share"] = operations(n, d, modalities) / found["seconds"] / rate
    found["processor_share"] = operations(n, d, modalities) / found["processor"] / processor_rate
    found["rate"] = rate
    return {key: float(value) for key, value in found.items()}


def in_a_process(
    step: str, n: int, d: int, modalities: int, *, threads: int, repeats: int, device: str = "cpu"
) -> dict[str, float]:
    words = [sys.executable, __file__, "--one", json.dumps([step, n, d, modalities])]
    words += [f"--threads={threads}", f"--repeats={repeats}", f"--device={device}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout)


def line(
    step: str, n: int, d: int, modalities: int, threads: int | str, found: dict[str, float] | None
) -> str:
    if found is None:
        cells = [f"not run, needs about {needed(step, n, d, modalities) / 1e9:.0f} GB", *[""] * 4]
    else:
        cells = [
            f"{found['seconds']:.3g}",
            f"{found['processor']:.3g}",
            f"{found['memory'] / 1e6:.0f}",
            f"{found['share']:.0%}",
            f"{found['processor_share']:.0%}",
        ]
    return f"| {' | '.join([step, *map(str, (n, d, modalities, threads)), *cells])} |\n"


def compare(case: tuple[int, int, int], threads: int, options: argparse.Namespace) -> list[str]:
    """Return a line for each step, and lines that compare them."""
    found: dict[str, dict[str, float]] = {}
    lines, ratios = [], []
    for step in ("official", "dense", "ours"):
        if needed(step, *case) <= 1e9 * options.memory:
            repeats = 1 if operations(*case) > 1e12 else options.repeats
            found[step] = in_a_process(step, *case, threads=threads, repeats=repeats)
        lines.append(line(step, *case, threads, found.get(step)))
        print(lines[-1], end="", flush=True)
    ours = found.pop("ours")
    for step, other in found.items():
        # The same numbers are drawn in every process.
        assert abs(other["loss"] - ours["loss"]) < 1e-4 * abs(other["loss"])
        n, d, modalities = case
        ratios.append(
            f"- n = {n}, d = {d}, M = {modalities}, {threads} threads, against {step}: "
            f"{other['seconds'] / ours['seconds']:.1f} times faster "
            f"({other['processor'] / ours['processor']:.1f} in processor seconds), "
            f"{other['memory'] / max(ours['memory'], 1):.0f} times less memory.\n"
        )
    return lines + ratios


def on_gpu(options: argparse.Namespace) -> list[str]:
    """A line for each step and case."""
    lines = []
    for case in CASES_ON_GPU:
        for step in ("official", "dense", "ours", "ours, fused"):
            found = None
            if needed(step, *case) <= torch.cuda.mem_get_info()[0]:
                found = in_a_process(
                    step, *case, threads=options.threads, repeats=options.repeats, device="cuda"
                )
            lines.append(line(step, *case, "GPU", found))
            print(lines[-1], end="", flush=True)
    return [f"\nOn {torch.cuda.get_device_name()}:\n\n", HEAD, RULE, *lines]


def growth(sizes: Sequence[int], modalities: int) -> list[str]:
    """A line for each batch, and how memory grows with it."""
    step, d = "ours" if modalities > 2 else "ours, CLIP", GROWTH_DIM[modalities]
    lines, memory, rest = [], [], []
    for n in sizes:
        found = in_a_process(step, n, d, modalities, threads=1, repeats=1)
        kept = min(KEPT_BYTES, 4 * n**modalities)
        memory.append(found["memory"])
        rest.append(found["memory"] - kept)
        numbers = (f"{value / 1e6:.1f}" for value in (memory[-1], kept, rest[-1]))
        lines.append(f"| {' | '.join([step, *map(str, (n, d, modalities)), *numbers])} |\n")
        print(lines[-1], end="", flush=True)
    slopes = [np.polyfit(np.log(sizes), np.log(m), 1)[0] for m in (memory, np.maximum(rest, 1))]
    return [
        *lines,
        "\nSlope of log memory over log n: {:.2f}, and {:.2f} without the exponentials.\n".format(
            *slopes
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3, help="one beyond 10^12 operations")
    parser.add_argument("--memory", type=float, default=8.0, help="limit in GB")
    parser.add_argument("--growth", action="store_true", help="of memory, instead")
    parser.add_argument("--largest", type=int, default=4096, help="with --growth, n of M = 3")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        case: Any = json.loads(options.one)
        print(json.dumps(measure(*case, repeats=options.repeats, device=options.device)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    machine = f"on {platform.machine()}, {os.cpu_count()} cores, PyTorch {torch.__version__}.\n"
    if options.growth:
        text = [
            "Peak memory of a step of all negatives and its gradients in float32, on one thread,\n"
            "above what was resident before. Up to "
            f"{KEPT_BYTES / 1e6:.0f} MB of it are exponentials that the way back\nneed not compute "
            "again: all of a small cube, and of a large one the first. Made by\n"
            f"`python benchmarks/objectives.py --growth` {machine}\n",
            GROWTH_HEAD,
            *growth([n for n in GROWTH[3] if n <= options.largest], 3),
            "\nCLIP of two modalities:\n\n",
            GROWTH_HEAD,
            *growth(GROWTH[2], 2),
        ]
        (options.out / "objectives_growth.md").write_text("".join(text), encoding="utf-8")
        return
    made = [
        made
        for threads in sorted({1, options.threads})
        for case in CASES
        for made in compare(case, threads, options)
    ]
    text = [
        "A step of all negatives and its gradients in float32. The rate is that of a product of\n"
        f"two matrices of {PRODUCT} rows and columns in the same process. Shares of it are of\n"
        "8 n^M d operations, what the tiles need if none is kept. Made by\n"
        f"`python benchmarks/objectives.py --repeats {options.repeats}` {machine}\n",
        *(HEAD, RULE, *(row for row in made if row.startswith("|"))),
        "\n",
        *(row for row in made if row.startswith("-")),
        *(on_gpu(options) if torch.cuda.is_available() else []),
    ]
    (options.out / "objectives.md").write_text("".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()

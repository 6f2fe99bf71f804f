"""Samples a second of a training step of the paper's three towers, and where its time goes.

Three ways, in processes that take turns, from the same recordings and with the same weights:

- ours: batches from the store as training reads them (held on a GPU where they fit, else read
  ahead), `precision = "auto"` (bf16 where the device has instructions for it, channels-last and
  fused AdamW), and the loss in tiles;
- ours, float32: the same without bf16, as on a processor that has none;
- plain: all inputs as float32 in memory, PyTorch's `DataLoader`, float32 and a dense loss, whose
  logits of all combinations are kept for the way back.

`--compile` adds both of ours with encoders compiled by `torch.compile`, and the seconds of their
first step.

Recordings are random: neither time nor memory depends on what they are. The default is the paper's
step (ResNet-50 at 320 px, ResNet-18 over 12 x 5000, an MLP, 8192 dimensions, batches of 280) on a
GPU, with as many samples as its memory holds, and of 8 samples on a CPU; what was run is printed.
`--task pretraining/symile` measures the small encoders of the demo.

Run with `python benchmarks/throughput.py`; the table is kept in `benchmarks/results/throughput.md`,
and that of another task in `throughput_small.md`.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch, open_loader, prefetch
from clinical_symile.data.store import CohortStore
from clinical_symile.objectives.base import Objective
from clinical_symile.training.convolutions import guard_narrow_convolutions
from clinical_symile.training.learner import build_learner
from clinical_symile.training.optim import parameter_groups
from clinical_symile.training.precision import (
    processor_has_bf16,
)

TASK = "pretraining/paper/symile"
ANALYTES = 50
PARTS = ("reading", "encoders forward", "loss", "encoders backward", "optimiser")
# Of a sample's way through ResNet-50 at 320 px and ResNet-18 over 12 x 5000, in float32.
ACTIVATION_BYTES = 0.3e9
HEAD = (
    f"| way | samples a second | {', s | '.join(PARTS)}, s | processor time of a step, s | "
    "peak memory, GB |\n"
    f"|---|--:|{'--:|' * len(PARTS)}--:|--:|\n"
)


@dataclass(frozen=True)
class Sizes:
    """Of a step; the defaults are the paper's.

    Attributes:
        batch: samples.
        size_px: height and width of an X-ray.
        times: of an ECG.
        dim: of an embedding.
    """

    batch: int = 280
    size_px: int = 320
    times: int = 5000
    dim: int = 8192


def fitting(device: torch.device) -> Sizes:
    """The paper's, with as many samples as a GPU holds the plain way, and with 8 on a CPU."""
    if device.type != "cuda":
        return Sizes(batch=8)
    free, _ = torch.cuda.mem_get_info(device)
    batch = Sizes.batch
    while batch > 8 and ACTIVATION_BYTES * batch + dense_bytes(batch, Sizes.dim) > 0.9 * free:
        batch -= 8
    return Sizes(batch=batch)


def dense_bytes(n: int, dim: int) -> float:
    """About what the dense loss of three modalities holds at its peak."""
    return 4.0 * (3 * n**2 * dim + 6 * n**3)


def random_store(path: Path, sizes: Sizes, samples: int) -> CohortStore:
    """A store of random recordings in the types that recordings are stored in."""
    rng = np.random.default_rng(0)
    ecgs = rng.normal(0, 200, (samples, 12, sizes.times)).astype(np.int16)
    np.save(path / "ecg.npy", ecgs)
    xrays = rng.integers(0, 256, (samples, 1, sizes.size_px, sizes.size_px), dtype=np.uint8)
    np.save(path / "cxr.npy", xrays)
    np.save(path / "labs.npy", rng.normal(0, 1, (samples, ANALYTES)).astype(np.float32))
    values = np.linspace(-2, 2, 101).tolist()
    labs = {
        "distributions": [{"values": values, "counts": [1] * len(values)}] * ANALYTES,
        "mean_percentile": [0.5] * ANALYTES,
    }
    statistics = {"cxr": {}, "ecg": {"sd_mv": [0.2] * 12}, "labs": labs}
    return CohortStore(
        path=path,
        manifest={
            "cohort": "random",
            "modalities": {
                name: {"adapter": name, "statistics": told} for name, told in statistics.items()
            },
        },
        samples=pd.DataFrame({"split": ["train"] * samples}),
        modalities=tuple(statistics),
        present=np.ones((samples, len(statistics)), dtype=bool),
        candidates=None,
    )


def read_ahead(store: CohortStore, task: Pretraining, device: torch.device) -> Iterator[Batch]:
    """As `clinical_symile.training.train` reads."""
    feed, rng = open_loader(store, task.modalities, device=device), np.random.default_rng(0)
    samples = len(store.samples)
    return prefetch(feed.batch(rng.permutation(samples)[: task.batch_size]) for _ in count())


def loaded(store: CohortStore, task: Pretraining, device: torch.device) -> Iterator[Batch]:
    """All inputs in memory as encoders read them."""
    rows = np.arange(len(store.samples))
    inputs = [torch.from_numpy(store.inputs(name, rows)) for name in task.modalities]
    loader = DataLoader(
        TensorDataset(torch.from_numpy(rows), *inputs),
        batch_size=task.batch_size,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(0),
    )
    for _ in count():
        for number, *values in loader:
            sent = dict(zip(task.modalities, (v.to(device) for v in values), strict=True))
            present = torch.ones(len(number), len(sent), dtype=torch.bool, device=device)
            yield Batch(sent, present, task.modalities, number.to(device))


def own_loss(objective: Objective, embeddings: Embeddings) -> Tensor:
    return objective(embeddings)


def dense_loss(objective: Objective, embeddings: Embeddings) -> Tensor:
    """Every logit in memory, one cube for all anchors."""
    z, scale = embeddings.z, objective.logit_scale
    logits = scale * torch.einsum("ad,bd,cd->abc", *z.unbind(dim=1))
    right = scale * z.prod(dim=1).sum(dim=1)
    sums = [logits.movedim(m, 0).flatten(1).logsumexp(dim=1) for m in range(3)]
    return (torch.stack(sums) - right).mean()


class Way(NamedTuple):
    """How a step is done.

    Attributes:
        batches: endless.
        loss: of embeddings.
        fast: channels-last and with fused AdamW.
        mixed: encoders compute in bf16 where the device has instructions for it.
        compiled: encoders are compiled.
    """

    batches: Callable[[CohortStore, Pretraining, torch.device], Iterator[Batch]]
    loss: Callable[[Objective, Embeddings], Tensor]
    fast: bool
    mixed: bool
    compiled: bool = False


COMPILED = ("ours, compiled", "ours, float32, compiled")
WAYS = {
    "ours": Way(read_ahead, own_loss, fast=True, mixed=True),
    "ours, float32": Way(read_ahead, own_loss, fast=True, mixed=False),
    COMPILED[0]: Way(read_ahead, own_loss, fast=True, mixed=True, compiled=True),
    COMPILED[1]: Way(read_ahead, own_loss, fast=True, mixed=False, compiled=True),
    "plain": Way(loaded, dense_loss, fast=False, mixed=False),
}


def measure(
    way: Way, name: str, sizes: Sizes, device: torch.device, steps: int
) -> dict[str, float]:
    """Seconds of each part of a step, the median over steps after the first."""
    task = read_task(
        open_catalog(),
        name,
        overrides=[f"dim={sizes.dim}", f"batch_size={sizes.batch}"],
    )
    assert isinstance(task, Pretraining)
    has_bf16 = device.type == "cuda" or processor_has_bf16()
    with tempfile.TemporaryDirectory() as folder:
        store = random_store(Path(folder), sizes, 2 * sizes.batch)
        learner = build_learner(task, store, seed=0).to(device).train()
        if way.mixed or way.fast:
            guard_narrow_convolutions(learner.model, fast=way.fast)
        if way.fast:
            learner.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        for encoder in learner.model.encoders.values() if way.compiled else ():
            encoder.compile(backend="inductor")
        optimiser = torch.optim.AdamW(
            parameter_groups(learner, task.optimiser), lr=1e-4, fused=way.fast
        )
        forget_peak(device)
        batches, seconds, losses, spent = way.batches(store, task, device), [], [], []
        for _ in range(steps + 1):
            begun, marks = time.process_time(), [now(device)]
            batch = next(batches)
            marks.append(now(device))
            with torch.autocast(device.type, torch.bfloat16, enabled=way.mixed and has_bf16):
                embeddings = learner.model(batch)
            marks.append(now(device))
            z = embeddings.z.detach().float().requires_grad_()
            loss = way.loss(learner.objective, replace(embeddings, z=z))
            loss.backward()
            marks.append(now(device))
            assert z.grad is not None
            embeddings.z.backward(z.grad.to(embeddings.z.dtype))
            marks.append(now(device))
            torch.nn.utils.clip_grad_norm_(learner.parameters(), task.optimiser.gradient_clip)
            optimiser.step()
            optimiser.zero_grad()
            marks.append(now(device))
            seconds.append(np.diff(marks))
            spent.append(time.process_time() - begun)
            losses.append(loss.item())
    found = dict(zip(PARTS, np.median(seconds[1:], axis=0).tolist(), strict=True))
    more = {"first": float(np.sum(seconds[0])), "processor": float(np.median(spent[1:]))}
    return {**found, **more, "memory": peak(device), "value": losses[0]}


def now(device: torch.device) -> float:
    """Wait until the device has finished, and return the time in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak(device: torch.device) -> float:
    """The most memory since, in bytes: of a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def row(name: str, sizes: Sizes, found: dict[str, float]) -> str:
    step = sum(found[part] for part in PARTS)
    cells = [name, f"{sizes.batch / step:.3g}", *(f"{found[part]:.3g}" for part in PARTS)]
    cells += [f"{found['processor']:.3g}", f"{found['memory'] / 1e9:.2f}"]
    return f"| {' | '.join(cells)} |\n"


def in_a_process(name: str, options: argparse.Namespace, sizes: Sizes) -> dict[str, float]:
    words = [sys.executable, __file__, "--way", name, "--device", str(options.device)]
    words += ["--steps", str(options.steps), "--task", options.task]
    words += ["--threads", str(options.threads)]
    for field, value in asdict(sizes).items():
        words += [f"--{field.replace('_', '-')}", str(value)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--device", type=torch.device, help="default: a GPU where there is one")
    parser.add_argument("--steps", type=int, default=3, help="after a first that is not counted")
    for field in fields(Sizes):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int)
    parser.add_argument("--task", default=TASK)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=1, help="processes of each way, in turn")
    parser.add_argument("--compile", action="store_true", help="measure `torch.compile` too")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.device = options.device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options.threads)
    given = {field.name: getattr(options, field.name) for field in fields(Sizes)}
    sizes = replace(fitting(options.device), **{k: v for k, v in given.items() if v is not None})
    if options.way:
        way = WAYS[options.way]
        print(json.dumps(measure(way, options.task, sizes, options.device, options.steps)))
        return
    print(sizes, flush=True)
    ways = [name for name in WAYS if options.compile or name not in COMPILED]
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name in ways:
            turns[name].append(in_a_process(name, options, sizes))
            print(row(name, sizes, turns[name][-1]), end="", flush=True)
    # The same weights; samples of one synthetic store, perhaps in another order.
    first = {name: turns[name][0]["value"] for name in ways}
    assert all(abs(value - first["plain"]) < 0.1 for value in first.values()), first
    text = page(options, sizes, turns)
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    file = "throughput.md" if options.task == TASK else "throughput_small.md"
    (options.out / file).write_text(text, encoding="utf-8")


def page(
    options: argparse.Namespace, sizes: Sizes, turns: dict[str, list[dict[str, float]]]
) -> str:
    """The table, and how many times as fast each way is as the plain one."""
    found = {
        name: {key: float(np.median([one[key] for one in each])) for key in each[0]}
        for name, each in turns.items()
    }
    device = platform.machine()
    if options.device.type == "cuda":
        device = torch.cuda.get_device_name(options.device)
    asked = f" --threads {options.threads} --rounds {options.rounds}"
    asked += " --compile" * options.compile
    towers = ""
    if options.task == TASK:
        towers = f": ResNet-50 at {sizes.size_px} px, ResNet-18 over 12 x {sizes.times}, an MLP"
    text = (
        f"A step of {sizes.batch} samples of `{options.task}`{towers},\n{sizes.dim} dimensions, "
        f"all negatives, X-rays of {sizes.size_px} px, ECGs of 12 x {sizes.times}; the paper's is "
        f"{Sizes.batch}, {Sizes.size_px} px, 12 x {Sizes.times} and {Sizes.dim}. On\n{device} "
        f"{'with' if processor_has_bf16() else 'without'} bf16 instructions, {options.threads} "
        f"threads, PyTorch {torch.__version__}, the median of {options.steps} steps and "
        f"{options.rounds} rounds.\nMade by `python benchmarks/throughput.py{asked}`.\n\n"
        f"{HEAD}{''.join(row(name, sizes, one) for name, one in found.items())}\n"
    )
    plain = found["plain"]
    whole = sum(plain[part] for part in PARTS)
    for name, one in found.items():
        if name != "plain":
            ratio = whole / sum(one[part] for part in PARTS)
            text += (
                f"{name.capitalize()} is {ratio:.2f} times as fast as plain "
                f"({plain['processor'] / one['processor']:.2f} by processor time); its first step "
                f"took {one['first']:.1f} s.\n"
            )
    return text


if __name__ == "__main__":
    main()

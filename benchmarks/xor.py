"""The paper's binary XOR experiment: what Symile sees and pairwise CLIP cannot.

Vectors a and b are five fair bits each; for each sample c is a XOR b with probability p̂, else a.
Neither a nor c alone says anything about b, for any p̂; together they say it with probability p̂.
Predicting b among its 32 values from a and c, the best possible accuracy is 1/32 + 31/32 · p̂.

Settings are those of the authors' repository (https://github.com/rajesh-lab/symile): 10,000, 1,000
and 5,000 samples for training, tuning and held out, linear encoders to 16 dimensions, unit length,
AdamW with learning rate 0.1 and weight decay 0.01, batches of 1,000, 100 epochs, logit scale from
exp(-0.3), shuffled negatives. One thing differs: the checkpoint is the one with the best tuning
accuracy (the earliest, of several). The authors take the least tuning loss, which with shuffled
negatives depends on one permutation that all samples share, and so is noisy.

Run with `python benchmarks/xor.py`; results are in `benchmarks/results/`.
"""

import argparse
import csv
import math
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.metrics.retrieval import RECALL_AT_1, expected_ranks
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.symile import Symile
from clinical_symile.stats.bootstrap import bootstrap

BITS = 5
DIM = 16
MODALITIES = ("a", "b", "c")
CANDIDATES = 2**BITS
SAMPLES = {"train": 10_000, "tuning": 1_000, "held_out": 5_000}
# All negatives of a batch of 1,000 are 10⁹ products; of 100, they cost what 1,000 shuffled ones do.
BATCH_SIZE = {"shuffled": 1_000, "all": 100}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the result: one objective at one p̂."""

    probability: float
    objective: str
    accuracy: float
    low: float
    high: float
    best_possible: float
    chance: float
    epoch: int
    tuning_accuracy: float
    samples: int
    seed: int


def best_possible(probability: float) -> float:
    return 1 / CANDIDATES + (1 - 1 / CANDIDATES) * probability


def draw(
    samples: int, *, probability: float, generator: torch.Generator
) -> Float[Tensor, "sample modality bit"]:
    a, b = torch.randint(2, (2, samples, BITS), generator=generator)
    mixed = torch.rand(samples, 1, generator=generator) < probability
    return torch.stack([a, b, torch.where(mixed, a ^ b, a)], dim=1).float()


def embed(encoders: nn.ModuleList, bits: Float[Tensor, "sample modality bit"]) -> Embeddings:
    z = torch.stack([encoder(bits[:, m]) for m, encoder in enumerate(encoders)], dim=1)
    return Embeddings(
        z=functional.normalize(z, dim=2),
        available=torch.ones(z.shape[:2], dtype=torch.bool),
        modalities=MODALITIES,
        rows=torch.arange(len(z)),
    )


@torch.no_grad()
def retrieve_b(
    objective: Objective, encoders: nn.ModuleList, bits: Float[Tensor, "sample modality bit"]
) -> tuple[Int[np.ndarray, " query"], Int[np.ndarray, " query"]]:
    """How many of the 32 values of b score above the right one, and how many tie with it."""
    places = 2 ** torch.arange(BITS)
    values = (torch.arange(CANDIDATES)[:, None] // places % 2).float()
    candidates = functional.normalize(encoders[MODALITIES.index("b")](values), dim=1)
    scores = objective.score(embed(encoders, bits), candidates, target="b")
    right = (bits[:, MODALITIES.index("b")].long() * places).sum(dim=1)
    return expected_ranks(scores.numpy(), right.numpy())


def learn(
    objective: Objective,
    *,
    probability: float,
    epochs: int,
    batch_size: int,
    seed: int,
    samples: dict[str, int] = SAMPLES,
    progress: Progress | None = None,
) -> Row:
    """Train one objective at one p̂ and score the checkpoint with the best tuning accuracy."""
    generator = torch.Generator().manual_seed(seed)
    data = {
        split: draw(size, probability=probability, generator=generator)
        for split, size in samples.items()
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoders = nn.ModuleList(nn.Linear(BITS, DIM) for _ in MODALITIES)
    optimizer = torch.optim.AdamW(
        [*encoders.parameters(), *objective.parameters()], lr=0.1, weight_decay=0.01
    )
    name = type(objective).__name__.lower()
    best_tuning, best_epoch, best_outcome = -1.0, 0, None
    bar = progress.add_task(f"{name}, p̂ = {probability:.1f}", total=epochs) if progress else None
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(data["train"]), generator=generator)
        for rows in order.split(batch_size):
            optimizer.zero_grad()
            objective(embed(encoders, data["train"][rows]), generator=generator).backward()
            optimizer.step()
        tuning = RECALL_AT_1.compute(*retrieve_b(objective, encoders, data["tuning"]))
        if tuning > best_tuning:
            best_tuning, best_epoch = tuning, epoch
            best_outcome = retrieve_b(objective, encoders, data["held_out"])
        if progress and bar is not None:
            progress.advance(bar)
    if progress and bar is not None:
        progress.remove_task(bar)
    assert best_outcome is not None
    queries = len(data["held_out"])
    interval = bootstrap(
        RECALL_AT_1.compute, best_outcome, np.arange(queries), rng=np.random.default_rng(seed)
    )
    return Row(
        probability=probability,
        objective=name,
        accuracy=interval.value,
        low=interval.low,
        high=interval.high,
        best_possible=best_possible(probability),
        chance=1 / CANDIDATES,
        epoch=best_epoch,
        tuning_accuracy=best_tuning,
        samples=queries,
        seed=seed,
    )


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in asdict(row).items()}
            )


def draw_figure(path: Path, rows: list[Row]) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "xor"})
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    line = np.array([0.0, 1.0])
    axes.plot(
        line, [best_possible(p) for p in line], color="0.35", linewidth=1, label="best possible"
    )
    axes.axhline(1 / CANDIDATES, color="0.35", linewidth=1, linestyle=":", label="chance, 1/32")
    for name, label, color, marker in (
        ("symile", "Symile", "#0b6e99", "o"),
        ("clip", "CLIP", "#c8553d", "s"),
    ):
        chosen = [row for row in rows if row.objective == name]
        accuracy = np.array([row.accuracy for row in chosen])
        ends = np.array([[row.low for row in chosen], [row.high for row in chosen]])
        axes.errorbar(
            [row.probability for row in chosen],
            accuracy,
            yerr=np.abs(ends - accuracy),
            fmt=marker,
            markersize=5,
            color=color,
            capsize=2,
            label=label,
        )
    axes.set_xlabel("p̂, the probability that c is a XOR b rather than a")
    axes.set_ylabel("accuracy of b given a and c")
    axes.set_ylim(-0.03, 1.03)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, metadata={"Date": None})


def show(console: Console, rows: list[Row]) -> None:
    table = Table(title="Binary XOR: accuracy of b given a and c, among 32")
    for heading in ("p̂", "best possible", "objective", "accuracy", "95 % interval", "epoch"):
        table.add_column(heading, justify="left" if heading == "objective" else "right")
    for row in rows:
        table.add_row(
            f"{row.probability:.1f}",
            f"{row.best_possible:.3f}",
            row.objective,
            f"{row.accuracy:.3f}",
            f"{row.low:.3f} … {row.high:.3f}",
            str(row.epoch),
        )
    console.print(table)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="The paper's binary XOR experiment, for Symile and CLIP.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument(
        "--probabilities", type=float, nargs="+", default=[p / 10 for p in range(11)]
    )
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--negatives", choices=BATCH_SIZE, default="shuffled", help="of Symile; all: batches of 100"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    console = Console()
    objectives = {
        partial(Symile, temperature=math.exp(0.3), negatives=arguments.negatives): BATCH_SIZE[
            arguments.negatives
        ],
        partial(
            Clip, temperature=math.exp(0.3), reduction="sum", logit_scale_max=math.inf
        ): BATCH_SIZE["shuffled"],
    }
    rows = []
    with Progress(console=console, transient=True) as progress:
        for probability in progress.track(arguments.probabilities, description="XOR"):
            for make, batch_size in objectives.items():
                rows.append(
                    learn(
                        make(),
                        probability=probability,
                        epochs=arguments.epochs,
                        batch_size=batch_size,
                        seed=arguments.seed,
                        progress=progress,
                    )
                )
    show(console, rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.out / "xor.csv", rows)
    draw_figure(arguments.out / "xor.svg", rows)
    console.print(f"Wrote {arguments.out / 'xor.csv'} and {arguments.out / 'xor.svg'}")


if __name__ == "__main__":
    main()

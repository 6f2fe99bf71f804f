"""One of several processes that hold shares of a batch; what each finds is written to a file.

Run as `shared_batch.py RANK SIZES FOLDER`, with sizes of shares as `5,3`.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.leak_checks.fixtures import TOY_LABELS, toy_input
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.symile import Symile
from clinical_symile.objectives.views import EncodedView, Mixing
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES as FAMILY

DIM = 6
MODALITIES = ("cxr", "ecg", "labs", "notes")  # some objectives name one of the first three
OBJECTIVES: dict[str, tuple[Callable[[], Objective], int]] = {
    "all": (lambda: Symile(temperature=0.5), 3),
    "all-of-four": (lambda: Symile(temperature=0.5), 4),
    "all-of-two": (lambda: Symile(temperature=0.5), 2),
    "shuffled": (lambda: Symile(temperature=0.5, negatives="shuffled"), 3),
    "cyclic": (lambda: Symile(temperature=0.5, negatives="cyclic-2"), 3),
    "one-slot": (lambda: Symile(temperature=0.5, negatives="one-slot"), 3),
    "scaled": (lambda: Symile(temperature=0.5, scaling="dvs"), 3),
    "clip": (lambda: Clip(temperature=0.5), 3),
    "clip-summed": (lambda: Clip(temperature=0.5, reduction="sum"), 4),
    **{name: (lambda name=name: _registered(name), 3) for name in sorted(FAMILY)},
    "outcome-gated": (lambda: _registered("outcome", fusion={"name": "gated"}), 3),
}


def _registered(name: str, **arguments: Any) -> Objective:
    """An objective of the registry, ready for three modalities of six dimensions."""
    objective = resolve(name, FAMILY)(**arguments)
    objective.label_names = TOY_LABELS
    objective.connect(
        modalities=MODALITIES[:3], dim=DIM, norm="l2", generator=torch.Generator().manual_seed(0)
    )
    objective.begin_training(rows=64, batch_size=1)
    return objective


def cases(sizes: list[int]) -> Iterator[tuple[str, Objective, Embeddings]]:
    """Objectives with a whole batch: all present, some absent, one modality absent in one share."""
    samples = sum(sizes)
    for name, (make, modalities) in OBJECTIVES.items():
        generator, spread = torch.Generator().manual_seed(len(name)), make().spread
        width = 2 * DIM if spread else DIM
        z = torch.randn(samples, modalities, width, generator=generator, dtype=torch.float64)
        substitute = torch.randn(modalities, width, generator=generator, dtype=torch.float64)
        all_present = torch.ones(samples, modalities, dtype=torch.bool)
        some = torch.rand(samples, modalities, generator=generator) < 0.7
        some[[0, 1, -1]] = True
        without = all_present.clone()
        without[: sizes[0], -1] = False
        for pattern, available in (("complete", all_present), ("some", some), ("without", without)):
            for learned in (False, True):
                z = z.clone().requires_grad_()
                batch = Embeddings(
                    z=z,
                    available=available,
                    modalities=MODALITIES[:modalities],
                    rows=torch.arange(samples),
                    substitute=substitute.clone().requires_grad_() if learned else None,
                    spread=spread,
                )
                yield f"{name}/{pattern}/{learned}", make().double(), batch


def whole_input(objective: Objective, batch: Embeddings, sizes: list[int]) -> ObjectiveInput:
    """The input of the whole batch, with the views that each process makes of its share."""
    start, shares = 0, []
    for rank, size in enumerate(sizes):
        shares.append(
            toy_input(objective, batch.take(torch.arange(start, start + size)), seed=rank)
        )
        start += size
    starts = [sum(sizes[:rank]) for rank in range(len(sizes))]
    further = []
    for views in zip(*(share.further for share in shares), strict=True):
        z = torch.cat([view.embeddings.z for view in views])
        mixings = [
            (view.mixing.partners + begin, view.mixing.shares)
            for view, begin in zip(views, starts, strict=True)
            if view.mixing is not None
        ]
        mixing = (
            Mixing(*(torch.cat(part) for part in zip(*mixings, strict=True))) if mixings else None
        )
        carried = {
            name: torch.cat([view.carried[name] for view in views]) for name in views[0].carried
        }
        has = torch.cat([view.embeddings.available for view in views])
        further.append(EncodedView(replace(batch, z=z, available=has), mixing, carried))
    first = replace(batch, z=torch.cat([share.embeddings.z for share in shares]))
    return replace(toy_input(objective, batch), embeddings=first, further=tuple(further))


def found(objective: Objective, loss: Tensor, batch: Embeddings) -> dict[str, Tensor]:
    """The loss and its gradients."""
    inputs = {"z": batch.z, **dict(objective.named_parameters())}
    if batch.substitute is not None:
        inputs["substitute"] = batch.substitute
    gradients = torch.autograd.grad(loss, list(inputs.values()), materialize_grads=True)
    return {"loss": loss.detach(), **dict(zip(inputs, gradients, strict=True))}


def kept(objective: Objective) -> dict[str, Tensor]:
    """The state after the step that is only for training."""
    objective.after_step()
    return {f"kept/{name}": value.clone() for name, value in objective.named_buffers()}


def main(rank: int, sizes: list[int], folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=len(sizes))
    own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    results = {}
    for name, objective, batch in cases(sizes):
        z = batch.z.detach()[own].requires_grad_()
        share = replace(batch, z=z, available=batch.available[own], rows=batch.rows[own])
        drawn = torch.Generator().manual_seed(0)
        inputs = toy_input(objective, share, seed=rank)
        loss = objective.training_loss(inputs, group=dist.group.WORLD, generator=drawn).total
        results |= {f"{name}/{k}": v.contiguous() for k, v in found(objective, loss, share).items()}
        results |= {f"{name}/{k}": v for k, v in kept(objective).items()}
    save_file(results, folder / f"{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(size) for size in sys.argv[2].split(",")], Path(sys.argv[3]))

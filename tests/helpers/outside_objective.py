"""An objective of another package, with labels, two views of a batch and a queue, in one file."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from clinical_symile.data.loader import Batch
from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.pairs import complete_pairs
from clinical_symile.objectives.slots import filled_slots
from clinical_symile.objectives.views import View


class LabelledQueue(Objective):
    """Find the mirrored partner of each recording among those of other labels, also earlier ones.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        size: the earlier embeddings of each modality that are kept.
    """

    display_name = "labelled queue"
    description = "Contrasts recordings with mirrored ones of other labels, also of earlier steps."
    source = "an example"
    reads = ("labels",)
    keeps_state = True
    keys: Tensor
    labels: Tensor
    entered: Tensor

    def __init__(self, *, temperature: float = 0.1, size: int = 256):
        super().__init__(temperature=temperature, logit_scale_max=100.0)
        refuse(at_least(1, size=size))
        self.size = size

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Remember the shape of the queues."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        self.shape = (len(modalities), self.size, dim)

    def begin_training(self, *, rows: int, batch_size: int) -> None:
        """Create empty queues; they are in checkpoints and not in the run's weights."""
        self.register_buffer("keys", torch.zeros(self.shape), persistent=False)
        self.register_buffer("labels", torch.zeros(self.shape[:2]), persistent=False)
        entered = torch.zeros(self.shape[0], dtype=torch.long)
        self.register_buffer("entered", entered, persistent=False)

    def views(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Sequence[View]:
        """Return the batch, and the batch with every input mirrored."""
        mirrored = {name: value.flip(-1) for name, value in batch.inputs.items()}
        return [View(batch), View(replace(batch, inputs=mirrored))]

    def informed_loss(
        self,
        z: Tensor,
        available: Tensor,
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Average over ordered pairs of modalities."""
        second, labels = filled_slots(inputs.further[0].embeddings), inputs.labels[:, 0]
        losses = []
        for pair in complete_pairs(z, available, objective="a labelled step", ordered=True):
            earlier = slice(0, int(self.entered[pair.b].clamp(max=self.size)))
            keys = [second[pair.samples, pair.b], self.keys[pair.b, earlier].to(z.dtype)]
            of_keys = [labels[pair.samples], self.labels[pair.b, earlier].to(labels.dtype)]
            logits = self.logit_scale.to(z.dtype) * pair.first @ torch.cat(keys).T
            alike = labels[pair.samples, None] == torch.cat(of_keys)  # unknown labels never are
            alike[pair.codes, pair.codes] = False
            losses.append(cross_entropy(logits.masked_fill(alike, -torch.inf), pair.codes))
        self.defer(partial(self._enter, second.detach(), labels, inputs.embeddings.available))
        return torch.stack(losses).mean()

    def _enter(self, second: Tensor, labels: Tensor, available: Tensor) -> None:
        """Put the embeddings of a batch and their labels in place of the oldest."""
        for m, has in enumerate(available.T):
            count = int(has.sum())
            places = (self.entered[m] + torch.arange(count, device=has.device)) % self.size
            self.keys[m, places] = second[has, m].to(self.keys.dtype)
            self.labels[m, places] = labels[has].to(self.labels.dtype)
            self.entered[m] += count

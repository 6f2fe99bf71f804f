"""REBAR: contrast segments of a waveform; the positive is what restores the anchor best."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.data.loader import Batch
from clinical_symile.objectives.arguments import (
    at_least,
    between_0_and_1,
    column_of,
    from_0_to_1,
    refuse,
)
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.slots import filled_slots
from clinical_symile.objectives.starting_weights import starting_weights
from clinical_symile.objectives.views import HIDDEN_VALUE, View, part_view

SEGMENT = "segment"  # what views carry: the segment at a lower rate
_KERNEL, _DILATIONS = 5, (2, 4, 8)  # of the convolutions after the first: 61 places in all


class SegmentRetrieval(nn.Module):
    """Restore hidden places of a segment from places of another one, by cross-attention.

    The query of a hidden place is a function of what surrounds it, and the key of a place of the
    other segment one of all that is there. What a place restores to is an average of the other
    segment's values, with weights that are positive and add up to 1.

    Args:
        width: the width of queries and keys.
        generator: the source of starting values.
    """

    def __init__(self, width: int, generator: torch.Generator):
        super().__init__()
        self.width = width
        with starting_weights(generator):
            self.queries, self.keys = (_Features(width) for _ in range(2))

    def weights(
        self,
        query: Float[Tensor, "sample lead place"],
        hidden: Bool[Tensor, " place"],
        other: Float[Tensor, "sample lead place"],
    ) -> Float[Tensor, "sample hidden place"]:
        """Return the weight of each place of the other segments for each hidden place.

        Args:
            query: segments, of which hidden places are not read.
            hidden: True where a place is hidden, in all samples.
            other: another segment of each sample.
        """
        asked = self.queries(query, hidden)[:, hidden]
        keys = self.keys(other, torch.zeros_like(hidden))
        return (asked @ keys.mT / sqrt(self.width)).softmax(dim=2)

    def restore(
        self,
        query: Float[Tensor, "sample lead place"],
        hidden: Bool[Tensor, " place"],
        other: Float[Tensor, "sample lead place"],
    ) -> Float[Tensor, "sample lead hidden"]:
        """Restore the hidden places of segments from other ones; see `weights`."""
        return other @ self.weights(query, hidden, other).mT

    def errors(
        self,
        query: Float[Tensor, "sample lead place"],
        hidden: Bool[Tensor, " place"],
        other: Float[Tensor, "sample lead place"],
    ) -> Float[Tensor, " sample"]:
        """Return the mean square error of what each segment is restored to; see `weights`."""
        difference = self.restore(query, hidden, other) - query[:, :, hidden]
        return difference.square().mean(dim=(1, 2))


class _Features(nn.Module):
    """A vector for each place of a segment; weights are the same for all leads."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv1d(2, width, _KERNEL, padding="same")
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, _KERNEL, padding="same", dilation=dilation)
            for dilation in _DILATIONS
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, segment: Float[Tensor, "sample lead place"], hidden: Bool[Tensor, " place"]
    ) -> Float[Tensor, "sample place width"]:
        samples, leads, places = segment.shape
        read = torch.where(hidden, 0.0, segment)
        both = torch.stack([read, hidden.to(read).expand_as(read)], dim=2)
        found = functional.gelu(self.first(both.reshape(samples * leads, 2, places)))
        found = found.unflatten(0, (samples, leads)).mean(dim=1)
        for layer in self.layers:
            found = found + functional.gelu(layer(found))
        return self.norm(found.mT)


class Rebar(Objective):
    """Contrast every pair of modalities, and segments of one modality that restore each other.

    A recording is cut into `segments` of equal length, and each is encoded with all other times
    hidden. One, drawn at random, is the anchor. The positive is the one of the others that restores
    the anchor best, see `SegmentRetrieval`, where half of its places are hidden at random. To
    CLIP's loss over pairs of modalities come:

    - `segments`: `between` times the cross-entropy of finding the positive among the anchors of
      other samples, plus 1 - `between` times that of finding it among the own segments;
    - `restoration`: the mean square error of restoring a hidden stretch of a segment from the
      segment itself, by which the attention learns. It has no other gradient.

    `score` is CLIP's: encoders read whole recordings there.

    Source: Xu et al., "REBAR: Retrieval-Based Reconstruction for Time-series Contrastive Learning",
    ICLR 2024, https://arxiv.org/abs/2311.00519; code: maxxu05/rebar (MIT), of which nothing is
    used. It pretrains an encoder of one modality; here its terms stand beside CLIP's, and
    `weight = 0` is CLIP. There the attention is trained before the encoder, and projects what it
    averages; here it is trained with the encoder, and restores by the average itself.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        modality: the modality that is cut, a signal over time.
        weight: weight of both further terms; 0 is CLIP.
        segments: the number of segments of a recording.
        between: the share of other samples in the contrast, from 0 to 1.
        places: the places of a segment that the attention reads, averages of equal lengths.
        hidden: the share of a segment that is hidden where the attention learns.
        width: the width of queries and keys.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, the modality is none of the task, its input is
            shorter than the number of segments, or no two samples have the same two modalities.
    """

    display_name = "REBAR"
    description = "Contrasts pairs of modalities, and segments of an ECG that restore each other."
    source = (
        'Xu et al., "REBAR: Retrieval-Based Reconstruction for Time-series Contrastive Learning", '
        "ICLR 2024, https://arxiv.org/abs/2311.00519"
    )
    of_one_modality = True

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        modality: str = "ecg",
        weight: float = 1.0,
        segments: int = 4,
        between: float = 0.5,
        places: int = 128,
        hidden: float = 0.125,
        width: int = 32,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(
            at_least(0, weight=weight),
            at_least(2, segments=segments, places=places),
            at_least(1, width=width),
            from_0_to_1(between=between),
            between_0_and_1(hidden=hidden),
        )
        self.modality, self.weight, self.segments = modality, weight, segments
        self.between, self.places, self.hidden, self.width = between, places, hidden, width

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the attention.

        Raises:
            ValueError: the modality is none of the task.
        """
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        self.column = column_of(self.modality, modalities)
        self.retrieval = SegmentRetrieval(self.width, generator)

    def views(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Sequence[View]:
        """Return the batch, and with a weight one view for each segment, the anchor first.

        Views of segments have the one modality alone, so that no other is encoded again.

        Raises:
            ValueError: the input is shorter than the number of segments.
        """
        if not self.weight:
            return [View(batch)]
        name = batch.modalities[self.column]
        inputs = batch.inputs[name]
        if inputs.shape[-1] < self.segments:
            raise ValueError(
                f"{name} has {inputs.shape[-1]} places in time; expected at least {self.segments}, "
                "the number of segments. Lower segments, or name another modality."
            )
        views = [View(batch)]
        for place in torch.randperm(self.segments, generator=generator).tolist():
            shown = segment_of(inputs, place, self.segments)
            whole = torch.full_like(inputs, HIDDEN_VALUE)
            length = shown.shape[-1]
            whole[..., place * length : (place + 1) * length] = shown
            carried = {SEGMENT: at_places(shown.detach(), self.places)}
            views.append(part_view(batch, whole, column=self.column, carried=carried))
        return views

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Add CLIP's loss and the two terms of the class."""
        scale = self.logit_scale.to(z.dtype)
        terms = {"across": clip_loss(z, self.logit_scale, available=available)}
        has = inputs.embeddings.available[:, self.column]  # a substitute has no segments
        if not inputs.further or not has.any():
            return sum_of_terms(**terms)
        cut = [view.carried[SEGMENT][has].to(z.dtype) for view in inputs.further]
        encoded = [filled_slots(view.embeddings)[has, self.column] for view in inputs.further]
        places = cut[0].shape[2]
        positives = self.find_positives(cut[0], cut[1:], generator=generator)
        between, within = segment_losses(
            encoded[0], torch.stack(encoded[1:], dim=1), positives, scale
        )
        losses = self.between * between + (1 - self.between) * within
        terms["segments"] = self.weight * losses.mean()
        length = min(max(round(self.hidden * places), 1), places)
        start = int(torch.randint(places - length + 1, (), generator=generator))
        stretch = torch.zeros(places, dtype=torch.bool, device=z.device)
        stretch[start : start + length] = True
        restored = self.retrieval.errors(cut[0], stretch, cut[0])
        terms["restoration"] = self.weight * restored.mean()
        return sum_of_terms(**terms)

    @torch.no_grad()
    def find_positives(
        self,
        anchor: Float[Tensor, "sample lead place"],
        candidates: Sequence[Float[Tensor, "sample lead place"]],
        *,
        generator: torch.Generator | None,
    ) -> Int[Tensor, " sample"]:
        """Return for each sample the candidate that restores the anchor best.

        Args:
            anchor: a segment of each sample.
            candidates: other segments of the same samples.
            generator: draws the half of the places that is hidden, the same for all samples.
        """
        places = anchor.shape[2]
        drawn = torch.randperm(places, generator=generator)[: max(places // 2, 1)]
        hidden = torch.zeros(places, dtype=torch.bool)
        hidden[drawn] = True
        hidden = hidden.to(anchor.device)
        errors = [self.retrieval.errors(anchor, hidden, other) for other in candidates]
        return torch.stack(errors, dim=1).argmin(dim=1)


def segment_of(
    inputs: Float[Tensor, "sample ... time"], place: int, segments: int
) -> Float[Tensor, "sample ... part"]:
    """Return one of several segments of equal length; what is left over at the end is in none."""
    length = inputs.shape[-1] // segments
    return inputs[..., place * length : (place + 1) * length]


def at_places(
    segment: Float[Tensor, "sample ... time"], places: int
) -> Float[Tensor, "sample lead place"]:
    """Return averages of equal lengths; leads in one axis, and one for a segment without leads."""
    flat = segment.reshape(len(segment), prod(segment.shape[1:-1]), segment.shape[-1])
    return functional.adaptive_avg_pool1d(flat, min(places, flat.shape[-1]))


def segment_losses(
    anchor: Float[Tensor, "sample dim"],
    candidates: Float[Tensor, "sample candidate dim"],
    positives: Int[Tensor, " sample"],
    logit_scale: Float[Tensor, ""],
) -> tuple[Float[Tensor, " sample"], Float[Tensor, " sample"]]:
    """Compute the cross-entropies of finding each positive.

    Args:
        anchor: the embedding of a segment of each sample.
        candidates: those of its other segments.
        positives: which candidate is the positive.
        logit_scale: the multiplier of inner products.

    Returns:
        Among the anchors of other samples, and among the sample's own candidates.
    """
    own = torch.einsum("id,ikd->ik", anchor, candidates)
    positive = own.gather(1, positives[:, None])
    others = anchor @ anchor.T
    is_own = torch.eye(len(anchor), dtype=torch.bool, device=anchor.device)
    across = torch.where(is_own, positive, others)
    targets = torch.arange(len(anchor), device=anchor.device)
    between = functional.cross_entropy(logit_scale * across, targets, reduction="none")
    within = functional.cross_entropy(logit_scale * own, positives, reduction="none")
    return between, within

"""Views of a batch: batches made from it that are encoded too, and what they are mixed of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch

HIDDEN_VALUE = 0.0  # of hidden pixels and times: the mean of standardized images and signals


@dataclass(frozen=True, repr=False)
class Mixing:
    """The partner and the share of each mixed measurement.

    Attributes:
        partners: the position in the batch of the other sample; a sample's own where not mixed.
        shares: the share of a sample's own measurement, from 0 to 1; 1 where not mixed.
    """

    partners: Int[Tensor, "sample modality"]
    shares: Float[Tensor, "sample modality"]


@dataclass(frozen=True, repr=False)
class View:
    """A batch that is encoded in a step.

    Attributes:
        batch: the inputs. Its samples are those of the step's batch, and so is its `available`,
            except that a further view may leave out modalities that the loss does not read of it.
        mixing: how inputs were mixed; None if they were not.
        needs_gradient: False if the loss has no gradient through this view's embeddings. They are
            then encoded without keeping activations. The first view always needs it.
        carried: tensors of the samples that the loss reads beside embeddings, by name: such as a
            part of an input. What is of an unavailable input may hold any value.
        updates_statistics: False if running statistics of encoders, by which whole recordings are
            encoded later, do not follow this view: its inputs lack parts of recordings.
    """

    batch: Batch
    mixing: Mixing | None = None
    needs_gradient: bool = True
    carried: Mapping[str, Tensor] = field(default_factory=dict)
    updates_statistics: bool = True

    def encoded(self, embeddings: Embeddings) -> "EncodedView":
        """Return the view with its embeddings in place of its inputs."""
        return EncodedView(embeddings, self.mixing, self.carried)


@dataclass(frozen=True, repr=False)
class EncodedView:
    """The embeddings of a view.

    Attributes:
        embeddings: of the same samples as the step's batch, in the same order.
        mixing: how inputs were mixed; None if they were not.
        carried: tensors of the samples by name, see `View`; those of the first view are not kept.
    """

    embeddings: Embeddings
    mixing: Mixing | None = None
    carried: Mapping[str, Tensor] = field(default_factory=dict)


def draw_mixing(
    available: Bool[Tensor, "sample modality"],
    *,
    mixed_share: float,
    concentration: float,
    generator: torch.Generator,
) -> Mixing:
    """Draw which samples are mixed, with which other ones, and their shares.

    Only samples with the same modalities are mixed with each other.
    """
    rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    has = available.cpu().numpy()
    partners = np.repeat(np.arange(len(has))[:, None], has.shape[1], axis=1)
    mixed = has & (rng.random(has.shape) < mixed_share)
    drawn = rng.beta(concentration, concentration, has.shape)
    for pattern in np.unique(has, axis=0):
        rows = np.flatnonzero((has == pattern).all(axis=1))
        for m in range(has.shape[1]):
            partners[rows, m] = np.where(mixed[rows, m], rng.permutation(rows), rows)
    shares = np.where(mixed, drawn, 1.0).astype(np.float32)
    return Mixing(
        torch.from_numpy(partners).to(available.device),
        torch.from_numpy(shares).to(available.device),
    )


def mixed_inputs(
    inputs: Float[Tensor, "sample ..."],
    partners: Int[Tensor, " sample"],
    shares: Float[Tensor, " sample"],
) -> Float[Tensor, "sample ..."]:
    """Return a copy of inputs, mixed with those of partners where the share is below 1."""
    rows = (shares < 1).nonzero()[:, 0]
    own = shares[rows].to(inputs.dtype).reshape(-1, *[1] * (inputs.ndim - 1))
    return inputs.index_put((rows,), own * inputs[rows] + (1 - own) * inputs[partners[rows]])


def part_view(
    batch: Batch, inputs: Float[Tensor, "sample ..."], *, column: int, carried: Mapping[str, Tensor]
) -> View:
    """Return a further view of parts of one modality, without the others.

    No other modality is encoded again, and running statistics stay those of whole recordings.

    Args:
        batch: the step's batch.
        inputs: the modality's inputs, of which parts are left.
        column: the column of the modality.
        carried: see `View`.
    """
    alone = torch.zeros_like(batch.available)
    alone[:, column] = batch.available[:, column]
    every = {**batch.inputs, batch.modalities[column]: inputs}
    changed = replace(batch, inputs=every, available=alone)
    return View(changed, carried=carried, updates_statistics=False)


def partly_hidden(batch: Batch, share: float, *, generator: torch.Generator) -> Batch:
    """Return a batch with a stretch of every input hidden, see `hide_stretch`."""
    inputs = {
        name: hide_stretch(value, share, generator=generator, unmeasured=batch.unmeasured.get(name))
        for name, value in batch.inputs.items()
    }
    return replace(batch, inputs=inputs)


def hide_stretch(
    inputs: Float[Tensor, "sample ..."],
    share: float,
    *,
    generator: torch.Generator,
    unmeasured: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "sample ..."]:
    """Return inputs with a stretch of their last axis hidden, drawn for each sample.

    Args:
        inputs: an encoder's inputs.
        share: the length of the stretch, at least one place.
        generator: draws where it begins.
        unmeasured: one sample's input where nothing was measured, put in place of the stretch;
            by default `HIDDEN_VALUE`.
    """
    places = inputs.shape[-1]
    length = max(round(share * places), 1)
    starts = torch.randint(places - length + 1, (len(inputs), 1), generator=generator)
    after = torch.arange(places) - starts
    mask = ((after >= 0) & (after < length)).to(inputs.device)
    mask = mask.reshape(len(inputs), *[1] * (inputs.ndim - 2), places)
    if unmeasured is None:
        return inputs.masked_fill(mask, HIDDEN_VALUE)
    return torch.where(mask, unmeasured.to(inputs), inputs)

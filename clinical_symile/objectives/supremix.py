"""SupReMix: contrast by a number, with mixtures of embeddings as hard negatives and positives."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.objectives.arguments import at_least, positive, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.pairs import batch_tokens


@dataclass(frozen=True, repr=False)
class Mixtures:
    """Mixtures of two embeddings for each anchor, `share` of the first and the rest of the second.

    Attributes:
        first: the position of the first embedding.
        second: the position of the second one.
        share: the share of the first, from 0 to 1.
        exists: False where an anchor has no such mixture.
    """

    first: Int[np.ndarray, "anchor mixture"]
    second: Int[np.ndarray, "anchor mixture"]
    share: Float[np.ndarray, "anchor mixture"]
    exists: Bool[np.ndarray, "anchor mixture"]

    def of(self, values: Float[Tensor, "anchor ..."]) -> Float[Tensor, "anchor mixture ..."]:
        """Mix values of the embeddings, such as their vectors or their numbers."""
        share = torch.from_numpy(self.share).to(values)
        share = share.reshape(*share.shape, *[1] * (values.ndim - 1))
        first, second = (torch.from_numpy(one).to(values.device) for one in self._places)
        return share * values[first] + (1 - share) * values[second]

    @property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        return self.first, self.second


def anchor_mixtures(
    number: Float[np.ndarray, " anchor"],
    modality: Int[np.ndarray, " anchor"],
    *,
    count: int,
    rng: np.random.Generator,
) -> Mixtures:
    """Draw mixtures of each anchor with another embedding whose number differs: hard negatives.

    The anchor's share follows a beta distribution with parameters 2 and 8.

    Args:
        number: the number of each embedding; NaN where unknown.
        modality: its modality; only embeddings of one modality are mixed.
        count: the mixtures of each anchor.
        rng: the source of random draws.
    """
    others = (modality[:, None] == modality) & (np.abs(number[:, None] - number) > 0)
    own = np.repeat(np.arange(len(number))[:, None], count, axis=1)
    share = rng.beta(2, 8, own.shape)
    return Mixtures(own, _drawn(others, count, rng), share, _exists(others, count))


def surrounding_mixtures(
    number: Float[np.ndarray, " anchor"],
    modality: Int[np.ndarray, " anchor"],
    *,
    count: int,
    window: float,
    rng: np.random.Generator,
) -> Mixtures:
    """Draw mixtures of two other embeddings whose mixed number is the anchor's: hard positives.

    One has a lower number and one a higher, both by less than the window.

    Args:
        number: as in `anchor_mixtures`.
        modality: as there.
        count: the mixtures of each anchor.
        window: the largest difference of a number to the anchor's.
        rng: the source of random draws.
    """
    same, above = modality[:, None] == modality, number - number[:, None]
    lower, higher = same & (above < 0) & (above > -window), same & (above > 0) & (above < window)
    exists = _exists(lower, count) & _exists(higher, count)
    first, second = _drawn(lower, count, rng), _drawn(higher, count, rng)
    width = np.where(exists, number[second] - number[first], 1.0)
    share = np.where(exists, (number[second] - number[:, None]) / width, 0.0)
    return Mixtures(first, second, share, exists)


class SupReMix(Objective):
    """Contrast embeddings by a number of their sample, such as an age, and mix some of them.

    Every modality of every sample is one embedding. Positives of an embedding are the other
    modalities of its sample, those of samples with an equal number, and `mixtures` mixtures of two
    others whose mixed number equals its own. Negatives are all others, and `mixtures` mixtures of
    it with another one. The loss is the mean over embeddings t of
    -1/|P(t)| Σ_{p ∈ P(t)} log (e^{s ⟨z_t, p⟩} / Σ_a (1 + |y_t - y_a|) e^{s ⟨z_t, a⟩}), where a runs
    over positives and negatives and y is the number divided by `unit`. Mixtures have no gradient.
    An embedding without a positive takes no part. An unknown number has no difference to another
    one, is equal to none and is not mixed.

    Source: Wu et al., "Mixup Your Own Pairs", 2023, https://arxiv.org/abs/2309.16633, and its code,
    which makes all mixtures; here some are drawn. There two augmented views are positives; here the
    modalities of a sample are.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        mixtures: the mixtures of each kind for an embedding; 0 for none.
        window: the largest difference of numbers within a mixture of others, in units.
        unit: the difference of two numbers that doubles a negative's weight.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, or fewer than two samples have two modalities.
    """

    display_name = "SupReMix"
    description = "Contrasts embeddings by a number of their sample, with mixtures of them."
    source = 'Wu et al., "Mixup Your Own Pairs", 2023, https://arxiv.org/abs/2309.16633'
    reads = ("number",)

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        mixtures: int = 16,
        window: float = 5.0,
        unit: float = 1.0,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(at_least(0, mixtures=mixtures), positive(window=window, unit=unit))
        self.mixtures, self.window, self.unit = mixtures, window, unit

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        tokens = batch_tokens(z, available, objective="a SupReMix step")
        anchors, y = tokens.z, (inputs.number / self.unit)[tokens.samples].to(z.dtype)
        own = tokens.samples[:, None] == tokens.samples
        distance = (y[:, None] - y).abs()
        itself = torch.eye(len(y), dtype=torch.bool, device=z.device)
        scale = self.logit_scale.to(z.dtype)
        logits = [(scale * anchors @ anchors.T).masked_fill(itself, -torch.inf)]
        weights, positives = [distance.nan_to_num(0.0)], [(own | (distance == 0)) & ~itself]
        for mixture, is_positive in self._drawn(y, tokens.modalities, generator):
            exists = torch.from_numpy(mixture.exists).to(z.device)
            products = torch.einsum("ad,akd->ak", anchors, mixture.of(anchors.detach()))
            logits.append((scale * products).masked_fill(~exists, -torch.inf))
            apart = (y[:, None] - mixture.of(y)).abs()
            weights.append(torch.where(exists, 0.0 if is_positive else apart, 0.0))
            positives.append(exists & is_positive)
        score, positive_ones = torch.cat(logits, dim=1), torch.cat(positives, dim=1)
        total = torch.logsumexp(score + torch.cat(weights, dim=1).log1p(), dim=1, keepdim=True)
        counts = positive_ones.sum(dim=1)
        losses = torch.where(positive_ones, total - score, 0.0).sum(dim=1) / counts.clamp(min=1)
        return losses[counts > 0].mean()

    def _drawn(
        self,
        number: Float[Tensor, " anchor"],
        modality: Int[Tensor, " anchor"],
        generator: torch.Generator | None,
    ) -> list[tuple[Mixtures, bool]]:
        """Draw the mixtures of every anchor: negatives with False, positives with True."""
        if not self.mixtures:
            return []
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        y, columns = number.detach().cpu().double().numpy(), modality.cpu().numpy()
        return [
            (anchor_mixtures(y, columns, count=self.mixtures, rng=rng), False),
            (
                surrounding_mixtures(y, columns, count=self.mixtures, window=self.window, rng=rng),
                True,
            ),
        ]


def _drawn(
    allowed: Bool[np.ndarray, "anchor other"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, "anchor count"]:
    """Draw allowed positions for each anchor, with replacement; 0 where none is allowed."""
    counts = allowed.sum(axis=1)
    # The allowed positions of each row come first in this order.
    order = np.argsort(~allowed, axis=1, kind="stable")
    picked = (rng.random((len(allowed), count)) * counts[:, None]).astype(np.int64)
    return np.take_along_axis(order, np.minimum(picked, np.maximum(counts - 1, 0)[:, None]), axis=1)


def _exists(
    allowed: Bool[np.ndarray, "anchor other"], count: int
) -> Bool[np.ndarray, "anchor count"]:
    exists = np.asarray(allowed.any(axis=1))
    return np.repeat(exists[:, None], count, axis=1)

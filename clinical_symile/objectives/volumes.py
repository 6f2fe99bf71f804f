"""GRAM and TRIANGLE: contrast volumes and areas that the embeddings of a sample span."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective, as_given
from clinical_symile.objectives.exact_products import exact_inner_products, queries_by_pattern
from clinical_symile.objectives.kernels.scores import TileScore, own_scores, reduce_scores
from clinical_symile.objectives.slots import complete_samples, other_columns

_EPSILON = 1e-8  # under the root of a volume: its slope is infinite at 0


def gram_determinant(
    own: Float[Tensor, "#left #right"],
    dots: Float[Tensor, "left right other"],
    others: Float[Tensor, "#left #right other other"],
) -> Float[Tensor, "left right"]:
    """Compute the determinant of the Gram matrix of one vector and some others.

    Args:
        own: squared length of the vector.
        dots: inner products of the vector with the others.
        others: Gram matrix of the others.
    """
    count = dots.shape[2]
    if count == 1:
        return own * others[..., 0, 0] - dots[..., 0].square()
    if count == 2:
        b, c, bc = others[..., 0, 0], others[..., 1, 1], others[..., 0, 1]
        ab, ac = dots.unbind(dim=2)
        return own * (b * c - bc.square()) - ab.square() * c - ac.square() * b + 2 * ab * ac * bc
    corner = own.expand(dots.shape[:2])[..., None, None]
    top = torch.cat([corner, dots[..., None, :]], dim=-1)
    rest = torch.cat([dots[..., :, None], others.expand(*dots.shape[:2], count, count)], dim=-1)
    return torch.linalg.det(torch.cat([top, rest], dim=-2))


class Gram(Objective):
    """Contrast the volume that an anchor spans with the other modalities of a sample.

    The logit of anchor i and sample j is -V / τ with V = √(det Gram + ε), the volume of the
    parallelotope of the anchor's embedding and the others of j. Each modality is the anchor in
    turn. The loss of an anchor is the mean of two cross-entropies over the complete samples:
    finding the others of a sample from its anchor, among samples with all others, and the reverse,
    among samples with the anchor. With label smoothing, a share of the target is spread over all
    candidates. The loss is the mean over anchors.

    Volumes do not know signs: an antipodal embedding scores as an equal one. If the others of a
    sample coincide, its volume is √ε for every anchor. If they coincide in all samples, the
    anchor's loss is log n.

    `score` is -V of the candidate with the query's available modalities.

    Source: Cicchetti et al., "Gramian Multimodal Representation Learning and Alignment", ICLR 2025,
    https://arxiv.org/abs/2412.11959. The paper has one anchor, and a temperature that may cross 0.
    Here every modality is the anchor in turn, and the temperature's logarithm is learned.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        label_smoothing: share of the target that is spread over all candidates, below 1.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: fewer than two complete samples in the batch.
    """

    display_name = "GRAM"
    description = "Contrasts the volume that the embeddings of a sample span."
    source = (
        'Cicchetti et al., "Gramian Multimodal Representation Learning and Alignment", ICLR 2025, '
        "https://arxiv.org/abs/2412.11959"
    )
    on_sphere = True

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        label_smoothing: float = 0.1,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        self.label_smoothing = _check_smoothing(label_smoothing)

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        return _anchored_loss(
            _volume_logits,
            z,
            available,
            self.logit_scale.to(z.dtype),
            smoothing=self.label_smoothing,
            objective="a GRAM step",
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute the negative volume of a candidate with each query's available modalities.

        With one of them it is -√(1 - ⟨q, c⟩² + ε), which does not know the sign.

        Raises:
            ValueError: a query has no modality available.
        """
        scores = candidates.new_zeros(len(query.rows), len(candidates), dtype=torch.float64)
        right = candidates.double()
        own = right.square().sum(dim=1)
        for rows, others in queries_by_pattern(query, target=target):
            grams = others @ others.mT
            for at, dots in exact_inner_products(others, right):
                found = gram_determinant(own[None], dots, grams[at, None])
                scores[rows[at]] = -(found.clamp(min=0) + _EPSILON).sqrt()
        return as_given(scores, candidates)


class Triangle(Objective):
    """Contrast the area of the triangle of a sample's three embeddings.

    As GRAM, with -A / τ for the logit: A = (‖u‖² ‖v‖² - ⟨u, v⟩²) / 2 with u = a_i - b_j and v =
    a_i - c_j is twice the squared area of the triangle (the authors' code takes no root, and
    neither does this). If b_j = c_j, A is 0 for every anchor.

    `score` is -A; with one modality of the query, the negative squared distance.

    Source: "TRIANGLE" of Cicchetti et al., 2025, as in the code ispamm/TRIANGLE.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        label_smoothing: share of the target that is spread over all candidates, below 1.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: there are not three modalities, or fewer than two complete samples.
    """

    display_name = "TRIANGLE"
    description = "Contrasts the area of the triangle of three embeddings."
    source = "Cicchetti et al., TRIANGLE, 2025, code ispamm/TRIANGLE"
    on_sphere = True

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        label_smoothing: float = 0.1,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        self.label_smoothing = _check_smoothing(label_smoothing)

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Check that there are three modalities."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        _check_three(len(modalities))

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        _check_three(z.shape[1])
        return _anchored_loss(
            _area_logits,
            z,
            available,
            self.logit_scale.to(z.dtype),
            smoothing=self.label_smoothing,
            objective="a TRIANGLE step",
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute the negative area of a candidate with each query's available modalities.

        Raises:
            ValueError: a query has no modality available, or there are not three modalities.
        """
        _check_three(len(query.modalities))
        scores = candidates.new_zeros(len(query.rows), len(candidates), dtype=torch.float64)
        right = candidates.double()
        own = right.square().sum(dim=1)
        for rows, others in queries_by_pattern(query, target=target):
            grams = others @ others.mT
            for at, dots in exact_inner_products(others, right):
                if dots.shape[2] == 1:
                    squares = grams[at, 0, 0][:, None]
                    scores[rows[at]] = 2 * dots[..., 0] - own - squares
                else:
                    scores[rows[at]] = -_area(own[None], dots, grams[at, None])
        return as_given(scores, candidates)


def _anchored_loss(
    logits: TileScore,
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
    scale: Float[Tensor, ""],
    *,
    smoothing: float,
    objective: str,
) -> Float[Tensor, ""]:
    """Average over anchors the two cross-entropies of logits of an anchor and others."""
    complete = complete_samples(available, objective=objective)
    losses = []
    for anchor in range(z.shape[1]):
        others = other_columns(z.shape[1], anchor)
        has_anchor, has_others = available[:, anchor], available[:, others].all(dim=1)
        left, right = z[has_anchor, anchor], z[has_others][:, others]
        grams = right @ right.mT
        rows, columns = complete[has_anchor], complete[has_others]
        found = reduce_scores(logits, [left], [right, grams], [scale])
        own = own_scores(logits, [left[rows]], [right[columns], grams[columns]], [scale])
        forth = _smoothed(found.rows[rows], found.row_sums[rows] / len(right), own, smoothing)
        back = _smoothed(
            found.columns[columns], found.column_sums[columns] / len(left), own, smoothing
        )
        losses.append((forth + back) / 2)
    return torch.stack(losses).mean()


def _smoothed(
    logsumexps: Float[Tensor, " row"],
    means: Float[Tensor, " row"],
    own: Float[Tensor, " row"],
    smoothing: float,
) -> Float[Tensor, ""]:
    """Compute the mean cross-entropy with a share of the target spread over all candidates."""
    return (logsumexps - (1 - smoothing) * own - smoothing * means).mean()


def _check_smoothing(value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"label_smoothing is {value}; expected at least 0 and below 1.")
    return value


def _check_three(modalities: int) -> None:
    if modalities != 3:
        raise ValueError(f"TRIANGLE needs three modalities; expected 3, found {modalities}.")


def _dots(left: Sequence[Tensor], right: Sequence[Tensor]) -> Float[Tensor, "left right other"]:
    (anchors,), others = left, right[0]
    return torch.stack([anchors @ others[:, m].T for m in range(others.shape[1])], dim=2)


def _volume_logits(left, right, parameters):
    """Return -scale · volume of each anchor with the others of each sample."""
    (scale,) = parameters
    own = left[0].square().sum(dim=1)[:, None]
    found = gram_determinant(own, _dots(left, right), right[1][None])
    return -scale * (found.clamp(min=0) + _EPSILON).sqrt()


def _area(own, dots, grams):
    """Compute (‖u‖² ‖v‖² - ⟨u, v⟩²) / 2 from inner products."""
    ab, ac = dots.unbind(dim=2)
    b, c, bc = grams[..., 0, 0], grams[..., 1, 1], grams[..., 0, 1]
    u, v = own + b - 2 * ab, own + c - 2 * ac
    return (u * v - (own - ab - ac + bc).square()) / 2


def _area_logits(left, right, parameters):
    """Return -scale · area of each anchor with the two others of each sample."""
    (scale,) = parameters
    own = left[0].square().sum(dim=1)[:, None]
    return -scale * _area(own, _dots(left, right), right[1][None])

"""SepCLR: embeddings of a part that all samples have and a part that only target samples have."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.alignment_terms import alignment_loss, uniformity_loss
from clinical_symile.objectives.arguments import at_least, between_0_and_1, positive, refuse
from clinical_symile.objectives.base import (
    Objective,
    inner_products,
    query_availability,
    query_embeddings,
)
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import reduce_scores, squared_distance_score
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.pairs import complete_pairs


def joint_entropy_loss(
    first: Float[Tensor, "sample one"], second: Float[Tensor, "sample other"], *, factor: float
) -> Float[Tensor, ""]:
    """Compute the mean over i of log Σ_j exp(-factor (‖x_i - x_j‖² + ‖y_i - y_j‖²)).

    It is log n less the kernel estimate of the joint entropy of x and y, up to a constant, so that
    less of it is more entropy. It is at least 0, since j = i gives 1, and 0 for pairs (x, y) that
    lie far from each other.

    Args:
        first: x, one for each sample.
        second: y of the same samples.
        factor: the factor of squared distances.
    """
    both = torch.cat([first, second], dim=1)
    found = reduce_scores(
        squared_distance_score, [both], [both], [both.new_tensor(factor)], only="rows"
    )
    return found.rows.mean()


class SepClr(Objective):
    """Separate what all samples share from what only samples with a positive label have.

    The last `salient_share` of an embedding's numbers are its salient part s, the others, scaled to
    length 1, its common part c. A sample is a target if a named label is positive, and background
    if all are known to be negative: an unknown or uncertain one may be positive. With
    k(x, y) = exp(-f ‖x - y‖²) the loss is the sum of

    - `common`: the alignment f ‖c - c'‖² of the modalities of a sample, and twice the uniformity
      log mean k(c_i, c_j) of samples i ≠ j of a modality;
    - `salient`: the alignment of s of targets and twice its uniformity, in which s of background
      samples is replaced by 0, so that it also keeps targets away from 0;
    - `background`: f ‖s‖² of background samples, which shall tell nothing;
    - `dependence`: the kernel estimate of c and s together, see `joint_entropy_loss`, with s of
      background samples replaced by 0. The entropies of c and of s grow by their uniformities, so
      that more joint entropy means less mutual information.

    Alignments are means over pairs of modalities, all else over modalities. A sample that
    is neither has its common part alone. `score` is the sum of the inner products of common parts.

    Source: Louiset et al., "Separating Common from Salient Patterns with Contrastive Representation
    Learning", ICLR 2024, https://arxiv.org/abs/2402.11928. There the parts are outputs of two heads
    and two augmented views are aligned; here they are slices of an embedding, of length 1 together,
    and the modalities of a sample are its views. Weights are those of the authors' code for X-rays.

    Args:
        salient_share: the share of an embedding's numbers that are salient.
        factor: f, the factor of squared distances.
        salient_weight: the weight of `salient`.
        background_weight: the weight of `background`.
        dependence_weight: the weight of `dependence`.

    Raises:
        ValueError: an argument is out of range, an embedding has no two numbers, or no two samples
            have the same two modalities.
    """

    display_name = "SepCLR"
    description = "Separates a part common to all samples from one of those with a positive label."
    source = (
        'Louiset et al., "Separating Common from Salient Patterns with Contrastive Representation '
        'Learning", ICLR 2024, https://arxiv.org/abs/2402.11928'
    )
    reads = ("labels",)

    def __init__(
        self,
        *,
        salient_share: float = 0.5,
        factor: float = 1.0,
        salient_weight: float = 1.0,
        background_weight: float = 10.0,
        dependence_weight: float = 10.0,
    ):
        super().__init__(temperature=None)
        refuse(
            between_0_and_1(salient_share=salient_share),
            positive(factor=factor),
            at_least(
                0,
                salient_weight=salient_weight,
                background_weight=background_weight,
                dependence_weight=dependence_weight,
            ),
        )
        self.salient_share, self.factor = salient_share, factor
        self.salient_weight, self.background_weight = salient_weight, background_weight
        self.dependence_weight = dependence_weight

    def parts(
        self, z: Float[Tensor, "*row dim"]
    ) -> tuple[Float[Tensor, "*row common"], Float[Tensor, "*row salient"]]:
        """Return the common parts of embeddings, of length 1, and the salient ones."""
        width = common_width(z.shape[-1], self.salient_share)
        return normalize(z[..., :width], dim=-1), z[..., width:]

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """See the class."""
        common, salient = self.parts(z)
        target = (inputs.labels == 1).any(dim=1)
        background = (inputs.labels == 0).all(dim=1)
        shown = torch.where(target[:, None, None], salient, 0.0)
        terms: dict[str, list[Tensor]] = {name: [] for name in _NAMES}
        for pair in complete_pairs(z, available, objective="a SepCLR step"):
            both = pair.samples
            a, b = (common[both, column] for column in (pair.a, pair.b))
            terms["aligned"].append(self.factor * alignment_loss(a, b))
            kept = both[target[both]]
            if len(kept):
                a, b = (salient[kept, column] for column in (pair.a, pair.b))
                terms["salient_aligned"].append(self.factor * alignment_loss(a, b))
        for m, has in enumerate(available.T):
            known = has & (target | background)
            c, s = common[known, m], shown[known, m]
            if has.sum() >= 2:
                own = common[has, m]
                terms["uniform"].append(uniformity_loss(own, own, factor=self.factor))
            if len(s) >= 2:
                terms["salient_uniform"].append(uniformity_loss(s, s, factor=self.factor))
                terms["dependence"].append(joint_entropy_loss(c, s, factor=self.factor))
            if (has & background).any():
                silent = salient[has & background, m].square().sum(dim=1)
                terms["background"].append(self.factor * silent.mean())
        mean = {
            name: torch.stack(found).mean() if found else z.new_zeros(())
            for name, found in terms.items()
        }
        salient_term = mean["salient_aligned"] + 2 * mean["salient_uniform"]
        return sum_of_terms(
            common=mean["aligned"] + 2 * mean["uniform"],
            salient=self.salient_weight * salient_term,
            background=self.background_weight * mean["background"],
            dependence=self.dependence_weight * mean["dependence"],
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Compute the sum of the inner products of a candidate's and the query's common parts.

        Raises:
            ValueError: a query has no modality available.
        """
        others = query_embeddings(query, target=target, fill=0.0)
        known = query_availability(query, target=target)
        common = torch.where(known[:, :, None], self.parts(others)[0], 0.0)
        return inner_products(common.sum(dim=1), self.parts(candidates.double())[0]).to(candidates)


_NAMES = ("aligned", "uniform", "salient_aligned", "salient_uniform", "background", "dependence")


def common_width(dim: int, salient_share: float) -> int:
    """Return how many numbers of an embedding are its common part; the others are salient.

    Raises:
        ValueError: the embedding has fewer than two numbers.
    """
    if dim < 2:
        raise ValueError(f"an embedding has {dim} number; expected 2 or more, to have two parts.")
    return min(max(math.floor(dim * (1 - salient_share) + 0.5), 1), dim - 1)

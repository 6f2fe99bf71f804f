"""CLIP and Symile whose probabilities are balanced over rows, columns and slices."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.kernels.base import multilinear_products
from clinical_symile.objectives.kernels.scores import reduce_scores
from clinical_symile.objectives.kernels.tiled import product_logsumexp
from clinical_symile.objectives.missing_query import Bank, check_rule, multilinear_score
from clinical_symile.objectives.pairs import complete_pairs
from clinical_symile.objectives.slots import complete_samples


def balanced_clip_loss(
    first: Float[Tensor, "sample dim"],
    second: Float[Tensor, "sample dim"],
    logit_scale: Float[Tensor, ""],
    *,
    sweeps: int,
) -> Float[Tensor, ""]:
    """Compute -mean log π_ii, with π from Sinkhorn sweeps of exp(s ⟨x_i, y_j⟩).

    Each sweep divides rows by their sums, then columns by theirs. After many, all sums are 1.
    Gradients pass through every sweep.

    Source: Liu et al., "The Benefits of Balance: From Information Projections to Variance
    Reduction", NeurIPS 2024, https://arxiv.org/abs/2408.15065.
    """
    of_rows, of_columns = first.new_zeros(len(first)), second.new_zeros(len(second))
    for _ in range(sweeps):
        blank = torch.zeros_like(of_rows)
        of_rows = -_reduce(first, second, logit_scale, blank, of_columns, only="rows").rows
        blank = torch.zeros_like(of_columns)
        of_columns = -_reduce(first, second, logit_scale, of_rows, blank, only="columns").columns
    own = logit_scale * (first * second).sum(dim=1)
    return -(own + of_rows + of_columns).mean()


def balanced_symile_loss(
    matrices: list[Float[Tensor, "_ dim"]],
    complete: list[Tensor],
    logit_scale: Float[Tensor, ""],
    *,
    sweeps: int,
) -> Float[Tensor, ""]:
    """Compute -mean log π_i…i, with π from multi-marginal Sinkhorn sweeps of Symile's cube.

    Each sweep divides the slices of every modality in turn by their sums. A potential enters the
    product as one more dimension: its factor is the potential for its own modality and 1 for the
    others.

    Args:
        matrices: the embeddings of each modality, of the samples that have it.
        complete: for each modality, the rows of the complete samples.
        logit_scale: the multiplier of products.
        sweeps: the number of sweeps.
    """
    potentials = [matrix.new_zeros(len(matrix)) for matrix in matrices]
    for _ in range(sweeps):
        for axis in range(len(matrices)):
            others = [
                torch.zeros_like(own) if m == axis else own for m, own in enumerate(potentials)
            ]
            widened = [
                _with_potentials(matrix, m, potential / logit_scale, len(matrices))
                for m, (matrix, potential) in enumerate(zip(matrices, others, strict=True))
            ]
            potentials[axis] = -product_logsumexp(widened, logit_scale)[axis]
    own = logit_scale * multilinear_products(
        [matrix[rows] for matrix, rows in zip(matrices, complete, strict=True)]
    )
    for potential, rows in zip(potentials, complete, strict=True):
        own = own + potential[rows]
    return -own.mean()


class BalancedClip(Objective):
    """CLIP with probabilities that Sinkhorn sweeps balance over rows and columns.

    Columns sum to 1; rows approach 1 with more sweeps.

    Source: see `balanced_clip_loss`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        sweeps: Sinkhorn sweeps, each over rows and then columns.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: `sweeps` is below 1, or no two samples have the same two modalities.
    """

    display_name = "balanced CLIP"
    description = "CLIP with probabilities balanced over rows and columns (Sinkhorn)."
    source = 'Liu et al., "The Benefits of Balance", NeurIPS 2024, https://arxiv.org/abs/2408.15065'

    def __init__(
        self, *, temperature: float = 0.07, sweeps: int = 2, logit_scale_max: float = 100.0
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(at_least(1, sweeps=sweeps))
        self.sweeps = sweeps

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average `balanced_clip_loss` over pairs of modalities."""
        scale = self.logit_scale.to(z.dtype)
        losses = [
            balanced_clip_loss(pair.first, pair.second, scale, sweeps=self.sweeps)
            for pair in complete_pairs(z, available, objective="a step of balanced CLIP")
        ]
        return torch.stack(losses).mean()


class BalancedSymile(Objective):
    """Symile with probabilities that Sinkhorn sweeps balance over every modality.

    Slices of the last modality sum to 1; the others approach 1 with more sweeps.

    Symile normalizes each anchor modality by itself; here one set of potentials serves all.

    Source: the balancing of `balanced_clip_loss` on the logits of Saporta et al., "Contrasting with
    Symile", NeurIPS 2024; the combination is this project's.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        sweeps: Sinkhorn sweeps, each over all modalities.
        logit_scale_max: limit of the learned scale.
        missing_query: "marginalize", "mean_bank", or "drop", as in `symile`.
        bank_size: train embeddings of each modality in the bank.

    Raises:
        ValueError: `sweeps` is below 1, or fewer than two samples are complete.
    """

    display_name = "balanced Symile"
    description = "Symile with probabilities balanced over every modality (Sinkhorn)."
    source = (
        'Liu et al., "The Benefits of Balance", NeurIPS 2024, with the product of Saporta et al., '
        '"Contrasting with Symile", NeurIPS 2024'
    )

    def __init__(
        self,
        *,
        temperature: float = 0.02,
        sweeps: int = 1,
        logit_scale_max: float = torch.inf,
        missing_query: str = "marginalize",
        bank_size: int = 512,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(at_least(1, sweeps=sweeps))
        self.sweeps = sweeps
        refuse(at_least(1, bank_size=bank_size))
        self.missing_query = check_rule(missing_query)
        self.bank_size = bank_size

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Compute `balanced_symile_loss` of the samples that have each modality."""
        complete = complete_samples(available, objective="a step of balanced Symile")
        return balanced_symile_loss(
            [z[has, m] for m, has in enumerate(available.T)],
            [complete[has].nonzero()[:, 0] for has in available.T],
            self.logit_scale.to(z.dtype),
            sweeps=self.sweeps,
        )

    def score(
        self,
        query: Embeddings,
        candidates: Float[Tensor, "*query candidate dim"],
        *,
        target: str,
        bank: Bank | None = None,
    ) -> Float[Tensor, "query candidate"]:
        """Compute the multilinear inner product, as `Symile.score`."""
        return multilinear_score(
            query,
            candidates,
            target=target,
            bank=bank,
            logit_scale=float(self.logit_scale.detach()),
            rule=self.missing_query or "drop",
        )


def _reduce(first, second, scale, of_rows, of_columns, *, only):
    """Reduce scale · ⟨x_i, y_j⟩ + row and column potentials."""
    left, right = [first, of_rows], [second, of_columns]
    return reduce_scores(_shifted_score, left, right, [scale], only=only)


def _shifted_score(left, right, parameters):
    """Return scale · ⟨x, y⟩ + u + v."""
    return parameters[0] * (left[0] @ right[0].T) + left[1][:, None] + right[1]


def _with_potentials(
    matrix: Float[Tensor, "row dim"], own: int, potential: Float[Tensor, " row"], modalities: int
) -> Float[Tensor, "row wider"]:
    """Add one dimension for each modality's potential."""
    ones = torch.ones_like(potential)
    extra = [potential if m == own else ones for m in range(modalities)]
    return torch.cat([matrix, torch.stack(extra, dim=1)], dim=1)

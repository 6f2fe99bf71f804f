"""SogCLR and iSogCLR: contrast with moving estimates for each sample, so that small batches do."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import inner_product_score, reduce_scores
from clinical_symile.objectives.pairs import complete_pairs

_RATES = (1e-4, 1e-2)  # the last and the first step of temperatures
_LARGEST_SLOPE = 5.0
_SLOPE_MEMORY = 0.9


class SogClr(Objective):
    """Contrast pairs of modalities with a moving estimate of each sample's competition.

    For each ordered pair of modalities and sample i, g_i = Σ_j exp((⟨x_i, y_j⟩ - ⟨x_i, y_i⟩) / τ) /
    (n - 1). Its estimate u_i = (1 - gamma) u_i + gamma g_i is kept from batch to batch. The loss is
    the mean of τ ln u_i, with the gradient of τ ln g_i times g_i / u_i. With gamma = 1 that is the
    gradient of the batch. An estimate starts at the first g_i.

    Source: Yuan et al., "Provable Stochastic Optimization for Global Contrastive Learning", ICML
    2022, https://arxiv.org/abs/2202.12387.

    Args:
        temperature: τ, which is not learned.
        gamma: the weight of a new batch in the estimates, above 0 and at most 1.

    Raises:
        ValueError: an argument is out of range, or no two samples have the same two modalities.
    """

    display_name = "SogCLR"
    description = "Contrasts pairs of modalities with moving estimates for each sample."
    source = (
        'Yuan et al., "Provable Stochastic Optimization for Global Contrastive Learning", ICML '
        "2022, https://arxiv.org/abs/2202.12387"
    )
    keeps_state = True
    log_u: Tensor

    def __init__(self, *, temperature: float = 0.07, gamma: float = 0.8):
        super().__init__(temperature=None)
        problems = []
        if not 0 < temperature < math.inf:
            problems.append(f"temperature is {temperature}; expected a positive number.")
        if not 0 < gamma <= 1:
            problems.append(f"gamma is {gamma}; expected a number above 0 and at most 1.")
        if problems:
            raise ValueError(" ".join(problems))
        self.temperature, self.gamma = temperature, gamma
        self.modalities = 0
        self._found: list[tuple[tuple[Tensor, int, int], dict[str, Tensor]]] = []

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Make tables of what is kept, without a row until training begins."""
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        self.modalities = len(modalities)
        self.begin_training(rows=0, batch_size=0)

    def begin_training(self, *, rows: int, batch_size: int) -> None:
        """Make tables of all rows of the store; a sample that was not seen has inf."""
        for name in self._tables():
            shape = (rows, self.modalities, self.modalities)
            self.register_buffer(name, torch.full(shape, math.inf), persistent=False)

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """Average over ordered pairs of modalities; `after_step` keeps the new estimates."""
        self._found, losses = [], []
        for pair in complete_pairs(z, available, objective="a SogCLR step", ordered=True):
            where = (inputs.embeddings.rows[pair.samples], pair.a, pair.b)
            inverse = self._inverse_temperatures(where, z)
            own = (pair.first * pair.second).sum(dim=1)
            scaled = inverse[:, None] * pair.first
            sums = reduce_scores(inner_product_score, [scaled], [pair.second], [z.new_ones(())])
            log_g = sums.rows - inverse * own - math.log(len(own) - 1)
            log_u = moved_estimates(self._kept("log_u", where, z), log_g.detach(), self.gamma)
            losses.append(surrogate_loss(log_g, log_u, 1 / inverse))
            found = {"log_u": log_u}
            with torch.no_grad():
                found |= self._further(where, pair.first, pair.second, own, inverse, log_u, inputs)
            self._found.append((where, found))
        return torch.stack(losses).mean()

    def after_step(self, inputs: ObjectiveInput | None = None) -> None:
        """Keep the estimates of the step's samples."""
        super().after_step()
        for (rows, a, b), found in self._found:
            for name, values in found.items():
                table = getattr(self, name)
                if len(table):
                    table[rows, a, b] = values.to(table.dtype)
        self._found = []

    def _tables(self) -> tuple[str, ...]:
        """Return the names of what is kept for each sample and ordered pair."""
        return ("log_u",)

    def _kept(self, name: str, where: tuple[Tensor, int, int], like: Tensor) -> Tensor:
        """Return what is kept of some samples; inf where nothing is."""
        rows, a, b = where
        table = getattr(self, name)
        if not len(table):
            return like.new_full((len(rows),), math.inf)
        return table[rows, a, b].to(like.dtype)

    def _inverse_temperatures(self, where: tuple[Tensor, int, int], like: Tensor) -> Tensor:
        return like.new_full((len(where[0]),), 1 / self.temperature)

    def _further(
        self,
        where: tuple[Tensor, int, int],
        first: Tensor,
        second: Tensor,
        own: Tensor,
        inverse: Tensor,
        log_u: Tensor,
        inputs: ObjectiveInput,
    ) -> dict[str, Tensor]:
        """Return what else is kept; nothing here."""
        return {}


class ISogClr(SogClr):
    """SogCLR with a temperature of each sample, by distributionally robust optimization.

    After a step τ_i moves down a moving average of the slope ln u_i + rho - Σ_j w_ij h_ij / τ_i,
    which is limited to ±5, and stays within its limits. h_ij is the difference of products above
    and w_ij = exp(h_ij / τ_i) / ((n - 1) u_i). The size of its steps falls from 0.01 to 0.0001
    along half a cosine.

    Source: Qiu et al., "Not All Semantics are Created Equal: Contrastive Self-supervised Learning
    with Automatic Temperature Individualization", ICML 2023, https://arxiv.org/abs/2305.11965.

    Args:
        temperature: τ of a sample that was not seen.
        gamma: see `SogClr`.
        rho: rho, the size of the set of distributions.
        least: the smallest temperature.
        most: the largest temperature.

    Raises:
        ValueError: see `SogClr`; or the temperature is not from `least` to `most`.
    """

    display_name = "iSogCLR"
    description = "SogCLR with a temperature of each sample."
    source = (
        'Qiu et al., "Not All Semantics are Created Equal", ICML 2023, '
        "https://arxiv.org/abs/2305.11965"
    )
    temperatures: Tensor
    slopes: Tensor

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        gamma: float = 0.8,
        rho: float = 0.1,
        least: float = 0.005,
        most: float = 1.0,
    ):
        super().__init__(temperature=temperature, gamma=gamma)
        if not 0 < least <= temperature <= most < math.inf:
            raise ValueError(
                f"least is {least} and most {most}; expected positive limits around the "
                f"temperature, {temperature}."
            )
        if not math.isfinite(rho):
            raise ValueError(f"rho is {rho}; expected a number.")
        self.rho, self.least, self.most = rho, least, most

    def _tables(self) -> tuple[str, ...]:
        return ("log_u", "temperatures", "slopes")

    def _inverse_temperatures(self, where: tuple[Tensor, int, int], like: Tensor) -> Tensor:
        return 1 / self._kept("temperatures", where, like).nan_to_num(posinf=self.temperature)

    def _further(
        self,
        where: tuple[Tensor, int, int],
        first: Tensor,
        second: Tensor,
        own: Tensor,
        inverse: Tensor,
        log_u: Tensor,
        inputs: ObjectiveInput,
    ) -> dict[str, Tensor]:
        """Return the next temperatures and the moving averages of their slopes."""
        weights = [inverse[:, None] * first, inverse * own, log_u + math.log(len(own) - 1)]
        expected = reduce_scores(_weighted_gaps, weights, [second]).row_sums
        slope = (log_u + self.rho - expected).clamp(-_LARGEST_SLOPE, _LARGEST_SLOPE)
        before = self._kept("slopes", where, own).nan_to_num(posinf=0.0)
        slopes = _SLOPE_MEMORY * before + (1 - _SLOPE_MEMORY) * slope
        last, start = _RATES
        rate = last + (start - last) * (1 + math.cos(math.pi * inputs.progress)) / 2
        temperatures = (1 / inverse - rate * slopes).clamp(self.least, self.most)
        return {"temperatures": temperatures, "slopes": slopes}


def moved_estimates(
    before: Float[Tensor, " sample"], log_g: Float[Tensor, " sample"], gamma: float
) -> Float[Tensor, " sample"]:
    """Return ln((1 - gamma) u + gamma g) from ln u and ln g; ln g where ln u is inf."""
    if gamma == 1:
        return log_g
    moved = torch.logaddexp(before + math.log1p(-gamma), log_g + math.log(gamma))
    return torch.where(before.isinf(), log_g, moved)


def surrogate_loss(
    log_g: Float[Tensor, " sample"],
    log_u: Float[Tensor, " sample"],
    temperatures: Float[Tensor, " sample"],
) -> Float[Tensor, ""]:
    """Return the mean of τ ln u, with the gradient of τ ln g times g / u."""
    weights = temperatures * (log_g.detach() - log_u).exp()
    gradient_only = weights * (log_g - log_g.detach())
    return (temperatures * log_u + gradient_only).mean()


def _weighted_gaps(left, right, _):
    """Return w_ij h_ij / τ_i."""
    scaled, own, log_size = left
    gaps = scaled @ right[0].T - own[:, None]
    return (gaps - log_size[:, None]).exp() * gaps

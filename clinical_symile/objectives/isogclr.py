"""iSogCLR: SogCLR with a temperature of each sample."""

import math

from jaxtyping import Float
from torch import Tensor

from clinical_symile.objectives.arguments import positive, refuse
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.kernels.scores import reduce_scores
from clinical_symile.objectives.moving_estimates import MovingEstimates
from clinical_symile.objectives.pairs import Pair

_RATES = (1e-4, 1e-2)  # the last and the first step of temperatures
_LARGEST_SLOPE = 5.0
_SLOPE_MEMORY = 0.9


class ISogClr(MovingEstimates):
    """SogCLR with a temperature of each sample, by distributionally robust optimization.

    After a step τ_i moves down a moving average of the slope ln u_i + rho - Σ_j w_ij h_ij / τ_i,
    which is limited to ±5, and stays within its limits. h_ij is the difference of products above
    and w_ij = exp(h_ij / τ_i) / ((n - 1) u_i). The size of its steps falls from 0.01 to 0.0001
    along half a cosine.

    Source: Qiu et al., "Not All Semantics are Created Equal: Contrastive Self-supervised Learning
    with Automatic Temperature Individualization", ICML 2023, https://arxiv.org/abs/2305.11965.

    Args:
        temperature: τ of a sample that was not seen.
        gamma: the weight of a new batch in the estimates, above 0 and at most 1.
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
        limits = f"least is {least} and most {most}; expected limits around {temperature}."
        refuse(
            positive(least=least, most=most),
            [] if math.isfinite(rho) else [f"rho is {rho}; expected a number."],
            [] if least <= temperature <= most else [limits],
        )
        self.rho, self.least, self.most = rho, least, most

    def tables(self) -> tuple[str, ...]:
        """Return the names of what is kept for each sample and ordered pair."""
        return ("log_u", "temperatures", "slopes")

    def inverse_temperatures(self, pair: Pair, rows: Tensor) -> Float[Tensor, " sample"]:
        """Return 1 / τ of each sample of a pair, from its table."""
        return 1 / self.kept("temperatures", pair, rows).nan_to_num(posinf=self.temperature)

    def next_state(
        self,
        pair: Pair,
        rows: Tensor,
        inverse: Float[Tensor, " sample"],
        log_u: Float[Tensor, " sample"],
        inputs: ObjectiveInput,
    ) -> dict[str, Tensor]:
        """Return the estimates, the next temperatures and the moving averages of their slopes."""
        own = (pair.first * pair.second).sum(dim=1)
        left = [inverse[:, None] * pair.first, inverse * own, log_u + math.log(len(own) - 1)]
        expected = reduce_scores(_weighted_gaps, left, [pair.second], only="row_sums").row_sums
        slope = (log_u + self.rho - expected).clamp(-_LARGEST_SLOPE, _LARGEST_SLOPE)
        before = self.kept("slopes", pair, rows).nan_to_num(posinf=0.0)
        slopes = _SLOPE_MEMORY * before + (1 - _SLOPE_MEMORY) * slope
        last, start = _RATES
        rate = last + (start - last) * (1 + math.cos(math.pi * inputs.progress)) / 2
        temperatures = (1 / inverse - rate * slopes).clamp(self.least, self.most)
        return {"log_u": log_u, "temperatures": temperatures, "slopes": slopes}


def _weighted_gaps(left, right, _):
    """Return w_ij h_ij / τ_i."""
    scaled, own, log_size = left
    gaps = scaled @ right[0].T - own[:, None]
    return (gaps - log_size[:, None]).exp() * gaps

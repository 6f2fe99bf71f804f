"""SogCLR: contrast with moving estimates for each sample, so that small batches do."""

from clinical_symile.objectives.moving_estimates import MovingEstimates


class SogClr(MovingEstimates):
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

    def __init__(self, *, temperature: float = 0.07, gamma: float = 0.8):
        super().__init__(temperature=temperature, gamma=gamma)

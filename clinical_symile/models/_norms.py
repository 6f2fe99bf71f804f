"""Normalize what encoders give: to unit length, by layer, and the means of Gaussians."""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Log variances are from -10 to 10, so that variances and their inverses stay far from the limits of
# float32.
_MOST_LOG_VARIANCE = 10.0


class UnitLength(nn.Module):
    """Scale to length 1."""

    def __init__(self, dim: int):
        super().__init__()

    def forward(self, z: Tensor) -> Tensor:
        return functional.normalize(z, dim=-1)


class GaussianNorm(nn.Module):
    """Normalize the means and limit the log variances that follow them.

    Args:
        norm: normalizes the means.
        dim: the number of means.
    """

    def __init__(self, norm: nn.Module, dim: int):
        super().__init__()
        self.norm = norm
        self.dim = dim

    def forward(self, z: Tensor) -> Tensor:
        means, log_variances = z.split(self.dim, dim=-1)
        limited = log_variances.clamp(-_MOST_LOG_VARIANCE, _MOST_LOG_VARIANCE)
        return torch.cat([self.norm(means), limited], dim=-1)


class FirstNumbersNorm(nn.Module):
    """Normalize the first numbers, and leave those that follow.

    Args:
        norm: normalizes the first numbers.
        dim: their number.
    """

    def __init__(self, norm: nn.Module, dim: int):
        super().__init__()
        self.norm, self.dim = norm, dim
        self.training = norm.training

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([self.norm(z[..., : self.dim]), z[..., self.dim :]], dim=-1)


NORMS = {"l2": UnitLength, "layer_norm": nn.LayerNorm}

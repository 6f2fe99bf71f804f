"""Adjust logits by how common each class is in training, so that rare classes are not given up.

The loss reads adjusted logits, and predictions the plain ones: these are then of a population in
which all classes are equally common.

Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021,
https://arxiv.org/abs/2007.07314; for contrast by labels Suh and Seo, "Long-Tailed Recognition by
Mutual Information Maximization between Latent Features and Ground-Truth Labels", ICML 2023,
https://arxiv.org/abs/2305.01160.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def adjust_logits(
    logits: Float[Tensor, "*row class"], prior: Float[Tensor, " class"], *, weight: float = 1.0
) -> Float[Tensor, "*row class"]:
    """Add weight · ln π to the logit of each class.

    A uniform prior adds one constant to all, which no softmax sees.

    Args:
        logits: of the classes.
        prior: π, the share of each class in training.
        weight: 1 for the prior itself, 0 for no adjustment.
    """
    return logits + weight * prior.log()


def adjust_log_odds(
    log_odds: Float[Tensor, "*row label"],
    positive_shares: Float[Tensor, " label"],
    *,
    weight: float = 1.0,
) -> Float[Tensor, "*row label"]:
    """Add weight · ln(π / (1 - π)) to the log odds of each label: `adjust_logits` of two classes.

    Args:
        log_odds: of a positive label.
        positive_shares: π, the share of positives of each label in training.
        weight: as in `adjust_logits`.
    """
    return log_odds + weight * positive_shares.to(log_odds.dtype).logit()


def log_prior(
    labels: Float[Tensor, "row label"], positive_shares: Float[Tensor, " label"]
) -> Float[Tensor, " row"]:
    """Compute the log prior of each row's labels, as if labels were independent of each other.

    An unknown label counts as one of two equally common classes, ln ½.

    Args:
        labels: 1 positive, 0 negative, NaN unknown.
        positive_shares: the share of positives of each label in training.
    """
    shares = positive_shares.to(labels.dtype)
    unknown = torch.full_like(labels, -math.log(2))
    known = torch.where(labels == 0, (-shares).log1p(), unknown)
    return torch.where(labels == 1, shares.log(), known).sum(dim=1)

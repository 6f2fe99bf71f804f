"""Draw the modalities that a pattern's mechanism hides, from names, covariates and a seed."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from clinical_symile.missingness.at_least_one import draw_at_least_one, kept_columns
from clinical_symile.missingness.correlated import correlate
from clinical_symile.missingness.mechanisms import draw_hidden, uniforms
from clinical_symile.missingness.patterns import Pattern


def draw_pattern(
    pattern: Pattern,
    samples: Sequence[str],
    modalities: Sequence[str],
    covariates: Float[np.ndarray, "sample modality"],
    present: Bool[np.ndarray, "sample modality"],
    *,
    seed: int,
) -> Bool[np.ndarray, "sample modality"]:
    """Draw the entries that `mcar`, `mar` or `mnar` hides, under the rule of the pattern.

    Args:
        pattern: a pattern with one of these mechanisms.
        samples: the samples' names.
        modalities: the columns.
        covariates: x of each entry, with mean 0 and variance 1; 0 for MCAR.
        present: True where there is an entry to hide.
        seed: of the draw.

    Raises:
        UnreachableError: `@at-least-one` does not allow the rates; the message has the range.
    """
    draws, rates = uniforms(seed, samples, modalities), pattern.rates_of(modalities)
    if pattern.at_least_one and (rates > 0).all():
        kept = uniforms(seed, samples, kept_columns(modalities))
        return draw_at_least_one(draws, kept, covariates, rates=rates)
    if pattern.correlation:
        draws = correlate(draws, rates, pattern.correlation)
    return draw_hidden(draws, covariates, present=present, rates=rates)

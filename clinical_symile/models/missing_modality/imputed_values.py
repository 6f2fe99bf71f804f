"""Impute values of a panel that were not measured, and embeddings, several times."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.models.missing_modality._chained import (
    ColumnDraw,
    draw_missing,
    fit_chain,
    fit_steps,
    imputed_vectors,
)
from clinical_symile.models.missing_modality.base import (
    DropModality,
    Fill,
    ImputeValues,
    MissingModalityMethod,
    PanelImputation,
)

_IMPUTATIONS = 5
_ROUNDS = 5  # of the chained regressions
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


class PanelChain(NamedTuple):
    """Chained regressions of the analytes of a panel on each other, as fitted to train samples.

    Attributes:
        known: the train values of each analyte, ascending.
        varying: the analytes with two different train values, which have regressions.
        steps: the analytes that are imputed, one after another, as places in `varying`.
        seed: of the draws.
    """

    known: tuple[Float[np.ndarray, " value"], ...]
    varying: np.ndarray
    steps: Sequence[ColumnDraw]
    seed: int


def fit_values(
    values: Float[np.ndarray, "sample analyte"], seed: int, *, rounds: int = _ROUNDS
) -> ImputeValues:
    """Fit scikit-learn's iterative imputer to the values of train samples.

    A value enters as the normal score of its rank among the train values of its analyte, so that
    skewed analytes are regressed as well as others. The parameters of each regression are drawn
    once from their posterior.

    Args:
        values: of train samples, NaN where not measured.
        seed: of the draws.
        rounds: the number of passes over the analytes.

    Returns:
        A function that fills in values, see `imputed_panel`.
    """
    table = np.asarray(values, dtype=np.float64)
    known = tuple(np.sort(column[~np.isnan(column)]) for column in table.T)
    varying = np.flatnonzero([len(one) > 1 and one[0] < one[-1] for one in known])
    steps: Sequence[ColumnDraw] = ()
    if len(varying) > 1:
        scores = _normal_scores(table[:, varying], [known[column] for column in varying])
        steps = fit_steps(scores, seed, rounds=rounds)
    return partial(imputed_panel, PanelChain(known, varying, steps, seed))


def imputed_panel(
    chain: PanelChain, values: Float[np.ndarray, "sample analyte"], names: Sequence[str]
) -> Float[np.ndarray, "sample analyte"]:
    """Draw one imputation of each value that was not measured.

    It is drawn from the sample's other values, as the train value at the drawn rank, so that it is
    plausible. The noise of a sample depends on the seed and on its name: it is the same beside any
    other samples, and samples with equal values differ. An analyte with one train value has that;
    one without stays NaN. A single analyte that varies has no other to be drawn from: it has the
    middle one of its train values.

    Args:
        chain: the regressions.
        values: NaN where not measured.
        names: the name of each sample, or another word that stands for it alone.
    """
    made = np.array(values, dtype=np.float64)
    missing = np.isnan(made)
    for column, one in enumerate(chain.known):
        if len(one):
            made[missing[:, column], column] = one[len(one) // 2]
    if chain.steps:
        known = [chain.known[column] for column in chain.varying]
        lacks = missing[:, chain.varying]
        given = np.where(lacks, np.nan, made[:, chain.varying])
        scores = np.nan_to_num(_normal_scores(given, known))
        codes = [_code(name) for name, _ in zip(names, lacks, strict=True)]
        draw_missing(scores, lacks, chain.steps, codes=codes, seed=chain.seed)
        for place, (column, one) in enumerate(zip(chain.varying, known, strict=True)):
            ranks = np.floor(norm.cdf(scores[lacks[:, place], place]) * len(one)).astype(int)
            made[lacks[:, place], column] = one[ranks.clip(0, len(one) - 1)]
    return made


def fit_vectors(train: Embeddings, seed: int) -> Fill:
    """Fit one imputer of embeddings; see `fit_chain` and `imputed_vectors`."""
    return partial(imputed_vectors, fit_chain(train, seed))


def fit_several_vectors(train: Embeddings, seed: int) -> Sequence[Fill]:
    """Fit five imputers of embeddings with seeds of their own."""
    seeds = np.random.SeedSequence(seed).generate_state(_IMPUTATIONS)
    return tuple(fit_vectors(train, int(one)) for one in seeds)


def _code(name: str) -> int:
    """Return the number of a sample's draws."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big")


def _normal_scores(
    values: Float[np.ndarray, "sample analyte"], known: Sequence[Float[np.ndarray, " value"]]
) -> Float[np.ndarray, "sample analyte"]:
    """Return the normal score of each value's rank among known ones; NaN stays NaN."""
    scores = np.full(values.shape, np.nan)
    for column, one in enumerate(known):
        there = ~np.isnan(values[:, column])
        below, upto = (np.searchsorted(one, values[there, column], side) for side in _SIDES)
        least = 0.5 / len(one)
        scores[there, column] = norm.ppf(((below + upto) / 2 / len(one)).clip(least, 1 - least))
    return scores


IMPUTED_VALUES = MissingModalityMethod(
    handler=DropModality,
    fit=fit_several_vectors,
    panel=PanelImputation(number=_IMPUTATIONS, fit_values=fit_values, fit_vectors=fit_vectors),
    display_name="multiple imputation of values",
    description="Averages scores and log odds over five imputations of lab values and embeddings.",
    source=(
        'van Buuren and Groothuis-Oudshoorn, "mice: Multivariate Imputation by Chained Equations '
        'in R", Journal of Statistical Software 2011, https://doi.org/10.18637/jss.v045.i03'
    ),
)
"""Five imputations of values that were not measured and of missing embeddings."""

"""Impute missing embeddings several times by chained regressions."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.models.missing_modality._chained import fit_chain, imputed_vectors
from clinical_symile.models.missing_modality.base import DropModality, Fill, MissingModalityMethod

_IMPUTATIONS = 5


def fit_imputations(train: Embeddings, seed: int) -> Sequence[Fill]:
    """Fit five imputers with seeds of their own; see `fit_chain` and `imputed_vectors`."""
    seeds = np.random.SeedSequence(seed).generate_state(_IMPUTATIONS)
    return tuple(partial(imputed_vectors, fit_chain(train, int(one))) for one in seeds)


IMPUTED = MissingModalityMethod(
    handler=DropModality,
    fit=fit_imputations,
    display_name="multiple imputation",
    description="Averages scores and log odds over five imputations of a missing embedding.",
    source=(
        'van Buuren and Groothuis-Oudshoorn, "mice: Multivariate Imputation by Chained Equations '
        'in R", Journal of Statistical Software 2011, https://doi.org/10.18637/jss.v045.i03'
    ),
)
"""Five imputations of a missing embedding by chained regressions; training leaves it out."""

"""Chained regressions, as of scikit-learn's iterative imputer, whose parameters are drawn once."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (makes the next import work)
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings

_COMPONENTS = 16  # of each modality
_LEAST_SIZE = 1e-6  # of the standard deviation of a component
_ROUNDS = 5  # of the chained regressions


class Components(NamedTuple):
    """The principal components of a modality's train embeddings.

    Attributes:
        mean: of the embeddings.
        axes: unit vectors, most variance first.
    """

    mean: Float[np.ndarray, " dim"]
    axes: Float[np.ndarray, "component dim"]


class ColumnDraw(NamedTuple):
    """A regression of one column on others, with parameters drawn from their posterior.

    Attributes:
        column: the column that is imputed.
        read: the columns that the regression reads.
        weights: of these.
        intercept: its constant.
        deviation: the standard deviation of the residuals.
    """

    column: int
    read: np.ndarray
    weights: Float[np.ndarray, " read"]
    intercept: float
    deviation: float


class Chain(NamedTuple):
    """Chained regressions of all components on each other, as fitted to train samples.

    Attributes:
        components: of each modality.
        start: the first value of each column of the table, where it is missing.
        steps: the columns that are imputed, one after another.
        columns: the columns of each modality.
        seed: of the draws.
    """

    components: tuple[Components, ...]
    start: Float[np.ndarray, " column"]
    steps: Sequence[ColumnDraw]
    columns: tuple[np.ndarray, ...]
    seed: int


def fit_chain(train: Embeddings, seed: int, *, rounds: int = _ROUNDS) -> Chain:
    """Fit scikit-learn's iterative imputer to the components of train embeddings.

    A component is regressed on all others, also those of its modality, by Bayesian linear
    regression. Train samples that lack a modality are imputed on the way. The parameters of each
    regression are drawn once from their posterior, for all samples that are imputed later, so that
    imputations differ by as much as the train samples leave open.

    Args:
        train: embeddings of train samples, zero where unavailable.
        seed: of the draws.
        rounds: the number of passes over the columns.
    """
    z, has = train.z.double().numpy(), train.available.numpy()
    components = tuple(_components(z[has[:, m], m]) for m in range(z.shape[1]))
    widths = [len(one.axes) for one in components]
    columns = tuple(np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1]))
    table = np.full((len(z), sum(widths)), np.nan)
    for m, one in enumerate(components):
        table[np.ix_(has[:, m], columns[m])] = (z[has[:, m], m] - one.mean) @ one.axes.T
    if not table.size:
        return Chain(components, np.zeros(0), (), columns, seed)
    steps = fit_steps(table, seed, rounds=rounds)
    return Chain(components, np.nanmean(table, axis=0), steps, columns, seed)


def fit_steps(
    table: Float[np.ndarray, "sample column"], seed: int, *, rounds: int = _ROUNDS
) -> list[ColumnDraw]:
    """Fit scikit-learn's iterative imputer to a table, and draw the parameters of each regression.

    Args:
        table: NaN where missing; each column has two different numbers at least.
        seed: of the draws.
        rounds: the number of passes over the columns.
    """
    imputer = IterativeImputer(
        BayesianRidge(),
        sample_posterior=True,
        max_iter=rounds,
        imputation_order="roman",
        skip_complete=False,  # what all train samples have may be missing in use
        random_state=seed,
    ).fit(table)
    rng = np.random.default_rng(seed)
    counts = (~np.isnan(table)).sum(axis=0)
    return [
        _drawn_step(int(step.feat_idx), step.neighbor_feat_idx, step.estimator, counts, rng)
        for step in imputer.imputation_sequence_
    ]


def draw_missing(
    table: Float[np.ndarray, "sample column"],
    missing: Bool[np.ndarray, "sample column"],
    steps: Sequence[ColumnDraw],
    *,
    codes: Sequence[int],
    seed: int,
) -> None:
    """Draw what is missing in a table by the steps of an imputer, in place.

    Args:
        table: any start where missing.
        missing: True for what is drawn.
        steps: the regressions.
        codes: a number that each sample's draws depend on, made of nothing that is missing.
        seed: of the draws.
    """
    noise = np.empty((len(table), len(steps)))
    for row, code in enumerate(codes):
        noise[row] = np.random.default_rng([seed, code]).standard_normal(len(steps))
    for number, step in enumerate(steps):
        rows = missing[:, step.column]
        if rows.any():
            mean = table[np.ix_(rows, step.read)] @ step.weights + step.intercept
            table[rows, step.column] = mean + step.deviation * noise[rows, number]


def imputed_vectors(
    chain: Chain,
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
) -> Float[Tensor, "sample modality dim"]:
    """Draw one imputation of each missing embedding, by the steps of the imputer.

    The draws of a sample depend on the seed and on its own embeddings, to four decimals, so that
    they are the same beside any other samples; samples with equal embeddings get equal ones. What
    the components of a modality do not explain is
    imputed by its mean.

    Args:
        chain: the regressions.
        z: the embeddings to complete; zero where unavailable.
        available: True where a sample has the modality.
    """
    given, has = z.double().numpy(), available.numpy()
    table = np.tile(chain.start, (len(given), 1))
    missing = np.zeros(table.shape, dtype=bool)
    for m, (one, columns) in enumerate(zip(chain.components, chain.columns, strict=True)):
        table[np.ix_(has[:, m], columns)] = (given[has[:, m], m] - one.mean) @ one.axes.T
        missing[np.ix_(~has[:, m], columns)] = True
    rounded = np.round(np.where(has[:, :, None], given, 0.0), 4) + 0.0
    codes = [zlib.crc32(z.tobytes() + own.tobytes()) for z, own in zip(rounded, has, strict=True)]
    draw_missing(table, missing, chain.steps, codes=codes, seed=chain.seed)
    made = [
        one.mean + table[:, columns] @ one.axes
        for one, columns in zip(chain.components, chain.columns, strict=True)
    ]
    return torch.from_numpy(np.stack(made, axis=1)).to(z)


def _drawn_step(
    column: int,
    read: np.ndarray,
    regression: BayesianRidge,
    counts: Int[np.ndarray, " column"],
    rng: np.random.Generator,
) -> ColumnDraw:
    """Draw the parameters of a regression from their posterior.

    The weights have the covariance `sigma_`; the mean of the column at the means of what is read
    has the variance of the residuals divided by the number of samples.
    """
    deviation = float(1 / np.sqrt(regression.alpha_))
    added = rng.multivariate_normal(np.zeros(len(read)), regression.sigma_, method="eigh")
    shift = rng.standard_normal() * deviation / np.sqrt(counts[column])
    intercept = float(regression.intercept_ + shift - regression.X_offset_ @ added)
    return ColumnDraw(column, read, regression.coef_ + added, intercept, deviation)


def _components(z: Float[np.ndarray, "sample dim"]) -> Components:
    """Return up to 16 principal components with a variance; none of fewer than two samples."""
    mean = z.sum(axis=0) / max(len(z), 1)
    _, sizes, axes = np.linalg.svd(z - mean, full_matrices=False)
    varies = sizes > _LEAST_SIZE * np.sqrt(len(z))
    return Components(mean, axes[varies][:_COMPONENTS])

"""Retrieval metrics, from how many candidates score above the right one and how many tie with it.

Ties count as if they were broken at random, in expectation: a model that maps everything to one
point scores chance, wherever the right answer stands in the list.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.metrics.metric import Metric, weighted_mean


def ranks(
    scores: Float[np.ndarray, "query candidate"], positive: Int[np.ndarray, " query"]
) -> tuple[Int[np.ndarray, " query"], Int[np.ndarray, " query"]]:
    """How many candidates score `above` each query's right one, and how many others are `tied`.

    Args:
        scores: higher is better; -inf where a query's list is shorter than others.
        positive: the column of the right candidate.

    Raises:
        ValueError: a score is NaN, or a right candidate has no finite score.
    """
    above, tied = above_and_tied(
        scores, np.take_along_axis(scores, positive[:, None], axis=1)[:, 0]
    )
    return above, tied - 1


def above_and_tied(
    scores: Float[np.ndarray, "query candidate"], right: Float[np.ndarray, " query"]
) -> tuple[Int[np.ndarray, " query"], Int[np.ndarray, " query"]]:
    """How many of some candidates score above `right`, and how many equal it.

    Counts over parts of the candidates add up.

    Args:
        scores: higher is better; -inf for who is no candidate.
        right: the score of each query's right candidate.

    Raises:
        ValueError: a score is NaN, or a right candidate has no finite score.
    """
    if np.isnan(scores).any():
        rows = int(np.isnan(scores).any(axis=1).sum())
        raise ValueError(
            f"{rows} of {len(scores)} queries have a NaN score; expected numbers. A model that "
            "diverged in training gives such scores: look at the loss in its history."
        )
    if not np.isfinite(right).all():
        raise ValueError(
            f"{int((~np.isfinite(right)).sum())} of {len(scores)} queries have a right candidate "
            "without a finite score; expected `positive` to be a column of the query's own list."
        )
    right = right[:, None].astype(scores.dtype)
    return (scores > right).sum(axis=1), (scores == right).sum(axis=1)


def mean_reciprocal_rank(
    above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]
) -> float:
    """Mean of 1 / rank; over tied candidates, the mean of 1 / rank over the ranks they share."""
    _check_not_empty(above)
    return float(_reciprocal_ranks(above, tied).mean())


def _reciprocal_ranks(
    above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]
) -> Float[np.ndarray, " query"]:
    harmonic = _harmonic_numbers(int((above + tied).max()) + 1)
    return (harmonic[above + tied + 1] - harmonic[above]) / (tied + 1)


def _hits_at(k: int) -> Callable[..., Float[np.ndarray, " query"]]:
    """Whether each query's right candidate is among the first k; a share where it ties."""

    def hits(
        above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]
    ) -> Float[np.ndarray, " query"]:
        return np.clip((k - above) / (tied + 1), 0, 1)

    return hits


def _recall_at(k: int) -> Callable[..., float]:
    hits = _hits_at(k)

    def recall(above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]) -> float:
        _check_not_empty(above)
        return float(hits(above, tied).mean())

    return recall


def _recall_chance(k: int) -> Callable[[Int[np.ndarray, " query"]], float]:
    def chance(candidates: Int[np.ndarray, " query"]) -> float:
        _check_not_empty(candidates)
        return float(np.minimum(k / candidates, 1).mean())

    return chance


def _reciprocal_rank_chance(candidates: Int[np.ndarray, " query"]) -> float:
    _check_not_empty(candidates)
    return float((_harmonic_numbers(int(candidates.max()))[candidates] / candidates).mean())


def _harmonic_numbers(last: int) -> Float[np.ndarray, " number"]:
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, last + 1))])


def _check_not_empty(queries: np.ndarray) -> None:
    if len(queries) == 0:
        raise ValueError("no queries to score; expected at least one.")


def _recall_metric(k: int) -> Metric:
    return Metric(
        name=f"recall_at_{k}",
        compute=_recall_at(k),
        higher_is_better=True,
        low=0.0,
        high=1.0,
        chance=_recall_chance(k),
        each=_hits_at(k),
        weighted=weighted_mean(_hits_at(k)),
    )


RECALL_AT_1 = _recall_metric(1)
RECALL_AT_5 = _recall_metric(5)
MEAN_RECIPROCAL_RANK = Metric(
    name="mean_reciprocal_rank",
    compute=mean_reciprocal_rank,
    higher_is_better=True,
    low=0.0,
    high=1.0,
    chance=_reciprocal_rank_chance,
    each=_reciprocal_ranks,
    weighted=weighted_mean(_reciprocal_ranks),
)

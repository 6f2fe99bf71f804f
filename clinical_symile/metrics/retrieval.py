"""Compute retrieval metrics from the candidates that score above or tie with the correct one.

Ties count in expectation, as if broken at random. A model that maps everything to one point reaches
the chance level, wherever the correct candidate is in the list. Lists may differ in length; the
chance level of a metric is that of the actual lists.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.metrics.base import Metric, weighted_mean

_RANK = ("above", "tied")


def expected_ranks(
    scores: Float[np.ndarray, "query candidate"], positive: Int[np.ndarray, " query"]
) -> tuple[Int[np.ndarray, " query"], Int[np.ndarray, " query"]]:
    """Count the candidates `above` each query's correct one, and the others `tied` with it.

    Args:
        scores: higher is better; -inf where a query's list is shorter than others.
        positive: the column of the correct candidate.

    Raises:
        ValueError: a score is NaN, or a correct candidate has no finite score.
    """
    above, tied = above_and_tied(
        scores, np.take_along_axis(scores, positive[:, None], axis=1)[:, 0]
    )
    return above, tied - 1


def above_and_tied(
    scores: Float[np.ndarray, "query candidate"], right: Float[np.ndarray, " query"]
) -> tuple[Int[np.ndarray, " query"], Int[np.ndarray, " query"]]:
    """Count the candidates that score above `right`, and those that equal it.

    Counts over parts of the candidates add up.

    Args:
        scores: higher is better; -inf for a sample that is no candidate.
        right: the score of each query's correct candidate.

    Raises:
        ValueError: a score is NaN, or a correct candidate has no finite score.
    """
    if np.isnan(scores).any():
        rows = int(np.isnan(scores).any(axis=1).sum())
        raise ValueError(
            f"{rows} of {len(scores)} queries have a NaN score; expected numbers. A model that "
            "diverged in training gives such scores. Check the loss in its history."
        )
    if not np.isfinite(right).all():
        raise ValueError(
            f"{int((~np.isfinite(right)).sum())} of {len(scores)} queries have a correct candidate "
            "without a finite score; expected `positive` to be a column of the query's own list."
        )
    right = right[:, None].astype(scores.dtype)
    return (scores > right).sum(axis=1), (scores == right).sum(axis=1)


def mean_reciprocal_rank(
    above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]
) -> float:
    """Compute the mean of 1 / rank; a tie counts the mean of 1 / rank over the shared ranks."""
    _check_not_empty(above)
    return float(_reciprocal_ranks(above, tied).mean())


def _reciprocal_ranks(
    above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]
) -> Float[np.ndarray, " query"]:
    harmonic = _harmonic_numbers(int((above + tied).max()) + 1)
    return (harmonic[above + tied + 1] - harmonic[above]) / (tied + 1)


def _hits_at(k: int) -> Callable[..., Float[np.ndarray, " query"]]:
    """Return a function: is the correct candidate among the first k? A share where it ties."""

    def hits(
        above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]
    ) -> Float[np.ndarray, " query"]:
        return np.clip((k - above) / (tied + 1), 0, 1)

    return hits


def _discounted_gains_at(k: int) -> Callable[..., Float[np.ndarray, " query"]]:
    """Return a function: 1 / log2(1 + rank) within the first k, else 0; a tie counts the mean."""

    def gains(
        above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]
    ) -> Float[np.ndarray, " query"]:
        total = _total_discounts(k)
        return (total[np.minimum(above + tied + 1, k)] - total[np.minimum(above, k)]) / (tied + 1)

    return gains


def _total_discounts(k: int) -> Float[np.ndarray, " ranks"]:
    """Return the sums of 1 / log2(1 + rank) over the first 0 … k ranks."""
    return np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])


def median_rank(above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]) -> float:
    """Compute the median rank over queries; a query with ties has each of the shared ranks.

    It is the median of all ranks that breaking ties at random can give, weighted by probability;
    without ties, the ordinary median.
    """
    _check_not_empty(above)
    share = 1 / (tied + 1)
    steps = np.zeros(int((above + tied).max()) + 2)
    np.add.at(steps, above, share)
    np.add.at(steps, above + tied + 1, -share)
    below = np.cumsum(np.cumsum(steps))[:-1] / len(above)
    # Sums of shares that are one half in theory may differ from it in their last digits.
    first, last = np.searchsorted(below, [0.5 - 1e-9, 0.5 + 1e-9])
    return float(first + last) / 2 + 1


def auc_per_query(
    above: Int[np.ndarray, " query"],
    tied: Int[np.ndarray, " query"],
    candidates: Int[np.ndarray, " query"],
) -> float:
    """Compute the mean share of wrong candidates that score below the correct one, ties half.

    Raises:
        ValueError: there are no queries, or a query has no wrong candidate.
    """
    _check_not_empty(above)
    alone = int((candidates < 2).sum())
    if alone:
        raise ValueError(
            f"{alone} of {len(candidates)} queries have no wrong candidate; expected at least one "
            "in each list. Draw longer lists, or leave auc_per_query out."
        )
    return float(_shares_below(above, tied, candidates).mean())


def _shares_below(
    above: Int[np.ndarray, " query"],
    tied: Int[np.ndarray, " query"],
    candidates: Int[np.ndarray, " query"],
) -> Float[np.ndarray, " query"]:
    return 1 - (above + tied / 2) / (candidates - 1)


def auc_over_scores(separation: Float[np.ndarray, " query"]) -> float:
    """Compute how often a correct pair scores above a wrong pair of any query, ties half.

    Unlike ranks, it measures whether scores are comparable between queries, so that one threshold
    can separate correct pairs from wrong ones.

    Args:
        separation: each query's contribution, from `pooled_auc_per_query`.

    Raises:
        ValueError: there are no queries, or no list has a wrong candidate.
    """
    _check_not_empty(separation)
    if np.isnan(separation).any():
        raise ValueError(
            "no query has a wrong candidate; expected at least one. Draw longer lists, or leave "
            "auc_over_scores out."
        )
    return float(separation.mean())


def _itself(separation: Float[np.ndarray, " query"]) -> Float[np.ndarray, " query"]:
    return separation


def _mean_of(
    each: Callable[..., Float[np.ndarray, " query"]],
) -> Callable[..., float]:
    def mean(above: Int[np.ndarray, " query"], tied: Int[np.ndarray, " query"]) -> float:
        _check_not_empty(above)
        return float(each(above, tied).mean())

    return mean


def _recall_chance(k: int) -> Callable[[Int[np.ndarray, " query"]], float]:
    def chance(candidates: Int[np.ndarray, " query"]) -> float:
        _check_not_empty(candidates)
        return float(np.minimum(k / candidates, 1).mean())

    return chance


def _reciprocal_rank_chance(candidates: Int[np.ndarray, " query"]) -> float:
    _check_not_empty(candidates)
    return float((_harmonic_numbers(int(candidates.max()))[candidates] / candidates).mean())


def _discounted_gain_chance(k: int) -> Callable[[Int[np.ndarray, " query"]], float]:
    def chance(candidates: Int[np.ndarray, " query"]) -> float:
        _check_not_empty(candidates)
        return float((_total_discounts(k)[np.minimum(candidates, k)] / candidates).mean())

    return chance


def _median_rank_chance(candidates: Int[np.ndarray, " query"]) -> float:
    return median_rank(np.zeros_like(candidates), candidates - 1)


def _half(candidates: Int[np.ndarray, " query"]) -> float:
    _check_not_empty(candidates)
    return 0.5


def _harmonic_numbers(last: int) -> Float[np.ndarray, " number"]:
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, last + 1))])


def _check_not_empty(queries: np.ndarray) -> None:
    if len(queries) == 0:
        raise ValueError("there are no queries; expected at least one.")


def _recall_metric(k: int, *, display_name: str, description: str) -> Metric:
    return Metric(
        name=f"recall_at_{k}",
        compute=_mean_of(_hits_at(k)),
        columns=_RANK,
        higher_is_better=True,
        low=0.0,
        high=1.0,
        interval="bca",
        chance=_recall_chance(k),
        each=_hits_at(k),
        weighted=weighted_mean(_hits_at(k)),
        display_name=display_name,
        description=description,
    )


RECALL_AT_1 = _recall_metric(
    1,
    display_name="recall@1",
    description="Recall@1 is how often the correct candidate is ranked first.",
)
"""Share of queries whose correct candidate ranks first."""

RECALL_AT_5 = _recall_metric(
    5,
    display_name="recall@5",
    description="Recall@5 is how often the correct candidate is among the first 5.",
)
"""Share of queries whose correct candidate is among the first 5."""

RECALL_AT_10 = _recall_metric(
    10,
    display_name="recall@10",
    description="Recall@10 is how often the correct candidate is among the first 10.",
)
"""Share of queries whose correct candidate is among the first 10."""

MEAN_RECIPROCAL_RANK = Metric(
    name="mean_reciprocal_rank",
    compute=mean_reciprocal_rank,
    columns=_RANK,
    higher_is_better=True,
    low=0.0,
    high=1.0,
    interval="bca",
    chance=_reciprocal_rank_chance,
    each=_reciprocal_ranks,
    weighted=weighted_mean(_reciprocal_ranks),
    display_name="mean reciprocal rank",
    description="The mean reciprocal rank averages 1 / the rank of the correct candidate.",
)
"""Mean over queries of 1 / rank of the correct candidate."""

NDCG_AT_10 = Metric(
    name="ndcg_at_10",
    compute=_mean_of(_discounted_gains_at(10)),
    columns=_RANK,
    higher_is_better=True,
    low=0.0,
    high=1.0,
    interval="bca",
    chance=_discounted_gain_chance(10),
    each=_discounted_gains_at(10),
    weighted=weighted_mean(_discounted_gains_at(10)),
    display_name="nDCG@10",
    description=(
        "The nDCG@10 averages 1 / log2(1 + rank) of the correct candidate, 0 from rank 11 on."
    ),
    source=(
        'Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002, '
        "https://doi.org/10.1145/582415.582418"
    ),
)
"""Normalized discounted cumulative gain of the first 10, with one relevant candidate."""

MEDIAN_RANK = Metric(
    name="median_rank",
    compute=median_rank,
    columns=_RANK,
    higher_is_better=False,
    low=1.0,
    high=math.inf,
    interval="percentile",
    chance=_median_rank_chance,
    display_name="median rank",
    description=(
        "The median rank is the rank of the correct candidate in the median query: lower is better."
    ),
)
"""Median over queries of the rank of the correct candidate; lower is better."""

AUC_PER_QUERY = Metric(
    name="auc_per_query",
    compute=auc_per_query,
    columns=("above", "tied", "candidates"),
    higher_is_better=True,
    low=0.0,
    high=1.0,
    interval="bca",
    chance=_half,
    each=_shares_below,
    weighted=weighted_mean(_shares_below),
    display_name="AUC per query",
    description=(
        "The AUC per query is the share of wrong candidates that score below the correct "
        "one: 0.5 is chance level."
    ),
)
"""Mean share of a query's wrong candidates that score below the correct one."""

AUC_OVER_SCORES = Metric(
    name="auc_over_scores",
    compute=auc_over_scores,
    columns=("separation",),
    higher_is_better=True,
    low=0.0,
    high=1.0,
    interval="bca",
    chance=_half,
    each=_itself,
    weighted=weighted_mean(_itself),
    display_name="AUC over scores",
    description=(
        "The AUC over scores is how often a correct pair scores above a wrong one, over "
        "all queries. 0.5 is chance level; at 1 one threshold separates all pairs."
    ),
)
"""Probability that a correct pair scores above a wrong pair of any query."""

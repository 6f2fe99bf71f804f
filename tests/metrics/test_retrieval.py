from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from clinical_symile.metrics.retrieval import (
    AUC_PER_QUERY,
    MEAN_RECIPROCAL_RANK,
    MEDIAN_RANK,
    NDCG_AT_10,
    RECALL_AT_1,
    RECALL_AT_5,
    auc_over_scores,
    auc_per_query,
    expected_ranks,
    mean_reciprocal_rank,
    median_rank,
)


def test_ranks_by_hand():
    scores = np.array([[0.5, 0.9, 0.5, 0.1], [0.3, 0.2, 0.1, 0.0], [1.0, 1.0, 1.0, 1.0]])
    above, tied = expected_ranks(scores, np.array([2, 3, 0]))
    assert above.tolist() == [1, 3, 0]
    assert tied.tolist() == [1, 0, 3]


@pytest.mark.parametrize("place", range(10))
def test_a_constant_model_scores_chance_wherever_the_right_answer_stands(place):
    outcome = expected_ranks(np.full((3, 10), 0.7), np.full(3, place))
    assert RECALL_AT_1.compute(*outcome) == pytest.approx(1 / 10)
    assert RECALL_AT_5.compute(*outcome) == pytest.approx(5 / 10)
    harmonic = sum(1 / rank for rank in range(1, 11))
    assert MEAN_RECIPROCAL_RANK.compute(*outcome) == pytest.approx(harmonic / 10)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=5), st.data())
def test_metrics_are_the_mean_over_all_ways_to_break_ties(scores, data):
    positive = data.draw(st.integers(0, len(scores) - 1))
    positions = []
    for tie_breakers in permutations(range(len(scores))):
        keys = list(zip(scores, tie_breakers, strict=True))
        positions.append(1 + sum(key > keys[positive] for key in keys))
    outcome = expected_ranks(np.array([scores], dtype=float), np.array([positive]))
    expected = np.mean([position == 1 for position in positions])
    assert RECALL_AT_1.compute(*outcome) == pytest.approx(expected)
    assert RECALL_AT_5.compute(*outcome) == 1
    expected = np.mean([1 / position for position in positions])
    assert MEAN_RECIPROCAL_RANK.compute(*outcome) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=4))
def test_the_median_rank_is_that_of_all_ways_to_break_ties(outcomes):
    # Each way is a choice of one rank for each query; all their ranks together, as often as there.
    choices = [range(above + 1, above + tied + 2) for above, tied in outcomes]
    pooled = [rank for ranks_ in product(*choices) for rank in ranks_]
    above, tied = np.array(outcomes).T
    assert median_rank(above, tied) == np.median(pooled)


def test_without_ties_the_median_rank_is_the_ordinary_median(rng):
    for _ in range(1000):
        above = rng.integers(6, size=rng.integers(1, 9))
        assert median_rank(above, np.zeros_like(above)) == np.median(above + 1)


def test_the_chance_of_the_median_rank_is_exact_for_lists_of_any_length():
    # Ranks 1 and 2 of one query, each half as likely; 1 … 6 of the other, each a sixth.
    assert MEDIAN_RANK.chance is not None
    assert MEDIAN_RANK.chance(np.array([2, 6])) == 2.0
    assert MEDIAN_RANK.chance(np.array([10, 10, 10])) == 5.5
    assert MEDIAN_RANK.chance(np.array([1, 1])) == 1.0


@pytest.mark.parametrize("cases", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_auc_per_query_is_that_of_scikit_learn_averaged(cases: int, rng: np.random.Generator):
    for _ in range(cases):
        size = rng.integers(2, 9)
        scores = rng.integers(4, size=(rng.integers(1, 6), size)).astype(float)
        right = rng.integers(size, size=len(scores))
        label = np.arange(size) == right[:, None]
        expected = [roc_auc_score(*pair) for pair in zip(label, scores, strict=True)]
        above, tied = expected_ranks(scores, right)
        found = auc_per_query(above, tied, np.full(len(scores), size))
        assert found == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_list_without_a_wrong_candidate_has_no_auc():
    one = np.array([0, 0])
    with pytest.raises(ValueError, match="1 of 2 queries have no wrong candidate"):
        AUC_PER_QUERY.compute(one, one, np.array([1, 5]))
    with pytest.raises(ValueError, match="no query has a wrong candidate"):
        auc_over_scores(np.array([np.nan]))


def test_recall_at_5_by_hand():
    # Ranks 1, 5 and 6; then ranks 4 … 7 alike, of which two of four are within 5.
    above, tied = np.array([0, 4, 5, 3]), np.array([0, 0, 0, 3])
    assert RECALL_AT_5.compute(above, tied) == pytest.approx((1 + 1 + 0 + 2 / 4) / 4)


def test_mean_reciprocal_rank_by_hand():
    # Rank 2; then ranks 1 … 3 alike.
    value = mean_reciprocal_rank(np.array([1, 0]), np.array([0, 2]))
    assert value == pytest.approx((1 / 2 + (1 + 1 / 2 + 1 / 3) / 3) / 2)


def test_ndcg_at_10_by_hand():
    # Ranks 1, 3 and 11; then ranks 2 and 3 alike; then ranks 10 and 11 alike.
    above, tied = np.array([0, 2, 10, 1, 9]), np.array([0, 0, 0, 1, 1])
    third, tenth = 1 / 2, 0.2890648263178879
    expected = [1, third, 0, (0.6309297535714575 + third) / 2, tenth / 2]
    assert NDCG_AT_10.compute(above, tied) == pytest.approx(np.mean(expected), abs=1e-15)


def test_ndcg_at_10_is_that_of_scikit_learn_where_nothing_ties(rng: np.random.Generator):
    for _ in range(50):
        size = int(rng.integers(2, 30))
        scores = rng.permuted(np.tile(np.arange(size), (5, 1)), axis=1).astype(float)
        right = rng.integers(size, size=5)
        expected = ndcg_score(np.arange(size) == right[:, None], scores, k=10)
        found = NDCG_AT_10.compute(*expected_ranks(scores, right))
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_order_of_candidates_changes_nothing(rng):
    scores = rng.standard_normal((20, 8)).round(1)
    positive = rng.integers(8, size=20)
    order = rng.permutation(8)
    above, tied = expected_ranks(scores[:, order], np.argsort(order)[positive])
    expected = expected_ranks(scores, positive)
    np.testing.assert_array_equal(above, expected[0])
    np.testing.assert_array_equal(tied, expected[1])


def test_a_shorter_list_may_be_padded():
    above, tied = expected_ranks(np.array([[0.1, 0.2, -np.inf, -np.inf]]), np.array([0]))
    assert (above[0], tied[0]) == (1, 0)


def test_nan_scores_are_refused():
    scores = np.array([[0.1, 0.2], [0.1, np.nan], [np.nan, np.nan]])
    with pytest.raises(ValueError, match="2 of 3 queries have a NaN score"):
        expected_ranks(scores, np.array([0, 0, 0]))


def test_a_right_candidate_outside_its_list_is_refused():
    with pytest.raises(ValueError, match="1 of 1 queries have a correct candidate without"):
        expected_ranks(np.array([[0.1, -np.inf]]), np.array([1]))


def test_chance_follows_the_lengths_of_the_lists():
    lengths = np.array([2, 10])
    assert RECALL_AT_1.chance is not None
    assert RECALL_AT_5.chance is not None
    assert RECALL_AT_1.chance(lengths) == pytest.approx((1 / 2 + 1 / 10) / 2)
    assert RECALL_AT_5.chance(lengths) == pytest.approx((1 + 5 / 10) / 2)

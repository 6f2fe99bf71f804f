"""Every sample keeps a modality, at the rate and the usual slope, or the range is named."""

import numpy as np
import pytest

from clinical_symile.missingness.at_least_one import (
    UnreachableError,
    draw_at_least_one,
    hiding_probabilities,
    kept_columns,
    solve,
)
from clinical_symile.missingness.mechanisms import SLOPE, normal_scores
from tests.helpers.simulated_masks import SAMPLES, each_case, near, statistics


@each_case
def test_at_least_one_keeps_one_at_the_rate_or_says_what_is_reachable(columns, rate, rng):
    none, rates = np.zeros((SAMPLES, columns)), np.full(columns, rate)
    kept = rng.random(none.shape)
    if rate > 1 - 1 / columns:
        with pytest.raises(UnreachableError, match="reachable are rates up to"):
            draw_at_least_one(rng.random(none.shape), kept, none, rates=rates)
        return
    hidden = draw_at_least_one(rng.random(none.shape), kept, none, rates=rates)
    low, high = 0.0, 1.0  # one of `columns` coins stays: rate = p - p^columns / columns
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle - middle**columns / columns < rate else (low, middle)
    assert not hidden.all(axis=1).any()
    assert hidden.mean(axis=0) == pytest.approx(rate, abs=0.002)
    assert statistics(hidden, none).whole_share == near((1 - low) ** columns)


@pytest.mark.parametrize(("shared", "rate"), [(True, 0.2), (False, 0.3)])
@pytest.mark.parametrize("columns", [2, 3])
def test_at_least_one_has_the_usual_slope(columns, shared, rate, rng):
    x = np.stack([normal_scores(rng.normal(size=SAMPLES)) for _ in range(columns)], axis=1)
    x = np.repeat(x[:, :1], columns, axis=1) if shared else x
    rates = np.full(columns, rate)
    hidden = draw_at_least_one(rng.random(x.shape), rng.random(x.shape), x, rates=rates)
    found = statistics(hidden, x)
    assert found.empty_share == 0
    assert hidden.mean(axis=0) == pytest.approx(rate, abs=0.002)
    assert all(value == near(SLOPE) for value in found.slope.values())


def test_a_slope_that_the_rule_does_not_allow_is_refused_with_the_range(rng):
    x = np.repeat(normal_scores(rng.normal(size=SAMPLES))[:, None], 2, axis=1)
    with pytest.raises(UnreachableError, match=r"reachable are rates up to 2[345] %"):
        draw_at_least_one(rng.random(x.shape), rng.random(x.shape), x, rates=np.array([0.5, 0.5]))


def test_the_chance_to_be_hidden_is_that_of_drawing_again_what_would_hide_all(rng):
    # Two modalities, log odds 0 and 1; drawn until exactly one of the two is kept.
    p = 1 / (1 + np.exp(-np.array([0.0, 1.0])))
    found = hiding_probabilities(np.zeros((1, 2)), np.array([0.0, 1.0]), np.zeros(2))[0]
    tries = rng.random((400_000, 2)) < p
    one_kept = tries[tries.sum(axis=1) == 1]
    by_hand = p - p.prod() * (1 - one_kept.mean(axis=0))
    assert found == pytest.approx(by_hand, abs=0.003)


def test_a_modality_that_is_never_hidden_is_refused(rng):
    draws = rng.random((4, 2))
    with pytest.raises(ValueError, match="a column with rate 0 is always kept"):
        draw_at_least_one(draws, draws, np.zeros((4, 2)), rates=np.array([0.5, 0.0]))


def test_solved_intercepts_and_slopes_are_those_of_all_samples_whatever_their_order(rng):
    x = normal_scores(rng.normal(size=10_000))[:, None].repeat(2, axis=1)
    rates = np.array([0.2, 0.1])
    intercepts, slopes = solve(x, rates)
    assert solve(x[::-1], rates)[0] == pytest.approx(intercepts)
    assert hiding_probabilities(x, intercepts, slopes).mean(axis=0) == pytest.approx(
        rates, abs=0.003
    )


def test_what_is_kept_is_drawn_apart_from_what_is_hidden():
    assert kept_columns(["ecg", "labs"]) == ["ecg@kept", "labs@kept"]

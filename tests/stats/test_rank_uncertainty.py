import numpy as np
import pytest

from clinical_symile.stats.rank_uncertainty import rank_methods


def test_ranks_by_hand():
    # On the one task a, b, c; on the other b and c share the first place.
    values = np.array([[0.9, 0.8, 0.7], [0.1, 0.5, 0.5]])
    made = rank_methods(values, values[None], higher_is_better=True)
    assert [row.rank for row in made] == [2.0, (2 + 1.5) / 2, (3 + 1.5) / 2]
    assert [row.best for row in made] == [0, 1, 0]
    turned = rank_methods(values, values[None], higher_is_better=False)
    assert [row.rank for row in turned] == [2.0, (2 + 2.5) / 2, (1 + 2.5) / 2]


def test_methods_that_are_alike_share_the_first_place(rng):
    drawn = rng.standard_normal((4000, 1, 3))
    made = rank_methods(np.zeros((1, 3)), drawn, higher_is_better=True)
    assert [row.best for row in made] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert {(row.rank, row.low, row.high) for row in made} == {(2.0, 1.0, 3.0)}
    tied = rank_methods(np.zeros((1, 2)), np.zeros((10, 1, 2)), higher_is_better=True)
    assert [row.best for row in tied] == [0.5, 0.5]


def test_a_method_that_is_far_ahead_is_first_in_every_resample(rng):
    drawn = rng.standard_normal((500, 2, 3)) + np.array([9.0, 0.0, 0.0])
    first, *others = rank_methods(np.array([[9.0, 0.0, 1.0]] * 2), drawn, higher_is_better=True)
    assert first == (1, None, None, 1)  # the same rank in every resample: no interval
    assert all(row.low > 1 and row.best == 0 for row in others)  # pyright: ignore[reportOptionalOperand]

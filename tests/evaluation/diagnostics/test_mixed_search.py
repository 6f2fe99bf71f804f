"""One ranking over several modalities: its gain in loops, and what mean removal changes."""

import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.mixed_search import MixedSearch
from tests.helpers.examined import examined, values

EVERY = MixedSearch(candidates_from=("a", "b", "c"))


@pytest.fixture
def apart(rng: np.random.Generator) -> np.ndarray:
    """Forty samples of three modalities around far centres, whose shared part is small."""
    z = rng.normal(size=(40, 1, 6)) + 0.2 * rng.normal(size=(40, 3, 6)) + 5 * np.eye(6)[[0, 1, 2]]
    return z / np.linalg.norm(z, axis=2, keepdims=True)


def _gain_in_a_loop(z: np.ndarray, subjects: list[str], query: int, searched: list[int]) -> float:
    gains = []
    for i in range(len(z)):
        ranked = sorted(
            (-(z[i, query] @ z[j, m]), j == i)
            for j in range(len(z))
            for m in searched
            if (j == i and m != query) or subjects[j] != subjects[i]
        )
        gain = sum(1 / np.log2(2 + p) for p, (_, own) in enumerate(ranked[:10]) if own)
        n_right = len([m for m in searched if m != query])
        gains.append(gain / sum(1 / np.log2(2 + p) for p in range(n_right)))
    return float(np.mean(gains))


@pytest.mark.parametrize("searched", [("a", "b", "c"), ("b", "c"), ("b",)])
def test_the_gain_is_that_of_a_loop(searched: tuple[str, ...], rng: np.random.Generator) -> None:
    z = rng.normal(size=(12, 3, 3))
    z /= np.linalg.norm(z, axis=2, keepdims=True)
    subjects = [str(place // 2) for place in range(12)]
    found = values(MixedSearch(candidates_from=searched), examined(z, train=-z, subjects=subjects))
    columns = ["abc".index(name) for name in searched]
    for query, name in enumerate("abc"):
        if [column for column in columns if column != query]:
            expected = _gain_in_a_loop(z, subjects, query, columns)
            assert found[f"ndcg_at_10/{name}"] == pytest.approx(expected, abs=1e-12)


def test_equal_scores_share_their_ranks() -> None:
    # Of four samples every cosine is 1: each of 2 right ones has any of 11 places alike.
    found = values(EVERY, examined(np.ones((4, 3, 2)) / np.sqrt(2)))
    expected = 2 * np.sum(1 / np.log2(np.arange(2, 12))) / 11 / (1 + 1 / np.log2(3))
    assert found["ndcg_at_10/a"] == pytest.approx(expected, abs=1e-12)
    assert found["own_modality_first/a"] == pytest.approx(3 / 11, abs=1e-12)


def test_a_gap_puts_the_querys_own_modality_first_and_mean_removal_mends_it(
    apart: np.ndarray,
) -> None:
    found = values(EVERY, examined(apart[:20], train=apart[20:]))
    assert found["own_modality_first"] == 1
    assert found["own_modality_first_removed"] < 0.3
    assert found["ndcg_at_10"] < 0.1 < 0.6 < found["ndcg_at_10_removed"]


def test_a_sample_without_the_query_or_any_other_recording_is_no_query(apart: np.ndarray) -> None:
    has = np.ones((20, 3), dtype=bool)
    has[0, 0] = False
    has[1, 1:] = False
    inputs = examined(apart[:20], train=apart[20:], available=has)
    made = {one.metric.name: one for one in EVERY.measure(inputs)}
    missing = np.isnan(made["ndcg_at_10/a"].columns["ndcg_at_10/a"])
    assert np.flatnonzero(missing).tolist() == [0, 1]


def test_a_modality_that_is_not_searched_is_never_first(apart: np.ndarray) -> None:
    found = values(MixedSearch(candidates_from=("b", "c")), examined(apart))
    assert "own_modality_first/a" not in found
    assert found["ndcg_at_10/a"] > 0


def test_an_unknown_modality_is_named(apart: np.ndarray) -> None:
    with pytest.raises(CannotScore, match="candidates_from names d, which"):
        MixedSearch(candidates_from=("a", "d")).measure(examined(apart))

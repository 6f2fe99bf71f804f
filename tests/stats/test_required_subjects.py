from itertools import combinations

import numpy as np
import pytest

from clinical_symile.stats.required_subjects import fatal_loss, lasting_columns


def _has_both_classes(label: np.ndarray):
    return lambda kept: len(np.unique(label[kept])) == 2


@pytest.mark.parametrize("events", [1, 2])
def test_one_or_two_subjects_with_events_are_fatal_to_lose(events: int):
    label = (np.arange(500) >= 500 - events).astype(int)
    left = fatal_loss(_has_both_classes(label), np.arange(500))
    assert left is not None
    assert not label[left].any()


def test_three_subjects_of_each_class_suffice():
    assert fatal_loss(_has_both_classes(np.arange(300) % 100 == 0), np.arange(300)) is None
    assert fatal_loss(_has_both_classes(np.repeat([0, 1], 3)), np.arange(6)) is None


def test_many_events_of_two_subjects_count_as_two():
    subjects = np.repeat(np.arange(20), 30)
    assert fatal_loss(_has_both_classes(subjects < 2), subjects) is not None


def test_a_loss_of_all_subjects_does_not_count():
    assert fatal_loss(lambda kept: bool(kept.any()), np.array([0, 0, 1])) is None


def test_the_search_agrees_with_all_pairs_of_subjects(rng: np.random.Generator):
    for _ in range(200):
        people = int(rng.integers(3, 9))
        subjects = rng.integers(people, size=15)
        needed = [rng.random(people) < 0.4 for _ in range(3)]

        def is_defined(
            kept: np.ndarray, s: np.ndarray = subjects, sets: list[np.ndarray] = needed
        ) -> bool:
            there = np.isin(np.arange(len(sets[0])), s[kept])
            return all((there & one).any() for one in sets)

        if not is_defined(np.ones(15, dtype=bool)):
            continue
        known = np.unique(subjects)
        losses = [c for n in (1, 2) for c in combinations(known, n) if n < len(known)]
        fatal = any(not is_defined(~np.isin(subjects, lost)) for lost in losses)
        assert (fatal_loss(is_defined, subjects) is not None) == fatal


def test_columns_of_resamples_are_kept_by_counts_of_subjects():
    rare, enough = np.arange(50) < 2, np.arange(50) < 3

    def weighted(weights: np.ndarray) -> np.ndarray:
        held = np.stack([weights @ rare, weights @ enough], axis=1).astype(float)
        return np.where(held > 0, held, np.nan)

    drawn = np.array([[np.nan, 1.0], [1.0, np.nan], [1.0, 1.0]])
    assert lasting_columns(drawn, weighted, np.arange(50)).tolist() == [False, True]


def test_columns_are_evaluated_once_on_each_set_of_samples():
    sets: list[bytes] = []
    groups = np.arange(60) % 4 == np.arange(4)[:, None]

    def weighted(weights: np.ndarray) -> np.ndarray:
        sets.append(weights.tobytes())
        held = weights @ groups.T.astype(float)
        return np.where(held > 0, held, np.nan)

    drawn = np.full((1, 4), np.nan)
    assert lasting_columns(drawn, weighted, np.arange(60)).all()
    assert len(sets) == len(set(sets))

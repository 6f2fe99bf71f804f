"""Which recordings are trained on together: the share that was asked for, drawn from the seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_symile.data.pairings import Paired, pair_rows

ROWS = 60


def present(seed: int = 0, rate: float = 0.8) -> np.ndarray:
    table = np.random.default_rng(seed).random((ROWS + 5, 3)) < rate
    table[table.sum(axis=1) < 2] = True
    return table


def paired(word: str, *, seed: int = 0, table: np.ndarray | None = None) -> Paired:
    table = present() if table is None else table
    rows = np.arange(3, ROWS)
    hidden = np.zeros((len(rows), 3), dtype=bool)
    return pair_rows(word, rows, present=table, hidden=hidden, seed=seed)


@pytest.mark.parametrize("word", ["paired-100", "mismatched-0"])
def test_a_share_that_changes_nothing_is_matched(word: str) -> None:
    found, matched = paired(word), paired("matched")
    for name in ("rows", "partners", "available", "is_apart"):
        np.testing.assert_array_equal(getattr(found, name), getattr(matched, name))


@pytest.mark.parametrize("percent", [0, 25, 60])
def test_a_share_of_complete_samples_stays_whole_and_the_others_are_taken_apart(
    percent: int,
) -> None:
    table = present()
    found = paired(f"paired-{percent}")
    complete = [row for row in range(3, ROWS) if table[row].all()]
    others = [row for row in range(3, ROWS) if not table[row].all()]
    whole = set(found.rows[~found.is_apart].tolist())
    assert len(whole & set(complete)) == round(percent / 100 * len(complete))
    assert len(whole & set(others)) == round(percent / 100 * len(others))
    # Sample by sample: the same recordings, together or one by one.
    for row in range(3, ROWS):
        places = np.flatnonzero(found.rows == row)
        has = found.available[places]
        assert (found.partners[places] == row).all()
        np.testing.assert_array_equal(has.sum(axis=0), table[row])
        assert (len(places) == 1) if row in whole else (has.sum(axis=1) == 1).all()
    assert (np.diff(found.rows) >= 0).all()
    assert found.counts == {
        "samples_paired": len(whole),
        "samples_taken_apart": ROWS - 3 - len(whole),
        "rows": len(found.rows),
    }


def test_a_sample_with_one_modality_is_neither_paired_nor_taken_apart() -> None:
    table = present()
    table[10] = [False, True, False]
    found = paired("paired-0", table=table)
    assert not found.is_apart[found.rows == 10].any()
    assert found.counts["samples_taken_apart"] == ROWS - 4
    exchanged = paired("mismatched-100", table=table)
    assert (exchanged.partners[exchanged.rows == 10] == 10).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 50), percent=st.integers(5, 100))
def test_mismatched_samples_have_one_recording_of_another_mismatched_sample(
    seed: int, percent: int
) -> None:
    table = present(seed)
    found = paired(f"mismatched-{percent}", seed=seed, table=table)
    wrong = found.partners != found.rows[:, None]
    assert (wrong.sum(axis=1) <= 1).all()
    for column in range(3):
        mixed = wrong[:, column]
        # A derangement of these samples: each gives its recording to one other.
        assert sorted(found.partners[mixed, column]) == found.rows[mixed].tolist()
        assert table[found.rows[mixed], column].all()
    np.testing.assert_array_equal(found.available, table[3:ROWS])
    complete = table[3:ROWS].all(axis=1)
    expected = round(percent / 100 * complete.sum()) + round(percent / 100 * (~complete).sum())
    assert wrong.sum() == found.counts["samples_mismatched"]
    assert wrong.sum() + found.counts["samples_without_partner"] == expected
    assert found.counts["samples_without_partner"] <= 3


@pytest.mark.parametrize("kind", ["paired", "mismatched"])
def test_a_larger_share_contains_a_smaller_one_and_another_seed_draws_others(kind: str) -> None:
    def chosen(percent: int, seed: int = 0) -> set[int]:
        found = paired(f"{kind}-{percent}", seed=seed)
        if kind == "paired":
            return set(found.rows[~found.is_apart].tolist())
        return set(found.rows[(found.partners != found.rows[:, None]).any(axis=1)].tolist())

    assert chosen(20) < chosen(50) < chosen(90)
    assert chosen(50) == chosen(50)
    assert chosen(50) != chosen(50, seed=1)


def test_a_modality_that_one_sample_drew_has_nobody_to_exchange_with() -> None:
    rows, none = np.arange(3), np.zeros((3, 3), dtype=bool)
    table = np.array([[True, True, False], [True, True, False], [False, True, True]])
    drawn = [pair_rows("mismatched-100", rows, present=table, hidden=none, seed=s) for s in (0, 7)]
    for found in drawn:
        wrong = found.partners != rows[:, None]
        assert wrong.sum() + found.counts["samples_without_partner"] == 3
        assert found.counts["samples_paired"] == 3 - wrong.sum()

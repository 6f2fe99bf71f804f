from dataclasses import replace

import numpy as np
import pytest

from clinical_symile.data.batch import load_batch, shuffled_batches
from clinical_symile.data.store import CohortStore

MODALITIES = ("cxr", "ecg", "labs")


@pytest.mark.parametrize(("count", "batch_size"), [(10, 3), (12, 4), (5, 5), (5, 8), (1, 4)])
def test_batches_are_of_one_size_and_hold_each_sample_once(
    count: int, batch_size: int, rng: np.random.Generator
) -> None:
    batches = list(shuffled_batches(count, batch_size=batch_size, rng=rng))
    size = min(batch_size, count)
    assert [len(batch) for batch in batches] == [size] * (count // size)
    available = np.concatenate(batches)
    assert len(np.unique(available)) == len(available)
    assert count - len(available) < size
    assert set(available) <= set(range(count))


def test_what_is_left_out_changes_from_epoch_to_epoch(rng: np.random.Generator) -> None:
    # 10 = 3 · 3 + 1: one sample is left out of each epoch; in 60 epochs each of them is, once.
    everyone = set(range(10))
    left_out = set()
    for _ in range(60):
        available = np.concatenate(list(shuffled_batches(10, batch_size=3, rng=rng)))
        left_out |= everyone - set(available)
    assert left_out == everyone


def test_the_same_generator_gives_the_same_batches() -> None:
    first, second = [
        list(shuffled_batches(10, batch_size=4, rng=np.random.default_rng(5))) for _ in range(2)
    ]
    np.testing.assert_array_equal(first, second)


def test_a_batch_holds_what_the_store_has(synthetic_store: CohortStore) -> None:
    rows = np.array([7, 3, 3, 11])
    batch = load_batch(synthetic_store, rows, modalities=MODALITIES)
    assert batch.rows.tolist() == rows.tolist()
    np.testing.assert_array_equal(batch.available.numpy(), synthetic_store.present[rows])
    for name in MODALITIES:
        np.testing.assert_array_equal(
            batch.inputs[name].numpy(), synthetic_store.inputs(name, rows)
        )


def test_modalities_are_read_in_the_order_asked_for(synthetic_store: CohortStore) -> None:
    rows = np.arange(30)
    batch = load_batch(synthetic_store, rows, modalities=("labs", "cxr"))
    assert batch.modalities == ("labs", "cxr")
    assert list(batch.inputs) == ["labs", "cxr"]
    np.testing.assert_array_equal(batch.available.numpy(), synthetic_store.present[rows][:, [2, 0]])


def test_what_is_absent_or_may_not_be_seen_is_zero(
    synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    rows = np.arange(40)
    visible = rng.random((40, 3)) < 0.5
    batch = load_batch(synthetic_store, rows, modalities=MODALITIES, visible=visible)
    expected = synthetic_store.present[rows] & visible
    np.testing.assert_array_equal(batch.available.numpy(), expected)
    for column, name in enumerate(MODALITIES):
        shown = batch.inputs[name].flatten(1).any(dim=1).numpy()
        np.testing.assert_array_equal(shown, expected[:, column])


def test_what_may_not_be_seen_is_not_even_read(
    synthetic_store: CohortStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = {}
    inputs = CohortStore.inputs

    def spied(self: CohortStore, modality: str, rows: np.ndarray) -> np.ndarray:
        read[modality] = rows.tolist()
        return inputs(self, modality, rows)

    monkeypatch.setattr(CohortStore, "inputs", spied)
    store = replace(synthetic_store, present=np.ones_like(synthetic_store.present))
    visible = np.array([[1, 0, 1], [1, 0, 0]], dtype=bool)
    load_batch(store, np.array([4, 9]), modalities=MODALITIES, visible=visible)
    assert read == {"cxr": [4, 9], "ecg": [], "labs": [4]}


def test_partners_lend_their_measurements_and_their_absence(synthetic_store: CohortStore) -> None:
    rows = np.arange(20)
    partners = np.stack([rows, (rows + 5) % 20, (rows * 7) % 20], axis=1)
    batch = load_batch(synthetic_store, rows, modalities=MODALITIES, partners=partners)
    assert batch.rows.tolist() == rows.tolist()
    for column, name in enumerate(MODALITIES):
        lender = partners[:, column]
        np.testing.assert_array_equal(
            batch.available[:, column].numpy(), synthetic_store.present[lender, column]
        )
        np.testing.assert_array_equal(
            batch.inputs[name].numpy(), synthetic_store.inputs(name, lender)
        )

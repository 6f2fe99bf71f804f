from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_symile.data.loader import (
    Batch,
    BatchLoader,
    DeviceLoader,
    StreamingLoader,
    load_batch,
    open_loader,
    prefetch,
    resident_bytes,
    shuffled_batches,
)
from clinical_symile.data.parts import hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.missingness.patterns import parse_pattern

MODALITIES = ("labs", "cxr", "ecg")
STORED = ("cxr", "ecg", "labs")  # in the order of the store
CPU = torch.device("cpu")


def _check_same(found: Batch, expected: Batch) -> None:
    assert found.modalities == expected.modalities
    assert list(found.inputs) == list(expected.inputs)
    for name, value in expected.inputs.items():
        assert found.inputs[name].dtype == torch.float32
        assert torch.equal(found.inputs[name], value), name
    assert torch.equal(found.available, expected.available)
    assert torch.equal(found.rows, expected.rows)


@pytest.mark.parametrize("kind", [StreamingLoader, DeviceLoader])
def test_a_loader_gives_what_is_read_from_the_store_bit_for_bit(
    kind: type,
    synthetic_store: CohortStore,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clinical_symile.data.loader._CHUNK_ROWS", 7)
    loader: BatchLoader = kind(synthetic_store, MODALITIES, CPU)
    rows = rng.permutation(len(synthetic_store.samples))[:40]
    visible = rng.random((40, 3)) < 0.6
    partners = np.stack([rng.permutation(rows) for _ in MODALITIES], axis=1)
    for about in ({}, {"visible": visible}, {"visible": visible, "partners": partners}):
        expected = load_batch(synthetic_store, rows, modalities=MODALITIES, **about)
        _check_same(loader.batch(rows, **about), expected)


@pytest.mark.parametrize("kind", [StreamingLoader, DeviceLoader])
@pytest.mark.parametrize(
    "name", ["ecg-leads-mcar-50", "ecg-segment-3s", "cxr-region-25", "cxr-noise-10"]
)
def test_no_loader_holds_what_a_pattern_hides(
    kind: type, name: str, synthetic_store: CohortStore
) -> None:
    pattern = parse_pattern(name)
    hiding, rows = hide_parts(pattern, synthetic_store, seed=0), np.arange(20)
    expected = hiding.inputs(pattern.within, rows)
    assert (expected != synthetic_store.inputs(pattern.within, rows)).any()
    found = kind(hiding, (pattern.within,), CPU).batch(rows).inputs[pattern.within]
    np.testing.assert_array_equal(found.numpy(), expected)


def test_what_is_stored_is_as_it_is_stored_where_it_only_has_to_be_divided(
    synthetic_store: CohortStore,
) -> None:
    loader = DeviceLoader(synthetic_store, MODALITIES, CPU)
    held = {name: value.dtype for name, value in loader._stored.items()}
    assert held == {"labs": torch.float32, "cxr": torch.uint8, "ecg": torch.int16}
    sizes = [value.numel() * value.element_size() for value in loader._stored.values()]
    assert sum(sizes) == resident_bytes(synthetic_store, MODALITIES)


def test_numbers_that_a_device_does_not_hold_are_stored_as_inputs(
    synthetic_store: CohortStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clinical_symile.data.loader._STORED_TYPES", ("uint8",))
    loader, rows = DeviceLoader(synthetic_store, MODALITIES, CPU), np.arange(9)
    assert loader._stored["ecg"].dtype == torch.float32
    _check_same(loader.batch(rows), load_batch(synthetic_store, rows, modalities=MODALITIES))


def test_a_gpu_holds_the_store_where_it_fits_and_is_streamed_to_where_it_does_not(
    synthetic_store: CohortStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only what is chosen: nothing is sent to a device that may not be there.
    monkeypatch.setattr(DeviceLoader, "_load", lambda self, name: torch.zeros(0))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
    needed = resident_bytes(synthetic_store, MODALITIES)
    for free, expected in (
        (int(needed / 0.4) + 2, DeviceLoader),
        (int(needed / 0.4) - 2, StreamingLoader),
    ):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        loader = open_loader(synthetic_store, MODALITIES, device=torch.device("cuda"))
        assert type(loader) is expected
    assert type(open_loader(synthetic_store, MODALITIES, device=CPU)) is StreamingLoader


def test_items_made_ahead_are_the_same_in_the_same_order() -> None:
    assert list(prefetch(range(20))) == list(range(20))
    assert list(prefetch([])) == []
    assert list(prefetch([None, None])) == [None, None]


def test_one_item_is_made_ahead_and_no_more() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    source = prefetch(items())
    assert next(source) == 0
    assert next(source) == 1
    source.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert made == [0, 1, 2]


def test_what_goes_wrong_ahead_is_told_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("the second")

    source = prefetch(items())
    assert next(source) == 0
    with pytest.raises(ValueError, match="the second"):
        next(source)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", [StreamingLoader, DeviceLoader])
def test_a_loader_to_a_gpu_gives_what_the_cpu_is_given(
    kind: type, synthetic_store: CohortStore
) -> None:
    rows = np.arange(30)
    found = kind(synthetic_store, MODALITIES, torch.device("cuda")).batch(rows)
    expected = load_batch(synthetic_store, rows, modalities=MODALITIES)
    for name, value in expected.inputs.items():
        torch.testing.assert_close(found.inputs[name].cpu(), value, rtol=1e-6, atol=0)
    assert torch.equal(found.available.cpu(), expected.available)


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
    batch = load_batch(synthetic_store, rows, modalities=STORED)
    assert batch.rows.tolist() == rows.tolist()
    np.testing.assert_array_equal(batch.available.numpy(), synthetic_store.present[rows])
    for name in STORED:
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
    batch = load_batch(synthetic_store, rows, modalities=STORED, visible=visible)
    expected = synthetic_store.present[rows] & visible
    np.testing.assert_array_equal(batch.available.numpy(), expected)
    for column, name in enumerate(STORED):
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
    load_batch(store, np.array([4, 9]), modalities=STORED, visible=visible)
    assert read == {"cxr": [4, 9], "ecg": [], "labs": [4]}


def test_partners_lend_their_measurements_and_their_absence(synthetic_store: CohortStore) -> None:
    rows = np.arange(20)
    partners = np.stack([rows, (rows + 5) % 20, (rows * 7) % 20], axis=1)
    batch = load_batch(synthetic_store, rows, modalities=STORED, partners=partners)
    assert batch.rows.tolist() == rows.tolist()
    for column, name in enumerate(STORED):
        lender = partners[:, column]
        np.testing.assert_array_equal(
            batch.available[:, column].numpy(), synthetic_store.present[lender, column]
        )
        np.testing.assert_array_equal(
            batch.inputs[name].numpy(), synthetic_store.inputs(name, lender)
        )

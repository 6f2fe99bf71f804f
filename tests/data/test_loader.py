from collections.abc import Iterator

import numpy as np
import pytest
import torch

from clinical_symile.data.batch import Batch, load_batch
from clinical_symile.data.loader import (
    BatchLoader,
    DeviceLoader,
    StreamingLoader,
    open_loader,
    prefetch,
    resident_bytes,
)
from clinical_symile.data.store import CohortStore

MODALITIES = ("labs", "cxr", "ecg")
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

"""Read rows of a store as batches on a device: from its memory if the store fits, else streamed."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.data.store import CohortStore

# The fraction of a device's free memory that a store may take. Weights and activations need the
# rest.
_MEMORY_FRACTION = 0.4
_CHUNK_ROWS = 1024

# The types that a device can hold as stored; of other types it holds the encoder's inputs.
_STORED_TYPES = ("uint8", "int8", "int16", "int32", "float32")


@dataclass(frozen=True, repr=False)
class Batch:
    """Some rows of a store as a model reads them.

    Attributes:
        inputs: for each modality the inputs of its encoder: finite, and zero where unavailable.
        available: True where the modality is present in the store and visible to the model.
        modalities: the columns of `available`.
        rows: the samples, as rows of the store.
        unmeasured: the input of a sample without any measured part, for modalities whose parts can
            be missing one by one. Only training gives it, to objectives that hide parts.
    """

    inputs: dict[str, Float[Tensor, "sample ..."]]
    available: Bool[Tensor, "sample modality"]
    modalities: tuple[str, ...]
    rows: Int[Tensor, " sample"]
    unmeasured: dict[str, Float[Tensor, "..."]] = field(default_factory=dict)


def load_batch(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    *,
    modalities: Sequence[str],
    visible: Bool[np.ndarray, "sample modality"] | None = None,
    partners: Int[np.ndarray, "sample modality"] | None = None,
) -> Batch:
    """Read rows of a store.

    Args:
        store: a prepared cohort.
        rows: the rows to read.
        modalities: the modalities to read; the columns of `visible` and `partners`.
        visible: True where the model may use the modality; the others are not read from disk. By
            default all are visible.
        partners: the row that each modality is read from instead, for shuffled controls.
    """
    partners, present, available = _available_entries(
        store, rows, modalities=modalities, visible=visible, partners=partners
    )
    inputs = {}
    for column, modality in enumerate(modalities):
        sources, is_available = partners[:, column], available[:, column]
        if (is_available == present[:, column]).all():
            values = store.inputs(modality, sources)
        else:
            read = store.inputs(modality, sources[is_available])
            values = np.zeros((len(rows), *read.shape[1:]), dtype=np.float32)
            values[is_available] = read
        inputs[modality] = torch.from_numpy(values)
    return Batch(
        inputs=inputs,
        available=torch.from_numpy(available),
        modalities=tuple(modalities),
        rows=torch.from_numpy(np.asarray(rows, dtype=np.int64)),
    )


@runtime_checkable
class BatchLoader(Protocol):
    """Protocol of a source of batches on a device."""

    @property
    def device(self) -> torch.device:
        """The device of the batches."""
        ...

    def batch(
        self,
        rows: Int[np.ndarray, " sample"],
        *,
        visible: Bool[np.ndarray, "sample modality"] | None = None,
        partners: Int[np.ndarray, "sample modality"] | None = None,
    ) -> Batch:
        """Return some rows as `load_batch` does, on the device."""
        ...


def open_loader(
    store: CohortStore, modalities: Sequence[str], *, device: torch.device
) -> BatchLoader:
    """Open the fastest loader of a store for a device.

    On the CPU the operating system caches the memory map, so that streaming holds nothing twice.
    """
    if device.type != "cuda":
        return StreamingLoader(store, tuple(modalities), device)
    free, _ = torch.cuda.mem_get_info(device)
    if resident_bytes(store, modalities) > _MEMORY_FRACTION * free:
        return StreamingLoader(store, tuple(modalities), device)
    return DeviceLoader(store, modalities, device)


def resident_bytes(store: CohortStore, modalities: Sequence[str]) -> int:
    """Return the device memory that `DeviceLoader` needs, in bytes."""
    return sum(_device_layout(store, name)[0] for name in modalities)


@dataclass(frozen=True, repr=False)
class StreamingLoader:
    """A loader that reads each batch from disk and copies it to the device from pinned memory."""

    store: CohortStore
    modalities: tuple[str, ...]
    device: torch.device

    def batch(
        self,
        rows: Int[np.ndarray, " sample"],
        *,
        visible: Bool[np.ndarray, "sample modality"] | None = None,
        partners: Int[np.ndarray, "sample modality"] | None = None,
    ) -> Batch:
        """See `BatchLoader`."""
        read = load_batch(
            self.store, rows, modalities=self.modalities, visible=visible, partners=partners
        )
        inputs = {name: self._to_device(value) for name, value in read.inputs.items()}
        return Batch(
            inputs, self._to_device(read.available), read.modalities, self._to_device(read.rows)
        )

    def _to_device(self, value: Tensor) -> Tensor:
        """Return a tensor on the device."""
        if self.device.type != "cuda":
            return value.to(self.device)
        return value.pin_memory().to(self.device, non_blocking=True)


class DeviceLoader:
    """A loader that holds every row on the device, as stored, and scales it there.

    Args:
        store: a prepared cohort.
        modalities: the modalities to hold.
        device: the device to hold them on.
    """

    def __init__(self, store: CohortStore, modalities: Sequence[str], device: torch.device):
        self.device = device
        self.modalities = tuple(modalities)
        self._store = store
        self._stored = {name: self._load(name) for name in modalities}
        self._divisors: dict[str, Tensor] = {}
        for name in modalities:
            divisor = _device_layout(store, name)[1]
            if divisor is not None:
                self._divisors[name] = torch.from_numpy(divisor).to(device)

    def batch(
        self,
        rows: Int[np.ndarray, " sample"],
        *,
        visible: Bool[np.ndarray, "sample modality"] | None = None,
        partners: Int[np.ndarray, "sample modality"] | None = None,
    ) -> Batch:
        """See `BatchLoader`."""
        sources, _, entries = _available_entries(
            self._store, rows, modalities=self.modalities, visible=visible, partners=partners
        )
        read_from, available = (torch.from_numpy(x).to(self.device) for x in (sources, entries))
        return Batch(
            inputs={
                name: self._input(name, read_from[:, column], available[:, column])
                for column, name in enumerate(self.modalities)
            },
            available=available,
            modalities=self.modalities,
            rows=torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(self.device),
        )

    def _input(
        self, name: str, rows: Int[Tensor, " sample"], available: Bool[Tensor, " sample"]
    ) -> Float[Tensor, "sample ..."]:
        """Return the inputs of an encoder: scaled, and zero where unavailable."""
        value = self._stored[name][rows]
        if name in self._divisors:
            value = value / self._divisors[name]
        return value.masked_fill_(~available.view(-1, *[1] * (value.ndim - 1)), 0.0)

    def _load(self, name: str) -> Tensor:
        """Copy all rows of a modality to the device, in chunks."""
        chunks = [
            slice(start, start + _CHUNK_ROWS)
            for start in range(0, len(self._store.samples), _CHUNK_ROWS)
        ]
        if _device_layout(self._store, name)[1] is not None:
            stored = self._store.array(name)
            read = (torch.from_numpy(np.array(stored[chunk])) for chunk in chunks)
        else:
            rows = np.arange(len(self._store.samples))
            read = (torch.from_numpy(self._store.inputs(name, rows[chunk])) for chunk in chunks)
        return torch.cat([chunk.to(self.device) for chunk in read])


def shuffled_batches(
    count: int, *, batch_size: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, " sample"]]:
    """Yield the positions 0 … count - 1 in random order, in batches of the same size.

    An incomplete last batch is left out; each call leaves out other samples. If there are fewer
    samples than `batch_size`, all of them are one batch.
    """
    order = rng.permutation(count)
    size = min(batch_size, count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


Item = TypeVar("Item")


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the same items, each made by another thread while the one before is in use."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        source, end = iter(items), object()
        upcoming = thread.submit(next, source, end)
        while (item := upcoming.result()) is not end:
            upcoming = thread.submit(next, source, end)
            yield item  # type: ignore[misc]


def _available_entries(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    *,
    modalities: Sequence[str],
    visible: Bool[np.ndarray, "sample modality"] | None,
    partners: Int[np.ndarray, "sample modality"] | None,
) -> tuple[
    Int[np.ndarray, "sample modality"],
    Bool[np.ndarray, "sample modality"],
    Bool[np.ndarray, "sample modality"],
]:
    """Return the row that each modality is read from, and where it is present and available.

    The arguments are those of `load_batch`.
    """
    if partners is None:
        partners = np.repeat(rows[:, None], len(modalities), axis=1)
    columns = [store.modalities.index(modality) for modality in modalities]
    present = store.present[partners, columns]
    return partners, present, present if visible is None else present & visible


def _device_layout(
    store: CohortStore, modality: str
) -> tuple[int, Float[np.ndarray, "..."] | None]:
    """Return the bytes that `DeviceLoader` needs for a modality, and the divisor of stored values.

    The divisor is None if the loader holds the encoder's inputs instead of stored values.
    """
    stored, divisor = store.array(modality), store.divisor(modality)
    if divisor is not None and stored.dtype.name in _STORED_TYPES:
        return stored.nbytes, divisor
    one = store.inputs(modality, np.zeros(0, dtype=np.int64)).shape[1:]
    return len(store.samples) * int(np.prod(one)) * 4, None

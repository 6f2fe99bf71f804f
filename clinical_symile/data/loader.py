"""From a store to a device: held there whole where it fits, streamed where it does not."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.data.batch import Batch, load_batch
from clinical_symile.data.store import CohortStore

# Of a device's free memory, what a store may take: the rest is for weights and activations.
SHARE = 0.4
ROWS_AT_A_TIME = 1024

# What a device can hold as it is stored; anything else is held as the encoder's input.
HELD = ("uint8", "int8", "int16", "int32", "float32")


@runtime_checkable
class BatchLoader(Protocol):
    """Batches of a store, on a device."""

    @property
    def device(self) -> torch.device:
        """Where they are."""
        ...

    def batch(
        self,
        rows: Int[np.ndarray, " sample"],
        *,
        visible: Bool[np.ndarray, "sample modality"] | None = None,
        partners: Int[np.ndarray, "sample modality"] | None = None,
    ) -> Batch:
        """Some rows, as `load_batch` gives them."""
        ...


def open_loader(
    store: CohortStore, modalities: Sequence[str], *, device: torch.device
) -> BatchLoader:
    """The quickest way from a store to a device.

    On the CPU the operating system keeps what was read of the memory map, so nothing is held twice.
    """
    if device.type != "cuda":
        return StreamingLoader(store, tuple(modalities), device)
    free, _ = torch.cuda.mem_get_info(device)
    if resident_bytes(store, modalities) > SHARE * free:
        return StreamingLoader(store, tuple(modalities), device)
    return DeviceLoader(store, modalities, device)


def resident_bytes(store: CohortStore, modalities: Sequence[str]) -> int:
    """What `DeviceLoader` holds."""
    return sum(_numbers(store, name)[0] for name in modalities)


@dataclass(frozen=True)
class StreamingLoader:
    """Reads each batch from the memory map and sends it on from pinned memory."""

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
        inputs = {name: self._sent(value) for name, value in read.inputs.items()}
        return Batch(inputs, self._sent(read.present), read.modalities, self._sent(read.rows))

    def _sent(self, value: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return value.to(self.device)
        return value.pin_memory().to(self.device, non_blocking=True)


class DeviceLoader:
    """Holds every row on the device, in the type it is stored in, and scales it there.

    Args:
        store: what is held.
        modalities: of it.
        device: where.
    """

    def __init__(self, store: CohortStore, modalities: Sequence[str], device: torch.device):
        self.device = device
        self.modalities = tuple(modalities)
        self._store = store
        self._held = {name: self._whole(name) for name in modalities}
        self._divisors: dict[str, Tensor] = {}
        for name in modalities:
            divisor = _numbers(store, name)[1]
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
        if partners is None:
            partners = np.repeat(rows[:, None], len(self.modalities), axis=1)
        columns = [self._store.modalities.index(name) for name in self.modalities]
        present = self._store.present[partners, columns]
        if visible is not None:
            present = present & visible
        lenders, shown = (torch.from_numpy(x).to(self.device) for x in (partners, present))
        return Batch(
            inputs={
                name: self._input(name, lenders[:, column], shown[:, column])
                for column, name in enumerate(self.modalities)
            },
            present=shown,
            modalities=self.modalities,
            rows=torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(self.device),
        )

    def _input(
        self, name: str, rows: Int[Tensor, " sample"], shown: Bool[Tensor, " sample"]
    ) -> Float[Tensor, "sample ..."]:
        value = self._held[name][rows]
        if name in self._divisors:
            value = value / self._divisors[name]
        return value.masked_fill_(~shown.view(-1, *[1] * (value.ndim - 1)), 0.0)

    def _whole(self, name: str) -> Tensor:
        parts = [
            slice(start, start + ROWS_AT_A_TIME)
            for start in range(0, len(self._store.samples), ROWS_AT_A_TIME)
        ]
        if _numbers(self._store, name)[1] is not None:
            stored = self._store.array(name)
            read = (torch.from_numpy(np.array(stored[part])) for part in parts)
        else:
            rows = np.arange(len(self._store.samples))
            read = (torch.from_numpy(self._store.inputs(name, rows[part])) for part in parts)
        return torch.cat([part.to(self.device) for part in read])


Item = TypeVar("Item")


def prefetch(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each made by another thread while the one before is used."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        source, end = iter(items), object()
        coming = thread.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, source, end)
            yield item  # type: ignore[misc]


def _numbers(store: CohortStore, modality: str) -> tuple[int, Float[np.ndarray, "..."] | None]:
    """Bytes of all rows as `DeviceLoader` holds them, and by what stored numbers are divided.

    None where the encoder's input is held instead.
    """
    stored, divisor = store.array(modality), store.divisor(modality)
    if divisor is not None and stored.dtype.name in HELD:
        return stored.nbytes, divisor
    one = store.inputs(modality, np.zeros(0, dtype=np.int64)).shape[1:]
    return len(store.samples) * int(np.prod(one)) * 4, None

"""Read ECGs from HDF5 (.h5, .hdf5) and NumPy files (.npy, .npz) in physical units."""

import math
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.modalities.base import Rejected, decoder_verdict, is_file_error
from clinical_symile.modalities.waveform_files.base import Waveform, lead_name
from clinical_symile.modalities.waveform_files.vendor_file import INSTALL_ECG_EXTRA

HDF5_BEGINS = b"\x89HDF\r\n\x1a\n"
NUMPY_BEGINS = (b"\x93NUMPY", b"PK\x03\x04")
_MAX_RECORDING_BYTES = 200_000_000  # of one recording in memory
_MAX_UNPACKED_BYTES = 500_000_000  # of the arrays of an .npz, which are unpacked whole
_MAX_IDS = 50_000_000


@dataclass(frozen=True)
class ArrayLayout:
    """The statements of a cohort about files that hold plain arrays.

    Attributes:
        recording: id of the recording in a file of many; empty for a file of one.
        values: name of the array of values.
        ids: name of the array of ids.
        leads: names of the leads, in the order of the array.
        sampling_rate_hz: sampling rate; 0 if not stated.
        unit: unit of the values.
    """

    recording: str = ""
    values: str = "tracings"
    ids: str = "exam_id"
    leads: tuple[str, ...] = ()
    sampling_rate_hz: float = 0.0
    unit: str = ""


def open_array_file(file: Path, layout: ArrayLayout, *, is_hdf5: bool) -> Waveform:
    """Open one recording of an HDF5 or NumPy file.

    Raises:
        Rejected: `decoder-missing`, `not-readable`, `not-in-array`, `outside-source`, `too-large`,
            `leads-missing`, `sampling-rate` or `unit`.
    """
    if not layout.leads:
        raise Rejected("leads-missing", "an array names no leads; set array_leads")
    if not layout.sampling_rate_hz:
        raise Rejected("sampling-rate", "an array states no sampling rate; set array_rate_hz")
    if not layout.unit:
        raise Rejected("unit", "'none'; an array states no unit; set array_unit")
    try:
        with _opener(is_hdf5=is_hdf5)(file) as arrays:
            values = _loaded(_recording(arrays, layout, file, is_hdf5=is_hdf5))
    except Rejected:
        raise
    except Exception as error:  # whatever a broken file makes the library raise
        if is_file_error(error):
            raise
        raise decoder_verdict("h5py" if is_hdf5 else "NumPy", error) from None
    if values.ndim != 2 or values.shape.count(len(layout.leads)) != 1:
        raise Rejected(
            "not-readable",
            f"an array of shape {list(values.shape)}; expected time by {len(layout.leads)} leads",
        )
    if values.shape[0] == len(layout.leads):
        values = values.T
    return Waveform(
        names=[lead_name(lead) for lead in layout.leads],
        units=[layout.unit] * len(layout.leads),
        sampling_rate_hz=layout.sampling_rate_hz,
        times=len(values),
        load=lambda first, last: values[first:last],
    )


def _opener(*, is_hdf5: bool) -> Callable[[Path], AbstractContextManager[Mapping[str, Any]]]:
    return _hdf5() if is_hdf5 else _open_numpy


def _hdf5() -> Callable[[Path], AbstractContextManager[Mapping[str, Any]]]:
    try:
        import h5py
    except ImportError:
        raise Rejected(
            "decoder-missing", f"ECGs in HDF5 need another package: {INSTALL_ECG_EXTRA}"
        ) from None
    return lambda file: h5py.File(file, "r")


@contextmanager
def _open_numpy(file: Path) -> Iterator[Mapping[str, Any]]:
    """Open the arrays of a NumPy file by name; the only array of a .npy has every name."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > _MAX_UNPACKED_BYTES:
            raise Rejected(
                "too-large",
                f"the .npz unpacks to {unpacked} bytes; expected at most {_MAX_UNPACKED_BYTES}. "
                "Save it as .npy or HDF5, of which single recordings are read",
            )
    loaded = np.load(file, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        yield defaultdict(lambda: loaded)
        return
    with loaded:
        yield loaded


def _recording(arrays: Mapping[str, Any], layout: ArrayLayout, file: Path, *, is_hdf5: bool) -> Any:
    """Return one recording of a file, not yet loaded where the format permits."""
    values = _own_array(arrays, layout.values, file)
    if not layout.recording:
        return _Row(values, 0) if values.ndim == 3 and len(values) == 1 else values
    found = file.stat()
    stamp = found.st_mtime_ns, found.st_size
    places = _places(file, layout.ids, len(values), *stamp, is_hdf5=is_hdf5)
    rows = places.get(layout.recording, [])
    if len(rows) != 1:
        raise Rejected("not-in-array", f"the id stands {len(rows)} times in the file; expected 1")
    return _Row(values, rows[0])


def _own_array(arrays: Mapping[str, Any], name: str, file: Path) -> Any:
    """Return an array whose values are in the file itself: HDF5 can refer to any other file.

    Raises:
        Rejected: `outside-source`.
    """
    array = arrays[name]
    if hasattr(array, "is_virtual") and (
        array.is_virtual or array.external or Path(array.file.filename) != file
    ):
        raise Rejected("outside-source", "the values of the array are in another file")
    return array


@dataclass(frozen=True)
class _Row:
    """A row of an array that is not loaded yet."""

    values: Any
    place: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def __getitem__(self, key: object) -> Any:
        return self.values[self.place]


def _loaded(recording: Any) -> np.ndarray:
    """Load a recording, unless its shape asks for more memory than one can need.

    Raises:
        Rejected: `too-large` or `not-readable`.
    """
    if np.dtype(recording.dtype).kind not in "iufb":
        raise Rejected("not-readable", "an array of something else than numbers")
    size = math.prod(recording.shape) * np.dtype(np.float64).itemsize
    if size > _MAX_RECORDING_BYTES:
        raise Rejected(
            "too-large",
            f"one recording of shape {list(recording.shape)}; expected at most "
            f"{_MAX_RECORDING_BYTES} bytes",
        )
    return np.asarray(recording[...], dtype=np.float64)


@lru_cache(maxsize=4)
def _places(
    file: Path, name: str, recordings: int, mtime_ns: int, size: int, *, is_hdf5: bool
) -> Mapping[str, Sequence[int]]:
    """Return the rows of every id of a file; one that did not change is read once."""
    with _opener(is_hdf5=is_hdf5)(file) as arrays:
        ids = _own_array(arrays, name, file)
        if ids.ndim != 1 or len(ids) != recordings or recordings > _MAX_IDS:
            raise Rejected(
                "not-readable",
                f"{recordings} recordings and ids of shape {list(ids.shape)} in one file",
            )
        places: dict[str, list[int]] = {}
        for place, each in enumerate(np.asarray(ids[...]).tolist()):
            text = each.decode() if isinstance(each, bytes) else str(each)
            places.setdefault(text, []).append(place)
    return places

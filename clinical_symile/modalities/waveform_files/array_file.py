"""Read ECGs from HDF5 (.h5, .hdf5) and NumPy files (.npy, .npz) in physical units."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.modalities.base import Rejected, decoder_verdict, is_file_error
from clinical_symile.modalities.waveform_files.base import Waveform, lead_name
from clinical_symile.modalities.waveform_files.vendor_file import INSTALL_ECG_EXTRA

HDF5_BEGINS = b"\x89HDF\r\n\x1a\n"
NUMPY_BEGINS = (b"\x93NUMPY", b"PK\x03\x04")


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
        Rejected: `decoder-missing`, `not-readable`, `not-in-array`, `too-large`, `leads-missing`,
            `sampling-rate` or `unit`.
    """
    if not layout.leads:
        raise Rejected("leads-missing", "an array names no leads; set array_leads")
    if not layout.sampling_rate_hz:
        raise Rejected("sampling-rate", "an array states no sampling rate; set array_rate_hz")
    if not layout.unit:
        raise Rejected("unit", "'none'; an array states no unit; set array_unit")
    opener = _hdf5() if is_hdf5 else _open_numpy
    try:
        with opener(file) as arrays:
            values = np.asarray(_recording(arrays, layout), dtype=np.float64)
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
    loaded = np.load(file, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        yield defaultdict(lambda: loaded)
        return
    with loaded:
        yield loaded


def _recording(arrays: Mapping[str, Any], layout: ArrayLayout) -> Any:
    values = arrays[layout.values]
    if not layout.recording:
        return values[...] if values.ndim == 2 else values[0] if len(values) == 1 else values[()]
    ids = [
        each.decode() if isinstance(each, bytes) else str(each) for each in arrays[layout.ids][...]
    ]
    if len(ids) != len(values):
        raise Rejected("not-readable", f"{len(values)} recordings and {len(ids)} ids in one file")
    places = [place for place, each in enumerate(ids) if each == layout.recording]
    if len(places) != 1:
        raise Rejected("not-in-array", f"the id stands {len(places)} times in the file; expected 1")
    return values[places[0]]

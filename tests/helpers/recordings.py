"""Writers of small recordings: WFDB records and image files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import wfdb
from PIL import Image

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def write_ecg_file(
    path: Path,
    millivolts: np.ndarray,
    *,
    leads: Sequence[str] = LEADS,
    unit: str = "mV",
    units_per_mv: float = 1000,
    sampling_rate_hz: float = 500,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        path.name,
        fs=sampling_rate_hz,
        units=[unit] * len(leads),
        sig_name=list(leads),
        p_signal=millivolts,
        fmt=["16"] * len(leads),
        adc_gain=[units_per_mv] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(path.parent),
    )


def write_image_file(path: Path, pixels: np.ndarray, *, quality: int = 95) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=quality)


@pytest.fixture
def write_ecg() -> Callable[..., None]:
    """A function that writes a WFDB record: `write(path, millivolts [time, lead])`."""
    return write_ecg_file


@pytest.fixture
def write_image() -> Callable[..., None]:
    """A function that writes an image file: `write(path, pixels)`, in the format of its name."""
    return write_image_file

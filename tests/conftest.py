"""Fixtures that every test may use; each test gets fresh generators."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from PIL import Image

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Golden numbers and real files that stand beside a checkout, never in it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside this checkout: golden numbers and real files are there")
    return folder


@pytest.fixture
def write_ecg() -> Callable[..., None]:
    """A function that writes a WFDB record: `write(path, millivolts [time, lead])`."""

    def write(
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

    return write


@pytest.fixture
def write_image() -> Callable[..., None]:
    """A function that writes an image file: `write(path, pixels)`, in the format of its name."""

    def write(path: Path, pixels: np.ndarray, *, quality: int = 95) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=quality)

    return write

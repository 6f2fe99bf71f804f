"""Fixtures that every test may use; each test gets fresh generators."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import wfdb
from PIL import Image

from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore

# Small tensors: a second thread costs more than it gives.
torch.set_num_threads(1)

TINY = (
    "dim=8",
    "batch_size=32",
    "epochs=2",
    "encoders.cxr.size_px=16",
    "encoders.cxr.channels=[4, 8]",
    "encoders.ecg.sampling_rate_hz=20",
    "encoders.ecg.width=4",
    "encoders.labs.hidden=[16]",
)

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


def _write_ecg(
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


def _write_image(path: Path, pixels: np.ndarray, *, quality: int = 95) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=quality)


@pytest.fixture
def write_ecg() -> Callable[..., None]:
    """A function that writes a WFDB record: `write(path, millivolts [time, lead])`."""
    return _write_ecg


@pytest.fixture
def write_image() -> Callable[..., None]:
    """A function that writes an image file: `write(path, pixels)`, in the format of its name."""
    return _write_image


HOSPITAL_COHORT = """
title = "Small"
description = "Nine admissions of eight people."
access = "open"
license = "none"
citation = "none"
[samples]
sql = "samples.sql"
sample = "admission"
subject = "person"
split = "split"
keep = ["ward"]
[tables]
admissions = "admissions.csv"
[modalities.cxr]
path = "xray/{xray}"
size_px = 32
[modalities.ecg]
path = "ecg/{ecg}"
[modalities.labs]
panel = "labs.csv"
[outcomes.died]
column = "died"
positive = ["yes"]
negative = ["no"]
uncertain = ["?"]
"""


@dataclass
class Hospital:
    """Raw files of nine admissions, the definition of a cohort over them, and where to prepare it.

    Admission 108 has no recording at all; 102 has no X-ray, 103 no ECG, 104 no labs.
    """

    source: Path
    definition: Path
    out: Path

    @property
    def admissions(self) -> pd.DataFrame:
        return pd.read_csv(self.source / "admissions.csv", dtype={"ecg": str})

    def write(self, admissions: pd.DataFrame) -> None:
        admissions.to_csv(self.source / "admissions.csv", index=False)

    def edit(self, old: str, new: str) -> None:
        text = self.definition.read_text()
        assert old in text
        self.definition.write_text(text.replace(old, new))


@pytest.fixture
def hospital(tmp_path: Path, _hospital_files: Path) -> Hospital:
    shutil.copytree(_hospital_files, tmp_path, dirs_exist_ok=True)
    return _hospital(tmp_path)


def _hospital(folder: Path) -> Hospital:
    return Hospital(folder / "raw", folder / "cohorts/small/cohort.toml", folder / "store")


@pytest.fixture(scope="session")
def _hospital_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    rng = np.random.default_rng(0)
    made = _hospital(folder)
    made.definition.parent.mkdir(parents=True)
    made.definition.write_text(HOSPITAL_COHORT)
    (made.definition.parent / "samples.sql").write_text("SELECT * FROM admissions;  -- all\n")
    (made.definition.parent / "labs.csv").write_text(
        "analyte,loinc,column,unit\nCreatinine,2160-0,crea,mg/dL\nPotassium,2823-3,k,mmol/L\n"
    )
    table = pd.DataFrame(
        {
            "admission": range(100, 109),
            "person": [1, 1, 2, 3, 4, 5, 6, 7, 8],
            "split": ["train"] * 5 + ["tuning", "held_out", "held_out", "held_out"],
            "ward": list("abcabcabc"),
            "xray": [f"{n}.jpg" for n in range(100, 109)],
            "ecg": [f"{n}" for n in range(100, 109)],
            "crea": [1.0, 2.0, 1.5, np.nan, np.nan, 0.7, 3.1, 1.0, np.nan],
            "k": [4.0, np.nan, 4.4, 3.9, np.nan, 5.0, 4.1, 4.2, np.nan],
            "died": ["no", "no", "yes", "?", None, "no", "yes", "no", "no"],
        }
    )
    table.loc[table["admission"].isin([102, 108]), "xray"] = None
    table.loc[table["admission"].isin([103, 108]), "ecg"] = None
    for xray in table["xray"].dropna():
        _write_image(made.source / "xray" / xray, rng.integers(0, 256, (40, 48), dtype=np.uint8))
    for ecg in table["ecg"].dropna():
        _write_ecg(made.source / "ecg" / ecg, rng.normal(0, 0.3, (5000, 12)))
    made.write(table)
    return folder


def quiet(label: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A progress bar that shows nothing."""
    del label
    return nullcontext(lambda done, total: None)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return open_catalog()


@pytest.fixture(scope="session")
def synthetic_store(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> CohortStore:
    """The synthetic hospital with few people, prepared from its raw files."""
    folder = tmp_path_factory.mktemp("synthetic")
    return prepare_cohort(
        catalog,
        "synthetic",
        source=folder / "source",
        out=folder / "store",
        generate=["subjects=60"],
        bar=quiet,
    )


@pytest.fixture
def tiny_task(catalog: Catalog) -> Pretraining:
    """`pretraining/symile` so small that an epoch takes a moment."""
    return tiny(catalog, "pretraining/symile")


def tiny(catalog: Catalog, name: str, *overrides: str) -> Pretraining:
    """A pretraining task of the catalog made small."""
    task = read_task(catalog.path("tasks", name), name=name, overrides=[*TINY, *overrides])
    assert isinstance(task, Pretraining)
    return task

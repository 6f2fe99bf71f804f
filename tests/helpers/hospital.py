"""A small hospital: raw files of nine admissions and the definition of a cohort over them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.prepare import prepare
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import ClinicalSymileError, DataError
from clinical_symile.tracking.progress import Progress
from tests.helpers.recordings import write_ecg_file, write_image_file
from tests.helpers.shared_build import built_once

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


def run(hospital: Hospital, progress: Progress = lambda done, total: None) -> CohortStore:
    """Prepare the hospital's store."""
    cohort = read_cohort(hospital.definition, name="small")
    return prepare(cohort, source=hospital.source, out=hospital.out, progress=progress)


def refusal(hospital: Hospital, kind: type[ClinicalSymileError] = DataError) -> str:
    """Return the message with which `prepare` refuses the hospital, leaving nothing behind."""
    with pytest.raises(kind) as caught:
        run(hospital)
    assert not hospital.out.exists()
    return str(caught.value)


def break_xray(hospital: Hospital) -> None:
    """Break the X-ray of admission 106."""
    file = hospital.source / "xray/106.jpg"
    file.write_bytes(file.read_bytes()[:-600])


@pytest.fixture
def hospital(tmp_path: Path, hospital_files: Path) -> Hospital:
    shutil.copytree(hospital_files, tmp_path, dirs_exist_ok=True)
    return _hospital(tmp_path)


@pytest.fixture
def hospital_store(hospital: Hospital, prepared_hospital: CohortStore) -> CohortStore:
    """The store of the hospital, prepared without a change; a test may write into it."""
    shutil.copytree(prepared_hospital.path, hospital.out)
    return open_store(hospital.out)


@pytest.fixture(scope="session")
def prepared_hospital(
    hospital_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> CohortStore:
    """The store of the hospital, for all tests that only read it."""

    def build(folder: Path) -> None:
        shutil.copytree(hospital_files, folder, dirs_exist_ok=True)
        run(_hospital(folder))

    return open_store(_hospital(built_once(tmp_path_factory, "hospital", build)).out)


def _hospital(folder: Path) -> Hospital:
    return Hospital(folder / "raw", folder / "cohorts/small/cohort.toml", folder / "store")


@pytest.fixture(scope="session")
def hospital_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
        write_image_file(
            made.source / "xray" / xray, rng.integers(0, 256, (40, 48), dtype=np.uint8)
        )
    for ecg in table["ecg"].dropna():
        write_ecg_file(made.source / "ecg" / ecg, rng.normal(0, 0.3, (5000, 12)))
    made.write(table)
    return folder

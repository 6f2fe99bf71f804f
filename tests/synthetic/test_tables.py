"""Tables of the synthetic hospital have MIMIC's form."""

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clinical_symile.synthetic import generate as synthetic
from clinical_symile.synthetic.tables import TABLE_COLUMNS

PARAMETERS = {
    "seed": 0,
    "redundant": 1,
    "unique": 1,
    "synergistic": 3,
    "synergy": 1.0,
    "flip": 0.05,
    "absent": 0.2,
}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "source"
    synthetic.write_cohort(folder, subjects=24, **PARAMETERS)
    return folder


def table(folder: Path, name: str) -> Any:
    return pd.read_csv(folder / name)


def test_the_tables_have_mimics_columns(hospital):
    for name, columns in TABLE_COLUMNS.items():
        assert tuple(table(hospital, name).columns) == columns
    events = table(hospital, "mimiciv/hosp/labevents.csv.gz")
    assert len(events.columns) == 16
    assert events["labevent_id"].is_unique
    assert events["hadm_id"].isna().any(), "some rows name no admission, as in MIMIC"


def test_gzipped_tables_carry_no_time(hospital):
    for path in hospital.rglob("*.csv.gz"):
        assert path.read_bytes()[4:8] == bytes(4)
        assert gzip.decompress(path.read_bytes())


def test_ids_lie_outside_mimics_ranges(hospital):
    admissions = table(hospital, "mimiciv/hosp/admissions.csv.gz")
    assert (admissions["subject_id"] >= 90_000_000).all()
    assert (admissions["hadm_id"] >= 92_000_000).all()
    assert admissions["hadm_id"].is_unique
    assert admissions.groupby("subject_id").size().between(1, synthetic.MAX_ADMISSIONS).all()

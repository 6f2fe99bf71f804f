"""The queries of the templates, on tables written here: who survives, and which value counts."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clinical_symile.cli.init import init_cohort
from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest.query import make_samples
from clinical_symile.data.ingest.tables import connect, open_tables

HEADERS = {
    "admissions.csv": "admission,person,sex,admitted,discharged,died",
    "xrays.csv": "person,taken,view,file",
    "ecgs.csv": "person,taken,file",
    "lab_results.csv": "person,taken,code,value",
}


def selected(folder: Path, template: str) -> pd.DataFrame:
    """The rows of a template's query on the tables under `folder / "raw"`."""
    init_cohort("ours", at=folder / "d", like=template)
    catalog = open_catalog([folder / "d"])
    cohort = read_cohort(catalog.path("cohorts", "ours"), name="ours")
    with connect() as connection:
        open_tables(connection, cohort, folder / "raw")
        make_samples(connection, cohort, folder / "raw")
        return connection.execute("FROM _samples ORDER BY admission").df()


def from_tables(folder: Path, **lines: list[str]) -> pd.DataFrame:
    (folder / "raw").mkdir()
    for name, header in HEADERS.items():
        text = "\n".join([header, *lines.get(name.partition(".")[0], [])]) + "\n"
        (folder / "raw" / name).write_text(text)
    return selected(folder, "tables")


def from_meds(folder: Path, *events: tuple[str, str, float | None]) -> pd.DataFrame:
    """The rows for one person with these times in January 2031, codes and values."""
    raw = folder / "raw"
    (raw / "meds/data").mkdir(parents=True)
    (raw / "meds/metadata").mkdir()
    table: dict[str, Any] = {
        "subject_id": 1,
        "time": [datetime.fromisoformat(f"2031-01-{time}") for time, _, _ in events],
        "code": [code for _, code, _ in events],
        "numeric_value": pd.array([value for *_, value in events], dtype="float64"),
    }
    pd.DataFrame(table).to_parquet(raw / "meds/data/0.parquet", index=False)
    splits = pd.DataFrame({"subject_id": [1], "split": ["train"]})
    splits.to_parquet(raw / "meds/metadata/subject_splits.parquet", index=False)
    for name in ("xrays.csv", "ecgs.csv"):
        (raw / name).write_text(HEADERS[name].replace("person", "subject_id") + "\n")
    return selected(folder, "meds")


def test_an_admission_after_the_death_has_no_survivor(tmp_path: Path) -> None:
    found = from_tables(
        tmp_path,
        admissions=[
            "A,7,female,2031-01-01 10:00:00,2031-01-05 10:00:00,0",
            "B,7,female,2031-01-08 10:00:00,2031-01-09 10:00:00,1",
            "C,7,female,2031-01-09 10:00:00,2031-01-09 20:00:00,0",
            "D,8,male,2031-01-08 10:00:00,2031-01-08 10:00:00,1",
        ],
    )
    assert found["died"].fillna("unknown").tolist() == ["0", "1", "unknown", "1"]


def test_blank_values_do_not_hide_the_next_number(tmp_path: Path) -> None:
    found = from_tables(
        tmp_path,
        admissions=["A,007,female,2031-01-01 10:00:00,2031-01-05 10:00:00,0"],
        lab_results=[
            "007,2031-01-01 10:00:00,K, ",
            "007,2031-01-01 11:00:00,K,",
            "007,2031-01-01 12:00:00,K,4.5",
            "007,2031-01-01 13:00:00,K,  ",
        ],
    )
    assert found["lab_k"].tolist() == ["4.5"]
    assert found["labs_h"].tolist() == [2]


def test_a_nan_does_not_hide_the_next_number(tmp_path: Path) -> None:
    found = from_meds(
        tmp_path,
        ("02T09:00", "HOSPITAL_ADMISSION//EW", None),
        ("02T10:00", "LAB//K//mmol/L", float("nan")),
        ("02T11:00", "LAB//K//mmol/L", 4.5),
        ("07T15:00", "HOSPITAL_DISCHARGE//HOME", None),
    )
    assert found["lab_k"].tolist() == [4.5]


@pytest.mark.parametrize(
    ("discharge", "death", "died", "hours"),
    [
        ("07T15:00 HOME", None, False, 126),
        ("07T15:00 DIED", None, True, 126),
        ("07T15:00 DIED", "07T00:00", True, 126),
        ("07T15:00 DIED", "08T00:00", True, 126),
        ("07T15:00 HOME", "07T00:00", None, 126),  # at home on that day, or not
        ("07T15:00 HOME", "07T15:00", True, 126),
        ("07T15:00 HOME", "07T15:01", False, 126),
        ("07T15:00 HOME", "08T00:00", False, 126),
        ("07T15:00 HOME", "06T00:00", True, 126),
        ("07T00:00 HOME", "07T00:00", True, 111),
        (None, "07T13:00", True, 124),
        (None, "07T00:00", True, 135),  # by the end of that day
        (None, "02T00:00", True, 15),  # the day of the admission
    ],
)
def test_a_death_known_by_its_day_is_not_compared_with_a_time(
    tmp_path: Path, discharge: str | None, death: str | None, died: bool | None, hours: float
) -> None:
    events: list[tuple[str, str, None]] = [("02T09:00", "HOSPITAL_ADMISSION//EW", None)]
    if discharge:
        time, place = discharge.split()
        events.append((time, f"HOSPITAL_DISCHARGE//{place}", None))
    if death:
        events.append((death, "MEDS_DEATH", None))
    found = from_meds(tmp_path, *events)
    assert found["discharged_h"].tolist() == [hours]
    assert found["left_out"].isna().all()  # pyright: ignore[reportGeneralTypeIssues]
    (value,) = found["died"]
    assert (None if pd.isna(value) else bool(value)) is died


def test_an_admission_after_the_death_in_meds_has_no_survivor(tmp_path: Path) -> None:
    found = from_meds(
        tmp_path,
        ("02T09:00", "HOSPITAL_ADMISSION//EW", None),
        ("04T09:00", "HOSPITAL_DISCHARGE//DIED", None),
        ("04T09:00", "MEDS_DEATH", None),
        ("04T09:01", "HOSPITAL_ADMISSION//EW", None),
        ("05T09:00", "HOSPITAL_DISCHARGE//HOME", None),
        ("06T09:00", "HOSPITAL_ADMISSION//EW", None),
    )
    assert [None if pd.isna(one) else bool(one) for one in found["died"]] == [True, None, None]
    assert found["left_out"].fillna("").tolist() == ["", "", "no-discharge"]

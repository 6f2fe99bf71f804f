"""Cohorts of any size: a part of the samples is in memory at a time, and the store is the same."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest import row_file as rows
from clinical_symile.data.ingest import samples
from clinical_symile.data.prepare import prepare
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from tests.helpers.hospital import Hospital

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TABLES = ("samples", "files", "rejected", "noted")


def store_in_batches(hospital: Hospital, size: int, monkeypatch: pytest.MonkeyPatch) -> CohortStore:
    monkeypatch.setattr(samples, "BATCH_ROWS", size)
    cohort = read_cohort(hospital.definition, name="small")
    out = hospital.out.with_name(f"store{size}")
    return prepare(cohort, source=hospital.source, out=out)


def test_a_store_is_the_same_however_many_samples_are_in_memory(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 9 admissions one is no sample; a file is missing, another broken."""
    (hospital.source / "xray/100.jpg").unlink()
    (hospital.source / "xray/104.jpg").write_bytes(b"no image")
    hospital.edit('keep = ["ward"]', 'keep = ["ward"]\nrequired = ["ward"]')
    hospital.edit("[modalities.ecg]", '[subgroups.ward]\ncolumn = "ward"\n[modalities.ecg]')
    at_once = store_in_batches(hospital, rows.BATCH_ROWS, monkeypatch)
    for size in (1, 2, 4):
        store = store_in_batches(hospital, size, monkeypatch)
        for name in TABLES:
            one, other = (pd.read_parquet(s.path / f"{name}.parquet") for s in (at_once, store))
            pd.testing.assert_frame_equal(one, other)
        for modality in store.modalities:
            array = f"{modality}.npy"
            assert (store.path / array).read_bytes() == (at_once.path / array).read_bytes()
        told = [json.dumps(_counted(s), sort_keys=True) for s in (at_once, store)]
        assert told[0] == told[1]


def test_a_query_that_needs_too_much_memory_is_told_as_such(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MEMORY_LIMIT", "40MB")
    query = "SELECT *, (SELECT list(o.range) FROM range(50_000_000) AS o) AS many FROM admissions"
    (hospital.definition.parent / "samples.sql").write_text(query)
    cohort = read_cohort(hospital.definition, name="small")
    with pytest.raises(DataError, match="its query needs more memory than the limit of 40MB"):
        prepare(cohort, source=hospital.source, out=hospital.out)


def _counted(store: CohortStore) -> dict[str, object]:
    """The manifest without what follows from how many rows stand together in a file."""
    return {
        key: value
        for key, value in store.manifest.items()
        if key not in ("digest", "checksums", "sizes")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "options"),
    [("prepare.py", ["--sizes", "400"]), ("cohort.py", ["--sizes", "small"])],
)
def test_the_benchmarks_of_scale_write_their_page(
    benchmark: str, options: list[str], tmp_path: Path
) -> None:
    words = ["--out", str(tmp_path / "work"), "--results", str(tmp_path), *options]
    subprocess.run([sys.executable, str(BENCHMARKS / benchmark), *words], check=True)
    lines = (tmp_path / benchmark).with_suffix(".md").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("| ")
    assert any("| 400 |" in line for line in lines) or (
        "| `official` | 2,450,000 | 8,000 | 608 |" in lines[2]
    )

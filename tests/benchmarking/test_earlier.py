"""What a benchmark's folder holds is read; the tests of those who add to it keep it."""

from dataclasses import asdict
from pathlib import Path

import pytest

from clinical_symile.benchmarking.earlier import earlier_record, earlier_settings
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.tracking.benchmark_tables import TriedSetting
from clinical_symile.tracking.results import write_rows

TRIED = TriedSetting(
    task="pretraining/clip",
    setting=2,
    changes={"objective.temperature": 0.03},
    seed=0,
    metric="tuning/mean_reciprocal_rank",
    value=0.5,
    epoch=1,
    epochs=2,
    is_best=True,
)


def test_a_new_folder_has_no_runs_and_no_settings(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    record = earlier_record(tmp_path, synthetic_store)
    assert record["runs"] == record["notes"] == []
    assert record["definitions"] == {}
    assert record.get("margin") is None
    assert record["description"] == synthetic_store.manifest["description"]
    assert earlier_settings(tmp_path) == ()


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_rows(tmp_path / "settings.jsonl", [TRIED])
    (found,) = earlier_settings(tmp_path)
    assert asdict(found) == asdict(TRIED)
    (tmp_path / "settings.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"settings\.jsonl"):
        earlier_settings(tmp_path)

"""Worker processes: their number changes nothing, and one that dies costs one file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.ingest import decode
from clinical_symile.data.ingest import worker_pool as workers
from tests.helpers.hospital import Hospital, run


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_input_gives_the_same_bytes_however_many_work(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(hospital)
    alone = hospital.out
    hospital.out = hospital.out.with_name("together")
    monkeypatch.setattr(workers, "CHUNK_SIZE", 2)
    monkeypatch.setattr(workers, "SINGLE_PROCESS_LIMIT", 0)
    monkeypatch.setattr(decode, "available_cores", lambda: 2)
    run(hospital)
    assert files(alone) == files(hospital.out)


DYING = """
import os
from multiprocessing import parent_process
from pathlib import Path
from clinical_symile.modalities.cxr import Cxr

class DyingCxr(Cxr):
    def __init__(self, folder: Path, *, path: str, size_px: int):
        super().__init__(folder, path=path, size_px=size_px)

    def read(self, row, root, note):
        if row["xray"] == "106.jpg" and parent_process():
            os._exit(11)
        return super().read(row, root, note)
"""


def test_a_file_that_kills_the_process_that_reads_it_is_rejected_alone(
    hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/dying.py").write_text(DYING)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setattr(workers, "CHUNK_SIZE", 3)
    monkeypatch.setattr(workers, "SINGLE_PROCESS_LIMIT", 0)
    monkeypatch.setattr(decode, "available_cores", lambda: 2)
    hospital.edit("[modalities.cxr]", '[modalities.cxr]\nadapter = "dying:DyingCxr"')
    store = run(hospital)
    assert store.manifest["rejected"] == {"cxr": {"process-died": 1}, "ecg": {}, "labs": {}}
    (rejected,) = pd.read_parquet(store.path / "rejected.parquet").to_dict("records")
    assert (rejected["sample"], rejected["file"]) == (106, "106.jpg")
    expected = np.ones((8, 3), dtype=bool)
    expected[[2, 6], 0] = expected[3, 1] = expected[4, 2] = False
    np.testing.assert_array_equal(store.present, expected)
    assert store.array("ecg")[6].any()

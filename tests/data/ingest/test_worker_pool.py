"""Worker processes: their number changes nothing, and one that dies costs one file."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.ingest import decode
from clinical_symile.data.ingest import worker_pool as workers
from clinical_symile.errors import DataError
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


SCRIPT = """
import sys
from pathlib import Path
from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.ingest import worker_pool as workers
from clinical_symile.data.prepare import prepare

if GUARD:
    definition, source, out = map(Path, sys.argv[1:4])
    workers.CHUNK_SIZE, workers.SINGLE_PROCESS_LIMIT = 3, int(sys.argv[4])
    prepare(read_cohort(definition, name="small"), source=source, out=out)
"""


def _run_script(hospital: Hospital, code: Path, *, guard: bool, limit: int) -> tuple[int, str]:
    script = code / "script.py"
    script.write_text(SCRIPT.replace("GUARD", '__name__ == "__main__"' if guard else "True"))
    arguments = map(str, (script, hospital.definition, hospital.source, hospital.out, limit))
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(code), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
def test_a_file_that_kills_the_only_process_is_rejected_by_the_next_call(
    hospital: Hospital, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "dying.py").write_text(DYING.replace(" and parent_process()", ""))
    hospital.edit("[modalities.cxr]", '[modalities.cxr]\nadapter = "dying:DyingCxr"')
    assert _run_script(hospital, code, guard=True, limit=400)[0] == 11
    assert not hospital.out.exists()
    assert _run_script(hospital, code, guard=True, limit=400) == (0, "")
    rejected = pd.read_parquet(hospital.out / "rejected.parquet")
    assert rejected[["sample", "modality", "reason"]].to_numpy().tolist() == [
        [106, "cxr", "process-died"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("guard", [True, False])
def test_a_script_prepares_with_and_without_a_guard_of_its_main_module(
    hospital: Hospital, tmp_path: Path, guard: bool
) -> None:
    (tmp_path / "code").mkdir()
    assert _run_script(hospital, tmp_path / "code", guard=guard, limit=0) == (0, "")
    assert len(pd.read_parquet(hospital.out / "rejected.parquet")) == 0


def test_a_process_does_not_run_the_script_again(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import math\nfrom clinical_symile.data.ingest.worker_pool import worker_processes\n"
        "print('once', flush=True)\n"
        "with worker_processes(2) as pool: print(*pool.map(math.sqrt, [4, 9]))\n"
    )
    made = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (made.stdout, made.stderr) == ("once\n2.0 3.0\n", "")


@pytest.mark.parametrize(
    ("start", "argument", "problem"),
    [(os._exit, 3, "die before they read anything"), (time.sleep, 60, "do not start within 1 s")],
    ids=["they die", "they hang"],
)
def test_processes_that_cannot_start_end_in_one_error_in_bounded_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[..., object],
    argument: int,
    problem: str,
) -> None:
    def broken_pool(processes: int) -> ProcessPoolExecutor:
        spawn = get_context("spawn")
        return ProcessPoolExecutor(
            processes, mp_context=spawn, initializer=start, initargs=(argument,)
        )

    monkeypatch.setattr(workers, "_pool", broken_pool)
    monkeypatch.setattr(workers, "SINGLE_PROCESS_LIMIT", 0)
    if start is time.sleep:
        monkeypatch.setattr(workers, "START_LIMIT_S", 1.0)
    verdicts = workers.map_chunks(
        _never_read,
        [0, 32],
        lambda first: [{}],
        processes=2,
        modalities=("ecg",),
        died=lambda *one: {},
        begun=tmp_path / "begun",
    )
    before = time.monotonic()
    with pytest.raises(DataError, match=problem):
        next(verdicts)
    assert time.monotonic() - before < 30
    assert not active_children()


def _never_read(first: int, rows: list[dict[str, object]]) -> dict[str, object]:
    raise AssertionError("nothing can be read")


def test_a_fault_in_the_only_process_blames_no_chunk(tmp_path: Path) -> None:
    def full_disk(first: int, rows: list) -> dict:
        raise OSError(28, "No space left on device")

    verdicts = workers.map_chunks(
        full_disk,
        [0],
        lambda first: [{}],
        processes=1,
        modalities=("ecg",),
        died=lambda *one: {},
        begun=tmp_path / "begun",
    )
    with pytest.raises(OSError, match="No space left"):
        next(verdicts)
    assert not (tmp_path / "begun").exists()

"""`prepare` that is killed at any moment and run again ends in the bytes of one that is not."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.hospital import Hospital

# Everything is imported once; each line that comes in is a run in a process of its own.
PROGRAM = """
import os, sys
from pathlib import Path
from clinical_symile.data.ingest import worker_pool as workers
from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.prepare import prepare
import pydicom, scipy.signal, wfdb

if __name__ == "__main__":
    definition, source = map(Path, sys.argv[1:3])
    workers.CHUNK_SIZE, workers.SINGLE_PROCESS_LIMIT = 4, int(sys.argv[3])
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            prepare(read_cohort(definition, name="small"), source=source, out=Path(line.strip()))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Runs:
    """Runs of `prepare`, each of which may be killed."""

    def __init__(self, hospital: Hospital, few: int, kills: int):
        self.hospital, self.kills = hospital, kills
        program = hospital.source.parent / "program.py"
        program.write_text(PROGRAM)
        words = [str(program), str(hospital.definition), str(hospital.source), str(few)]
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )

    def start(self, out: Path) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{out}\n")
        self.process.stdin.flush()
        return int(self._line())

    def status(self) -> int:
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture(params=[(10_000, 30), (0, 5)], ids=["one process", "one for each core"])
def runs(request: pytest.FixtureRequest, hospital: Hospital) -> Iterator[Runs]:
    """The nine admissions four times over, with some files that are rejected or noted."""
    admissions, copies = hospital.admissions, []
    for n in range(4):
        ids = {"admission": admissions["admission"] + 100 * n, "person": admissions["person"]}
        copies.append(admissions.assign(**ids))
    hospital.write(pd.concat(copies))
    (hospital.source / "xray/106.jpg").write_bytes(b"no picture")
    (hospital.source / "ecg/105.dat").unlink()
    few, kills = request.param
    made = Runs(hospital, few, kills)
    yield made
    made.end()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_ends_in_the_same_bytes(runs: Runs) -> None:
    folder = runs.hospital.out.parent
    runs.start(folder / "whole")
    began = time.monotonic()
    assert runs.status() == 0
    whole_s = time.monotonic() - began
    expected = files(folder / "whole")
    rng, killed, stores = np.random.default_rng(0), 0, 0
    while killed < runs.kills:
        out = folder / f"store{stores}"
        while True:
            pid = runs.start(out)
            time.sleep(rng.uniform(0, whole_s))
            if killed < runs.kills:
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.kill(pid, signal.SIGKILL)  # it alone, not what it has started
            status = runs.status()
            assert status in (0, -signal.SIGKILL)
            if status == 0:
                break
            killed += 1
        stores += 1
        assert files(out) == expected
        assert not list(folder.glob(f"{out.name}.*")), "something is left behind"


@pytest.mark.slow
def test_what_a_killed_run_had_started_ends_by_itself(runs: Runs) -> None:
    pid = runs.start(runs.hospital.out)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    started: list[str] = []
    while children.exists() and not started:
        started = [child for child in _read(children).split() if _is_worker(child)]
        time.sleep(0.01)
    if started:
        os.kill(pid, signal.SIGKILL)
    runs.status()
    for _ in range(200):
        if not any(_is_worker(child) for child in started):
            return
        time.sleep(0.05)
    pytest.fail(f"{len(started)} processes live on")


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _is_worker(pid: str) -> bool:
    return "spawn_main" in _read(Path(f"/proc/{pid}/cmdline"))

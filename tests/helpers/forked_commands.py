"""Run commands in forked children of a warm process, and say how they ended."""

import contextlib
import importlib
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

HANG_S = 300
MOST_MEMORY_MB = 1000  # of a child above its parent
# The words by which a command says that something is wrong; `verify` has some of its own.
# `sync` names the run first, and `rerun` shows both values of a line that differs.
_SENTENCES = re.compile(
    r"^((error|changed|no checksum|cannot be verified): |.+: not synced: |.+ before, .+ now$)",
    re.MULTILINE,
)
_MODULES = (
    *("api.runs", "api.cohorts", "api.verification", "training.train", "benchmarking.run"),
    *("evaluation.runner", "cli.console", "data.prepare", "reporting.cohort_card"),
    *("cli.verify", "cli.check", "cli.report", "cli.compare", "cli.card", "tracking.mlflow"),
    *(
        "models.encoders.image",
        "models.encoders.waveform",
        "models.encoders.tabular",
        "modalities.ecg",
        "modalities.cxr",
    ),
)
# The libraries that they load later.
_LIBRARIES = ("wfdb", "scipy.signal", "mlflow.store.tracking.sqlalchemy_store", "ucumvert")


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status; negative for a signal.
        said: its output and errors.
        memory_mb: the most memory that it took above its parent's.
        hung: True if it took longer than `HANG_S`.
    """

    status: int
    said: str
    memory_mb: int = 0
    hung: bool = False

    @property
    def problem(self) -> str:
        """The fault that no command may have; empty if it has none."""
        if self.hung:
            return f"took more than {HANG_S} s"
        if "Traceback" in self.said:
            return "traceback: " + self.said.strip().splitlines()[-1][:200]
        if self.status < 0:
            return f"ended by signal {-self.status}"
        if self.memory_mb > MOST_MEMORY_MB:
            return f"took {self.memory_mb} MB above its parent"
        is_silent = self.status and not _SENTENCES.search(self.said)
        return f"status {self.status} without a sentence" if is_silent else ""


class Child:
    """A command in a forked child of this process, in a process group of its own."""

    def __init__(self, arguments: Sequence[str | Path], log: Path):
        self.log, self.started = log, time.monotonic()
        self._parent_mb = _resident_mb()
        sys.stdout.flush()
        sys.stderr.flush()
        self.process = os.fork()
        if self.process == 0:
            self._run([str(argument) for argument in arguments])

    def _run(self, arguments: list[str]) -> NoReturn:
        status = 70
        try:
            os.setsid()
            with self.log.open("wb") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            from clinical_symile.cli.main import main

            main(arguments)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def kill(self) -> None:
        """Kill the child and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)

    def wait(self) -> Ended:
        """Wait for the end; a child that hangs is killed."""
        hung = False
        while True:
            done, status, usage = os.wait4(self.process, os.WNOHANG)
            if done:
                said = self.log.read_text(errors="replace")
                memory = max(0, usage.ru_maxrss // 1024 - self._parent_mb)
                return Ended(os.waitstatus_to_exitcode(status), said, memory, hung)
            if time.monotonic() - self.started > HANG_S:
                hung = True
                self.kill()
            time.sleep(0.01)


def warm_up() -> None:
    """Load what the commands load, so that forked children do not; intervals by 50 resamples."""
    import torch

    torch.set_num_threads(1)
    for module in _MODULES:
        importlib.import_module(f"clinical_symile.{module}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in _LIBRARIES:
            importlib.import_module(module)
    import clinical_symile.evaluation.evaluate as evaluating
    from clinical_symile.stats.bootstrap import metric_intervals

    evaluating.metric_intervals = partial(metric_intervals, resamples=50)  # pyright: ignore


def _resident_mb() -> int:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20

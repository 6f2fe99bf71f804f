"""Run commands as a user types them."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clinical_symile.cli.main import main
from tests.helpers.hospital import Hospital
from tests.helpers.quick import with_few_resamples_everywhere
from tests.helpers.shared_build import built_once
from tests.helpers.synthetic import TINY

# A line of the log without a terminal: the time, then the stage.
STAGE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], few_resamples_everywhere: None
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs one command: (exit status, standard output, standard error).

    Standard error is without the lines that log each stage.
    """
    del few_resamples_everywhere

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        assert isinstance(stop.value.code, int)
        said = [line for line in shown.err.splitlines(keepends=True) if not STAGE.match(line)]
        return stop.value.code, shown.out, "".join(said)

    return run


@pytest.fixture
def refused(run: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """A function that runs a command that must fail: what it says, a sentence for each problem."""

    def refused(*arguments: str | Path) -> str:
        status, shown, said = run(*arguments)
        assert status == 1
        assert shown == ""
        assert all(line.startswith("error: ") for line in said.splitlines())
        return said

    return refused


@pytest.fixture
def prepare(hospital: Hospital, tmp_path: Path) -> list[str | Path]:
    """The command that prepares the small hospital."""
    command = ["prepare", "small", "--catalog", tmp_path, "--source", hospital.source]
    return [*command, "--out", hospital.out]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def shared_benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small benchmark of two runs, which `benchmark` wrote; for reading only."""
    return built_once(tmp_path_factory, "benchmark", _run_benchmark) / "out"


@pytest.fixture
def benchmark_folder(shared_benchmark: Path, tmp_path: Path) -> Path:
    """A copy of the folder of a small benchmark; a test may write into it."""
    return shutil.copytree(shared_benchmark, tmp_path / "benchmark" / "out")


def _run_benchmark(folder: Path) -> None:
    out = folder / "out"
    words = [word for setting in TINY for word in ("--set", setting)]
    words += ["--generate", "subjects=60", "--baselines", "none", "--accelerator", "cpu"]
    words += ["--pretraining", "pretraining/symile,pretraining/clip", "--seeds", "0"]
    words += ["--tasks", "retrieval/cxr_given_ecg_labs"]
    command = ["benchmark", "benchmark", "--cohort", "synthetic", "--out", str(out), *words]
    with with_few_resamples_everywhere() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with pytest.raises(SystemExit) as stop:
            main(command)
    assert stop.value.code == 0

"""The same small grid by every launcher: the same bytes, also if processes are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import clinical_symile as cs
from clinical_symile.tracking.run import Run
from tests.helpers.robust_folders import contents, differences
from tests.helpers.slurm_cluster import NoClusterError, slurm_cluster
from tests.helpers.synthetic import TINY

ROOT = Path(__file__).resolve().parents[2]
TASKS = "retrieval/cxr_given_ecg_labs,classification/deterioration"
SETTINGS = (*TINY, "epochs=6")
LONGEST_S = 900
# A task of its own whose training diverges at once.
DIVERGES = """
extends = "pretraining/clip"
kind = "pretraining"
description = "Diverges."

[optimiser]
learning_rate = 1e30
warmup_fraction = 0.0
"""


def command(out: Path, *more: str, report: str = "benchmark") -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    what = ["benchmark", report, "--cohort", "synthetic", "--out", str(out), "--tasks", TASKS]
    few = ["--generate", "subjects=40", "--seeds", "0,1", "--accelerator", "cpu"]
    baselines = ["--baselines", "prevalence"]
    return [sys.executable, "-m", "clinical_symile", *what, *few, *baselines, *settings, *more]


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def start(out: Path, *more: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(out, *more),
        env=environment(**variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    try:
        _, said = process.communicate(timeout=LONGEST_S)
    finally:
        process.kill()
    return process.returncode, said


@pytest.fixture(scope="module")
def one_after_another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmark by one process with one thread."""
    out = tmp_path_factory.mktemp("serial") / "out"
    status, said = end(start(out, OMP_NUM_THREADS="1"))
    assert status == 0, said
    return out


def of_benchmark(out: Path) -> dict[str, str]:
    """The content of a benchmark's folder without what a launcher keeps for itself."""
    return {name: one for name, one in contents(out).items() if not name.startswith("jobs/")}


def process_of(run: Path) -> int:
    """Wait until a run has an epoch and its process holds it; return the process's number."""
    holder, begin = run.with_name(f".{run.name}.holder"), time.monotonic()
    while time.monotonic() < begin + LONGEST_S:
        try:
            if (run / "history.jsonl").is_file():
                return int(json.loads(holder.read_text())["process"])
        except (OSError, ValueError):
            pass
        time.sleep(0.005)
    raise AssertionError(f"{run} did not begin")


@pytest.mark.slow
def test_runs_side_by_side_are_those_of_one_after_another_though_one_is_killed(
    one_after_another: Path, tmp_path: Path
):
    out = tmp_path / "out"
    process = start(out, "--jobs", "2", "--threads", "1")
    os.kill(process_of(out / "runs" / "clip-0"), signal.SIGKILL)
    status, said = end(process)
    assert status == 0, said
    assert "clip-0: its process was killed by SIGKILL; it is started again (1 of 2)" in said
    assert differences(of_benchmark(out), of_benchmark(one_after_another)) == ""
    assert cs.verify(out).is_intact
    costs = Run(out / "runs" / "clip-0").metadata["costs"]
    assert costs["threads"] == 1
    assert costs["training"]["sessions"] == 2
    copies = {Run(path).mlflow_copy for path in (out / "runs").iterdir() if path.is_dir()}
    assert None not in copies


@pytest.mark.slow
def test_submitit_without_slurm_gives_the_same_though_a_process_is_killed(
    one_after_another: Path, tmp_path: Path
):
    out = tmp_path / "out"
    here = ("--launcher", "slurm", "--engine", "cluster=local", "--jobs", "2", "--threads", "1")
    process = start(out, *here)
    os.kill(process_of(out / "runs" / "symile-0"), signal.SIGKILL)
    status, said = end(process)
    assert status == 0, said
    assert "symile-0: its process left the queue as job" in said
    assert differences(of_benchmark(out), of_benchmark(one_after_another)) == ""
    assert Run(out / "runs" / "clip-1").mlflow_copy is not None


@pytest.mark.slow
def test_slurm_gives_the_same_though_a_job_is_cancelled(
    one_after_another: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    out = tmp_path / "out"
    try:
        with slurm_cluster(tmp_path_factory.mktemp("slurm")) as variables:
            process = start(out, "--launcher", "slurm", "--threads", "1", **variables)
            process_of(out / "runs" / "symile-0")
            (job,) = (out / "jobs" / "symile-0" / "submitit").glob("*_submission.sh")
            number = job.name.partition("_")[0]
            subprocess.run(["scancel", number], env=environment(**variables), check=True)
            status, said = end(process)
    except NoClusterError as reason:
        pytest.skip(f"no SLURM on this machine: {reason}")
    assert status == 0, said
    assert f"symile-0: its process left the queue as job {number} without an outcome" in said
    assert differences(of_benchmark(out), of_benchmark(one_after_another)) == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_ray_with_a_head_and_two_workers_gives_the_same_though_a_process_is_killed(
    one_after_another: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's workers give way to other processes: to other tests, for many minutes.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    from ray.cluster_utils import Cluster

    out, memory = tmp_path / "out", 20 * 2**30
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "memory": 0})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, memory=memory)
        there = ("--launcher", "ray", "--engine", f"address={cluster.address}", "--threads", "1")
        process = start(out, *there)
        os.kill(process_of(out / "runs" / "symile-0"), signal.SIGKILL)
        status, said = end(process)
    finally:
        cluster.shutdown()
    assert status == 0, said
    assert "symile-0: its process ended with status -9; it is started again (1 of 2)" in said
    assert differences(of_benchmark(out), of_benchmark(one_after_another)) == ""


@pytest.fixture
def catalog_folder(tmp_path: Path) -> Path:
    task = tmp_path / "catalog" / "tasks" / "pretraining" / "diverges.toml"
    task.parent.mkdir(parents=True)
    task.write_text(DIVERGES)
    return tmp_path / "catalog"


@pytest.mark.slow
def test_an_interrupted_or_failed_benchmark_is_continued(
    one_after_another: Path, catalog_folder: Path, tmp_path: Path
):
    out = tmp_path / "out"
    two = ("--jobs", "2", "--threads", "1")
    process = start(out, *two)
    child = process_of(out / "runs" / "symile-0")
    os.killpg(process.pid, signal.SIGINT)
    status, said = end(process)
    assert status == 130
    assert "Stopped. Run the same command again to continue." in said
    assert "Traceback" not in said
    assert not Path(f"/proc/{child}").exists()

    three = "pretraining/symile,pretraining/clip,pretraining/diverges"
    wrong = ("--catalog", str(catalog_folder), "--pretraining", three)
    status, said = end(start(out, *two, *wrong))
    assert status == 1
    assert "error: run 'diverges-0': task 'pretraining/diverges': training diverged" in said
    assert "[CS-R008]" in said
    assert "2 runs failed; expected none" in said
    assert not (out / "results.jsonl").exists()
    assert all(Run(out / "runs" / f"{name}-1").is_finished for name in ("symile", "clip"))

    status, said = end(start(out, *two))
    assert status == 0, said
    assert "started" not in said
    assert differences(of_benchmark(out), of_benchmark(one_after_another)) == ""

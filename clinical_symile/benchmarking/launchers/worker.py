"""Run jobs of a benchmark in a process of their own; every launcher starts this module.

`python -m clinical_symile.benchmarking.launchers.worker JOB.json` runs one job. Without a file,
the paths of jobs are read from standard input, one a line, until its end.
"""

import argparse
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from queue import SimpleQueue

from clinical_symile.benchmarking.launchers.job import (
    Job,
    JobOutcome,
    open_log,
    read_job,
    write_outcome,
)
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import ClinicalSymileError
from clinical_symile.evaluation.analysis.analyze import analyze_run
from clinical_symile.evaluation.pair_sum_ceiling import evaluate_pair_sums
from clinical_symile.evaluation.references import evaluate_baseline, evaluate_oracle
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.files import FolderBusyError, lock_folder
from clinical_symile.tracking.lock_holder import is_further_process
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import sqlite_path
from clinical_symile.tracking.tracking_uri import tracking_uri
from clinical_symile.training.processors import limited_threads
from clinical_symile.training.train import train

# How long a training waits until another one has copied its epoch to MLflow.
_LONGEST_WAIT_S = 60.0
_OUTPUTS = (1, 2)
# Pause between two looks at whether the parent is there.
_WATCH_PAUSE_S = 0.5


def execute(job: Job) -> None:
    """Do all that a job says; what is there already is not done again.

    Raises:
        ClinicalSymileError: as `train`, `evaluate_run` and the other functions that it calls.
    """
    with limited_threads(job.threads):
        store, run = open_store(job.store), job.run
        if job.kind == "baseline":
            assert job.baseline is not None
            evaluate_baseline(
                job.baseline, job.tasks, store=store, run=run, pretraining=job.pretraining
            )
        elif job.kind == "pair-sums":
            evaluate_pair_sums(job.tasks, store=store, run=run)
        elif job.kind == "oracle":
            evaluate_oracle(job.tasks, store=store, run=run)
        else:
            _train(job, run, store)
        if job.kind == "run":
            evaluate_run(run, job.tasks, store=store)
        if job.kind != "setting" and run.results:
            analyze_run(run, job.tasks, store=store)


def _train(job: Job, run: Run, store: CohortStore) -> None:
    train(
        job.pretraining[0],
        store=store,
        run=run,
        seed=job.seed,
        accelerator=job.accelerator,
        devices=job.devices,
        nodes=job.nodes,
        deterministic=job.deterministic,
        on_epoch=lambda run: _sync(run, job.out) if job.sync else None,
    )


def _sync(run: Run, out: Path) -> None:
    """Copy a run to MLflow; into a database beside the benchmark, one run after another.

    Whatever is not copied now is copied after a later epoch, or at the end of the benchmark.
    """
    uri = tracking_uri(out)
    is_file = sqlite_path(uri) is not None
    try:
        with lock_folder(out / "mlflow", wait_s=_LONGEST_WAIT_S) if is_file else nullcontext():
            sync_run(run, uri=uri, folder=out)
    except FolderBusyError as error:
        print(f"{error}; this epoch is copied to MLflow later.", file=sys.stderr)


def run_job(path: Path) -> bool:
    """Run the job of a file, write its outcome, and return whether it was done.

    What it prints goes to the job's log.

    Args:
        path: the file that `Job.write` wrote.
    """
    with _printed_to_log(path):
        outcome = _outcome(path)
    if not is_further_process():
        write_outcome(path, outcome)
    return outcome.is_done


def _outcome(path: Path) -> JobOutcome:
    """Run the job of a file; an error that a user can fix is kept in the outcome."""
    try:
        job, folder = read_job(path)
        os.chdir(folder)
        execute(job)
    except ClinicalSymileError as error:
        print(error, file=sys.stderr)
        return JobOutcome(problems=error.problems)
    except Exception as error:
        traceback.print_exc()
        return JobOutcome(error=type(error).__name__)
    return JobOutcome()


@contextmanager
def _printed_to_log(path: Path) -> Iterator[None]:
    """Add to a job's log what this process and its libraries print inside the block."""
    opened, outer = open_log(path), [os.dup(number) for number in _OUTPUTS]
    _redirect([opened, opened])
    try:
        yield
    finally:
        _redirect(outer)
        for number in (opened, *outer):
            os.close(number)


def _redirect(targets: Sequence[int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for number, target in zip(_OUTPUTS, targets, strict=True):
        os.dup2(target, number)


def _paths_from_parent() -> "SimpleQueue[Path]":
    """Return a queue of the paths that the parent writes to standard input.

    At its end this process ends at once, whatever it does then: a training continues from its last
    epoch.
    """
    paths: SimpleQueue[Path] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            paths.put(Path(line.rstrip("\n")))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return paths


def _end_with_parent() -> None:
    """End this process soon after its parent, which may be killed without a word."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_PAUSE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_worker(arguments: Sequence[str] | None = None) -> None:
    """Run one job or those that the parent names; the status is 1 if the only job failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path, nargs="?", help="file of the only job")
    options = parser.parse_args(arguments)
    _end_with_parent()
    if options.job is not None:
        sys.exit(not run_job(options.job))
    paths = _paths_from_parent()
    while True:
        run_job(paths.get())


if __name__ == "__main__":
    run_worker()

"""Count how many runs arrive in MLflow when everything goes wrong that can.

Run with `.venv/bin/python benchmarks/tracking.py --out FOLDER`; it appends to
`benchmarks/results/tracking.md` what it counts:

- trainings that start at once into a new database;
- makings of the database that are killed at random moments, by us and as MLflow itself makes it;
- syncs to a server that is killed at random calls and started again.

Every process is a fork of this one, which has loaded PyTorch and MLflow: a machine with two cores
runs sixteen trainings so. The moments are drawn from `--seed`.
"""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `tests.helpers`, run as a script

import clinical_symile as cs
from clinical_symile.api.sync import sync_mlflow
from clinical_symile.tracking.mlflow import _quiet_mlflow, sync_run
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import tracking_uri
from tests.helpers.mlflow_runs import check_copy, write_run
from tests.helpers.mlflow_servers import Server
from tests.helpers.synthetic import TINY

RESULTS = Path(__file__).parent / "results" / "tracking.md"
FORK = multiprocessing.get_context("fork")
TASK = "retrieval/cxr_given_ecg_labs"
LONGEST_MAKING_S = 12.0
LONGEST_TRAINING_S = 1500
EPOCHS = 2
SERVER_CALLS = 40


def in_child(function: Callable[..., object], *arguments: Any) -> Any:
    """Start a function in a fork that ends with status 0 if it ends well."""

    def run() -> None:
        try:
            function(*arguments)
        except BaseException as error:  # what a user would see as a traceback
            print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)

    child = FORK.Process(target=run)
    child.start()
    return child


def train_one(store: Path, runs: Path, seed: int) -> None:
    """Train, evaluate and sync after each epoch and at the end, as the command line does."""
    run = cs.train(
        "pretraining/symile",
        store,
        out=runs,
        seed=seed,
        overrides=TINY,
        accelerator="cpu",
        on_epoch=sync_mlflow,
        progress=False,
    )
    cs.evaluate(run, store, tasks=TASK, missingness=["complete"], progress=False)
    problem = sync_mlflow(run).problem
    (runs / f"problem-{seed}.txt").write_text(problem or "")


def trainings_at_once(out: Path, number: int) -> dict[str, Any]:
    """Start trainings at once into a new database; count those that arrived whole."""
    store, runs = out / "store", out / "runs"
    cs.prepare(
        "synthetic",
        out=store,
        source=out / "source",
        generate={"subjects": 60},
        progress=False,
    )
    runs.mkdir()
    begin = time.monotonic()
    children = [in_child(train_one, store, runs, seed) for seed in range(number)]
    for child in children:
        child.join(LONGEST_TRAINING_S)
    problems = [(runs / f"problem-{seed}.txt").read_text() for seed in range(number)]
    arrived = 0
    for seed in range(number):
        arrived += is_whole(tracking_uri(runs), name=f"symile-{seed}", epochs=EPOCHS, tables=1)
    return {
        "what": f"{number} trainings at once into a new database",
        "tried": number,
        "ended well": sum(child.exitcode == 0 for child in children),
        "arrived, every point once": arrived,
        "problems": sum(map(bool, problems)),
        "seconds": round(time.monotonic() - begin),
    }


def is_whole(uri: str, *, name: str, epochs: int, tables: int, cohort: str = "synthetic") -> bool:
    """Return whether a run is there whole; print why not."""
    try:
        check_copy(uri, cohort=cohort, epochs=epochs, tables=tables, name=name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}"[:500], file=sys.stderr)
        return False
    return True


def make_as_mlflow_does(folder: Path) -> None:
    """Make the database in its place, as `mlflow ui` and version 0.1 do."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with _quiet_mlflow("sqlite:"):
        SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "mlartifacts"))


def sync_one(folder: Path) -> None:
    sync_run(Run(folder))


def killed_makings(
    out: Path, number: int, rng: np.random.Generator, *, by_mlflow: bool
) -> dict[str, Any]:
    """Kill the making of a database at random moments; count the runs that arrive afterwards."""
    recovered, half_made, begin = 0, 0, time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    full_s = _time_of_making(out / "timed")
    for place in range(number):
        folder = out / str(place)
        run = write_run(folder / "symile-0")
        making = (make_as_mlflow_does, folder) if by_mlflow else (sync_one, run)
        child = in_child(*making)
        time.sleep(float(rng.uniform(0.02, 1.0)) * full_s)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        found = sync_run(Run(run))
        half_made += found.note is not None
        if found.problem is None:
            recovered += is_whole(tracking_uri(folder), name="symile-0", epochs=3, tables=2)
        else:
            print(found.problem, file=sys.stderr)
    who = "MLflow in its place, as `mlflow ui` does" if by_mlflow else "a sync"
    return {
        "what": f"making of the database by {who} killed at random moments",
        "tried": number,
        "recovered, every point once": recovered,
        "half-made databases set aside": half_made,
        "seconds": round(time.monotonic() - begin),
    }


def _time_of_making(folder: Path) -> float:
    folder.mkdir(parents=True)
    begin = time.monotonic()
    in_child(make_as_mlflow_does, folder).join()
    return min(time.monotonic() - begin, LONGEST_MAKING_S)


def killed_servers(out: Path, number: int, rng: np.random.Generator) -> dict[str, Any]:
    """Kill a server at a random call of a sync and start it again; count the runs that arrive."""
    from mlflow.store.tracking.rest_store import RestStore

    out.mkdir(parents=True)
    server, call = Server(out), RestStore._call_endpoint
    arrived, interrupted, begin = 0, 0, time.monotonic()
    for place in range(number):
        server.start()
        moment, count = int(rng.integers(1, SERVER_CALLS)), 0

        def counted(self: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == moment:  # noqa: B023, used in this turn of the loop alone
                server.kill()
            return call(self, *arguments, **named)

        run = write_run(out / f"symile-{place}", cohort=f"killed {place}")
        RestStore._call_endpoint = counted  # pyright: ignore[reportAttributeAccessIssue]
        try:
            found = sync_run(Run(run), uri=server.uri)
        finally:
            RestStore._call_endpoint = call
        interrupted += found.problem is not None
        server.start()
        if sync_run(Run(run), uri=server.uri).problem is None:
            arrived += is_whole(
                server.uri, name=run.name, epochs=3, tables=2, cohort=f"killed {place}"
            )
    server.stop()
    return {
        "what": "servers killed at a random call of a sync, and started again",
        "tried": number,
        "syncs interrupted": interrupted,
        "arrived, every point once": arrived,
        "seconds": round(time.monotonic() - begin),
    }


def log(row: dict[str, Any], results: Path, seed: int) -> None:
    """Append a row to the log."""
    import mlflow

    about = {"mlflow": mlflow.__version__, "seed": seed, "cores": os.cpu_count()}
    about |= {"python": platform.python_version(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps(row), flush=True)
    if not results.exists():
        results.write_text(f"# MLflow when everything goes wrong\n\n{_EXPLANATION}\n", "utf-8")
    with results.open("a", encoding="utf-8") as file:
        file.write(f"\n{time.strftime('%Y-%m-%d')}, {json.dumps(about)}\n\n")
        file.write("".join(f"- {key}: {value}\n" for key, value in row.items()))


_EXPLANATION = (
    "Written by `benchmarks/tracking.py`. A run arrived if MLflow has it finished, with its files, "
    "its table for each task, every epoch, and no point of a curve or result twice."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist")
    parser.add_argument("--trainings", type=int, default=16)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--servers", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    rng = np.random.default_rng(options.seed)
    with _quiet_mlflow("sqlite:"):
        import mlflow.tracking  # noqa: F401, loaded once for all that are forked
        import torch

        from clinical_symile.training import train  # noqa: F401
    torch.set_num_threads(1)
    out: Path = options.out.resolve()
    out.mkdir(parents=True)
    if options.kills:
        for by_mlflow in (True, False):
            folder = out / f"makings-{by_mlflow}"
            row = killed_makings(folder, options.kills, rng, by_mlflow=by_mlflow)
            log(row, options.results, options.seed)
    if options.servers:
        log(killed_servers(out / "servers", options.servers, rng), options.results, options.seed)
    if options.trainings:
        row = trainings_at_once(out / "trainings", options.trainings)
        log(row, options.results, options.seed)


if __name__ == "__main__":
    main()

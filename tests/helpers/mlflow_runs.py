"""Run folders without training, and what MLflow has of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from clinical_symile.files import write_text
from clinical_symile.tracking.analysis_tables import Measure, ModalityValue, RunAnalysis
from clinical_symile.tracking.results import Result, write_rows
from clinical_symile.tracking.snapshot import RunSnapshot

RECORD = {
    "started": "2026-03-01T10:00:00+00:00",
    "cohort": "synthetic",
    "store_digest": "0123456789abcdef",
    "task_digest": "fedcba9876543210",
    "git_commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "seed": 0,
    "overrides": {"optimiser.learning_rate": 0.001},
    "task": "pretraining/symile",
    "definition": {
        "name": "pretraining/symile",
        "modalities": ["cxr", "ecg"],
        "objective": {"name": "symile"},
    },
}
RESULT = Result(
    run="symile-0",
    cohort="synthetic",
    task="retrieval/cxr_given_ecg_labs",
    split="held_out",
    missingness="complete",
    metric="recall_at_1",
    value=0.7,
    low=0.65,
    high=0.75,
    interval="bca",
    chance=0.1,
    n_samples=400,
    n_subjects=300,
    hidden={"ecg": 0.0, "labs": 0.0},
    mask="0123",
    seed=0,
    digest="aaaa",
)
MEASURE = Measure(
    run="symile-0",
    cohort="synthetic",
    task="classification/deterioration",
    missingness="complete",
    part=None,
    measure="calibration/slope",
    value=0.9,
    low=0.7,
    high=None,
    n_samples=400,
    digest="bbbb",
)
WORTH = ModalityValue(
    run="symile-0",
    cohort="synthetic",
    task="classification/deterioration",
    metric="auroc",
    quantity="interaction",
    modalities="ecg+labs",
    value=0.05,
    low=0.01,
    high=0.09,
    n_samples=400,
    n_subjects=300,
    digest="bbbb",
)
RESULTS = [
    RESULT,
    replace(RESULT, missingness="without-ecg", value=0.2, low=0.15, high=0.25),
    replace(RESULT, task="classification/deterioration", metric="auroc", value=0.8, digest="bbbb"),
]


# Runs of `write_run` are written by hand, and changed by tests: the package's have checksums.
BY_HAND = pytest.mark.filterwarnings("ignore:.* without a checksum. written by version:UserWarning")


def write_run(folder: Path, *, epochs: int = 3, finished: bool = True, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record = RECORD | changes | ({"finished": "2026-03-01T10:05:00+00:00"} if finished else {})
    history = [
        {"epoch": e, "step": 12 * e, "loss": 3.0 / e, "tuning/recall_at_1": 0.2 * e, "seconds": 1.5}
        for e in range(1, epochs + 1)
    ]
    write_text(folder / "run.toml", tomli_w.dumps(record))
    write_text(folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))
    if finished:
        write_rows(folder / "results.jsonl", RESULTS)
    return folder


def snapshot_of(*rows: Result, metadata: Mapping[str, Any] | None = None) -> RunSnapshot:
    """What leaves the folder of a run with some results."""
    return RunSnapshot(
        name="symile-0",
        cohort="synthetic",
        metadata=metadata or {},
        history=[],
        results=list(rows),
        analysis=RunAnalysis(),
        evaluated_ms=0,
        files={},
    )


def runs_of(uri: str, experiment: str = "synthetic") -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def parent_of(uri: str, experiment: str = "synthetic", *, name: str | None = None) -> Any:
    """The only run that is not nested, or the one of a name."""
    runs = [run for run in runs_of(uri, experiment) if "mlflow.parentRunId" not in run.data.tags]
    (parent,) = [run for run in runs if name in (None, run.info.run_name)]
    return parent


def child_of(uri: str, task: str, experiment: str = "synthetic") -> Any:
    """The only nested run of a task."""
    (child,) = [run for run in runs_of(uri, experiment) if run.data.tags.get("task") == task]
    return child


def check_copy(uri: str, *, cohort: str, epochs: int, tables: int, name: str | None = None) -> None:
    """Check that a finished run is there whole: curves, every point once, and a table per task."""
    from mlflow.tracking import MlflowClient

    client, copy = MlflowClient(uri), parent_of(uri, cohort, name=name)
    assert copy.info.status == "FINISHED"
    for metric in copy.data.metrics:
        points = client.get_metric_history(copy.info.run_id, metric)
        assert len(points) == len({point.step for point in points}), metric
    losses = client.get_metric_history(copy.info.run_id, "loss")
    assert len(losses) == epochs, [point.step for point in losses]
    files = files_of(uri, copy.info.run_id)
    assert "run.toml" in files
    assert len([place for place in files if place.startswith("tables/")]) == tables


def files_of(uri: str, run_id: str) -> set[str]:
    """The places of all files of a run."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)

    def below(folder: str | None) -> Iterator[str]:
        for file in client.list_artifacts(run_id, folder):
            yield from below(file.path) if file.is_dir else (file.path,)

    return set(below(None))

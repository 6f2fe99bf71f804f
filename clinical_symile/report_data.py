"""What a benchmark's folder holds, as a report is given it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.candidates import NOBODY
from clinical_symile.catalog import Catalog
from clinical_symile.errors import DataError
from clinical_symile.gallery import Answers
from clinical_symile.names import CLASSIFICATION_METRICS, RETRIEVAL_METRICS, find
from clinical_symile.report import OPEN, ReportData
from clinical_symile.results import Comparison, Result, read_rows
from clinical_symile.run import Run
from clinical_symile.store import CohortStore, open_store
from clinical_symile.task import Classification, Retrieval, read_task

RECORD = "benchmark.json"
EXAMPLES = 3


def gather(out: Path, *, catalog: Catalog) -> ReportData:
    """All that a report says, read from the folder that `benchmark` wrote.

    Args:
        out: the folder.
        catalog: where the tasks are.

    Raises:
        DataError: the folder is not one of a finished benchmark.
    """
    if not (out / RECORD).is_file():
        raise DataError(
            f"{out}: has no {RECORD}; expected the folder of a finished benchmark. Run "
            "`clinical-symile benchmark` first."
        )
    record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    store = open_store(out / "store")
    runs = [Run(out / "runs" / name) for name in record["runs"]]
    tasks = {name: read_task(catalog.path("tasks", name), name=name) for name in record["tasks"]}
    trained = [run for run in runs if (run.path / "run.toml").is_file()]
    scored = {
        name: task for name, task in tasks.items() if isinstance(task, Retrieval | Classification)
    }
    return ReportData(
        results=read_rows(out / "results.jsonl", Result),
        comparisons=read_rows(out / "comparisons.jsonl", Comparison),
        unscored=[row for run in runs for row in run.unscored],
        notes=record["notes"],
        runs=[run.record for run in trained],
        histories={run.name: run.history for run in trained},
        cohort={**store.manifest, "description": record["description"]},
        tasks={name: _about(task) for name, task in scored.items()},
        gallery=_gallery(store, trained, scored),
        versions=record["versions"],
        elapsed_s=record["elapsed_s"],
    )


def _about(task: Retrieval | Classification) -> dict[str, Any]:
    names = RETRIEVAL_METRICS if isinstance(task, Retrieval) else CLASSIFICATION_METRICS
    metric = find(task.primary, names, what="metric")
    return {**task.model_dump(), "higher_is_better": metric.higher_is_better}


def _gallery(
    store: CohortStore,
    runs: Sequence[Run],
    tasks: Mapping[str, Retrieval | Classification],
) -> list[Answers]:
    """The first queries of the first retrieval task; none unless the people are made up."""
    retrieval = [task for task in tasks.values() if isinstance(task, Retrieval)]
    if store.manifest["access"] != OPEN or store.manifest["generator"] is None:
        return []
    if not retrieval or not runs or "complete" not in retrieval[0].missingness:
        return []
    task = retrieval[0]
    outcomes = {run.name: run.outcome(task.name, "complete") for run in runs}
    rows = np.asarray(next(iter(outcomes.values()))["row"][:EXAMPLES])
    return [
        Answers(
            task=task.name,
            query={name: _measurement(store, name, row) for name in task.query},
            answers={
                run: _answers(store, task, outcome.set_index("row").loc[row], row)
                for run, outcome in outcomes.items()
            },
        )
        for row in rows
    ]


def _answers(
    store: CohortStore, task: Retrieval, outcome: Mapping[Any, Any], row: int
) -> list[tuple[Any, bool]]:
    answers = [int(value) for name, value in outcome.items() if name.startswith("answer_")]
    return [
        (_measurement(store, task.target, answer), answer == row)
        for answer in answers
        if answer != NOBODY
    ]


def _measurement(store: CohortStore, modality: str, row: int) -> Any:
    """One stored measurement in the form that the gallery draws."""
    about = store.manifest["modalities"][modality]
    value = np.asarray(store.array(modality)[row])
    if about["unit"] == "uV":
        return value / 1000.0
    if value.ndim == 1:
        named = zip(about["parts"], value, strict=True)
        return [(name, float(number), "") for name, number in named if not np.isnan(number)]
    return value

"""Each objective's task trains, is loaded again and is evaluated, also with missing modalities."""

import math
from pathlib import Path

import pytest

from clinical_symile.api.runs import evaluate, train
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.registry.families import OBJECTIVES
from clinical_symile.tracking._mlflow_payload import run_tags
from clinical_symile.tracking._mlflow_results import task_tags
from clinical_symile.tracking.run import Run
from tests.helpers.synthetic import tiny, tiny_settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tasks" / "pretraining" / "objectives"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def test_each_objective_has_a_task(catalog: Catalog):
    used = {tiny(catalog, f"pretraining/objectives/{name}").objective.name for name in NAMES}
    used |= {tiny(catalog, f"pretraining/{name}").objective.name for name in ("symile", "clip")}
    assert used == set(OBJECTIVES)


def test_the_page_of_objectives_has_a_row_for_each():
    page = (ROOT / "docs" / "explanation" / "objectives.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip().strip("`") for line in page.splitlines() if "| `" in line}
    assert set(OBJECTIVES) <= rows


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_task_trains_and_is_evaluated(
    name: str, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = train(
        f"pretraining/objectives/{name}",
        synthetic_store,
        out=tmp_path / "runs",
        seed=0,
        overrides=[*tiny_settings(f"pretraining/objectives/{name}"), "epochs=1"],
        progress=False,
    )
    results = evaluate(
        run,
        synthetic_store,
        tasks=["retrieval/cxr_given_ecg_labs", "classification/deterioration"],
        missingness=["complete", "without-ecg"],
        progress=False,
    )
    frame = results.to_frame()
    found = frame[frame.metric.isin(["recall_at_1", "auroc"])]
    assert {"complete", "without-ecg"} <= set(found.missingness)
    assert all(math.isfinite(value) for value in found.value)


@pytest.mark.usefixtures("few_resamples")
def test_results_are_marked_where_training_read_the_label_that_judges_them(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    mlps = [f'encoders.{name}={{name="mlp", hidden=[8]}}' for name in ("cxr", "ecg", "labs")]
    run = train(
        "pretraining/objectives/supcon",
        synthetic_store,
        out=tmp_path / "runs",
        seed=0,
        overrides=[*mlps, "dim=8", "batch_size=16", "epochs=1"],
        progress=False,
    )
    results = evaluate(
        run,
        synthetic_store,
        tasks=["retrieval/cxr_given_ecg_labs", "classification/deterioration"],
        missingness=["complete"],
        progress=False,
    )
    marked = {(row.task, row.saw_label) for row in results.rows}
    assert marked == {
        ("retrieval/cxr_given_ecg_labs", False),
        ("classification/deterioration", True),
    }
    snapshot = Run(tmp_path / "runs" / run.name).snapshot()
    assert run_tags(snapshot)["saw_labels"] == "deterioration"
    tags = {
        task: task_tags(snapshot, task, parent="").get("saw_label") for task, _ in sorted(marked)
    }
    assert tags == {"retrieval/cxr_given_ecg_labs": None, "classification/deterioration": "true"}

"""Each objective's task trains, is loaded again and is evaluated, also with missing modalities."""

import math
from pathlib import Path

import pytest

from clinical_symile.api.runs import evaluate, train
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.registry.families import OBJECTIVES
from tests.helpers.synthetic import TINY, tiny

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
        overrides=[*TINY, "epochs=1"],
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

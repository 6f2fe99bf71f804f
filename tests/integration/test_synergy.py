"""A tiny run of `benchmarks/synergy.py`, through to its files."""

import csv
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinical_symile.data.store import open_store
from clinical_symile.tracking.results import Comparison
from tests.helpers.synthetic import TINY

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "synergy.py"
RUNS = ("symile-0", "clip-0", "oracle")
TASKS = ("cxr_given_ecg_labs", "ecg_given_cxr_labs", "labs_given_cxr_ecg")


@pytest.fixture
def synergy() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("benchmarks_synergy", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_a_difference_that_adjusting_unsettles_is_not_told_apart(synergy: Any) -> None:
    row = Comparison(
        run="symile-0",
        baseline="clip-0",
        cohort="synthetic",
        task="retrieval/cxr_given_ecg_labs",
        split="held_out",
        missingness="complete",
        metric="recall_at_1",
        difference=0.05,
        low=0.01,
        high=0.09,
        n_samples=100,
        n_subjects=50,
        digest="d",
        p_holm=0.2,
    )
    assert synergy.verdict(row)[0] == "not told apart"
    assert synergy.verdict(replace(row, p_holm=0.01))[0] == "symile better"
    assert (
        synergy.verdict(replace(row, p_holm=0.01, difference=-0.05, low=-0.09, high=-0.01))[0]
        == "clip better"
    )


@pytest.mark.slow
def test_every_run_and_the_oracle_answer_every_everyday_retrieval_task(
    synergy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    options = ["--synergies", "0.5", "--subjects", "60"]
    options += [f"--set={override}" for override in (*TINY, "epochs=1")]
    folders = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["synergy.py", *folders, *options])
    synergy.main()
    with (tmp_path / "out" / "synergy.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = [(row["run"], row["task"]) for row in rows]
    assert sorted(asked) == sorted((run, f"retrieval/{task}") for run in RUNS for task in TASKS)
    for row in rows:
        assert (row["synergy"], row["missingness"]) == ("0.5", "complete")
        assert row["metric"] == "recall_at_1"
        assert 0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1
    figure = (tmp_path / "out" / "synergy.svg").read_text(encoding="utf-8")
    assert figure.rstrip().endswith("</svg>")
    store = open_store(tmp_path / "work" / "synergy-0.5" / "store")
    assert store.manifest["generator"]["parameters"]["synergy"] == 0.5

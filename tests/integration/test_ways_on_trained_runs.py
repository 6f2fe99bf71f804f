"""Ways that adapt encoders or read tokens: trained and evaluated from the command line."""

import sys
from pathlib import Path

import pytest

from clinical_symile.cli.main import main
from clinical_symile.data.store import CohortStore
from clinical_symile.missingness.patterns import every_pattern
from clinical_symile.tracking.run import Run
from tests.helpers.synthetic import TINY

OBJECTIVES = {
    "symile": "pretraining/symile",
    "gated_symile": "pretraining/objectives/gated_symile",
    "clip": "pretraining/clip",
    "outcome": "pretraining/objectives/outcome_gated",
}
WAYS = {"adapted": True, "adapted_lora": True, "projected": False, "proxies": True}
SMALL = [part for override in (*TINY, "epochs=1") for part in ("--set", override)]
TASKS = ("retrieval/cxr_given_ecg_labs", "classification/deterioration")


def command(*arguments: str) -> None:
    """Run a command that must succeed."""
    with pytest.raises(SystemExit) as end:
        sys.exit(main([*arguments]))
    assert not end.value.code, arguments


def trained(store: CohortStore, out: Path, name: str, task: str, *overrides: str) -> Run:
    also = [part for override in overrides for part in ("--set", override)]
    where = ["--store", str(store.path), "--out", str(out), "--name", name]
    command("train", task, *where, *SMALL, *also)
    return Run(out / name)


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples", "no_mlflow_copies")
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("way", WAYS)
def test_a_way_is_trained_and_evaluated_under_every_subset(
    way: str,
    objective: str,
    synthetic_store: CohortStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    task, overrides = OBJECTIVES[objective], [f"missing_modality={way}"]
    if WAYS[way]:
        first = trained(synthetic_store, tmp_path, "first", task)
        overrides.append(f"start={first.path}")
    run = trained(synthetic_store, tmp_path, way, task, *overrides)
    subsets = every_pattern(("cxr", "ecg", "labs"))
    store = ["--store", str(synthetic_store.path)]
    capsys.readouterr()
    for name in TASKS:
        patterns = subsets if "classification" in name else every_pattern(("ecg", "labs"))
        asked = ["--tasks", name, "--missingness", ",".join(patterns)]
        command("evaluate", str(run.path), *store, *asked)
    said = capsys.readouterr().err
    assert ("encoded once more for each set" in said) == way.startswith("adapted")
    found = {(row.task, row.missingness) for row in run.results}
    refused = {(row.task, row.missingness): row.code for row in run.unscored}
    expected = {("classification/deterioration", pattern) for pattern in subsets}
    assert expected <= found
    retrieval = {(TASKS[0], pattern) for pattern in every_pattern(("ecg", "labs"))}
    if objective == "outcome":
        assert {refused[key] for key in retrieval} == {"CS-S006"}
    else:
        assert retrieval <= found

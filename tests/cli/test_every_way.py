"""Each way with missing modalities and each fusion trains and is evaluated by the command line."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import clinical_symile as cs
from clinical_symile.data.store import CohortStore
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.registry.families import FUSIONS, MISSING_MODALITY_METHODS
from tests.helpers.synthetic import TINY

RETRIEVAL = "retrieval/cxr_given_ecg_labs"
BY_HEAD = "classification/more/deterioration_by_head"


def evaluated(
    run: Callable[..., tuple[int, str, str]],
    store: CohortStore,
    out: Path,
    pretraining: str,
    task: str,
    *overrides: str,
    settings: Sequence[str] = TINY,
    way: str = "drop",
) -> dict[str, float]:
    """Train a task, evaluate it with and without the ECG; return a metric by pattern."""
    command = ["train", pretraining, "--store", store.path, "--out", out, "--accelerator", "cpu"]
    chosen = [*settings, "epochs=1", *overrides]
    if missing_modality_method(way).needs_start:
        start = [word for one in (*chosen, "missing_modality=drop") for word in ("--set", one)]
        status, _, said = run(*command, "--name", "start", *start)
        assert status == 0, said
        chosen.append(f"start={out / 'start'}")
    words = [word for one in chosen for word in ("--set", one)]
    status, _, said = run(*command, "--name", "run", *words)
    assert status == 0, said
    command = ["evaluate", out / "run", "--store", store.path, "--tasks", task]
    status, _, said = run(*command, "--missingness", "complete,without-ecg")
    assert status == 0, said
    frame = cs.open_results(out / "run").to_frame()
    metric = "auroc" if task == BY_HEAD else "mean_reciprocal_rank"
    kept = frame[(frame.metric == metric) & frame.missingness.isin(["complete", "without-ecg"])]
    return dict(zip(kept.missingness, kept.value, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(MISSING_MODALITY_METHODS))
def test_each_way_trains_and_is_evaluated(
    run: Callable[..., tuple[int, str, str]], synthetic_store: CohortStore, tmp_path: Path, way: str
):
    name = "masked_cube" if way == "drop" else way
    task = f"pretraining/missingness/{name}"
    found = evaluated(run, synthetic_store, tmp_path, task, RETRIEVAL, way=way)
    assert found.keys() == {"complete", "without-ecg"}
    assert all(0 < value <= 1 for value in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted({*MISSING_MODALITY_METHODS} - {"subsets"}))
def test_each_way_trains_a_fusion_that_predicts(
    run: Callable[..., tuple[int, str, str]], synthetic_store: CohortStore, tmp_path: Path, way: str
):
    task, word = "pretraining/objectives/outcome_gated", f"missing_modality={way}"
    found = evaluated(run, synthetic_store, tmp_path, task, BY_HEAD, word, way=way)
    assert found.keys() == {"complete", "without-ecg"}
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_each_fusion_trains_and_predicts(
    run: Callable[..., tuple[int, str, str]],
    synthetic_store: CohortStore,
    tmp_path: Path,
    fusion: str,
):
    task, word = "pretraining/objectives/outcome", f'objective.fusion={{name="{fusion}"}}'
    found = evaluated(run, synthetic_store, tmp_path, task, BY_HEAD, word)
    assert found.keys() == {"complete", "without-ecg"}
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.slow
def test_labs_as_a_set_train_and_are_evaluated(
    run: Callable[..., tuple[int, str, str]], synthetic_store: CohortStore, tmp_path: Path
):
    labs = 'encoders.labs={name="sets", width=8, heads=2}'
    settings = [setting for setting in TINY if "labs" not in setting]
    found = evaluated(
        run, synthetic_store, tmp_path, "pretraining/clip", RETRIEVAL, labs, settings=settings
    )
    assert found.keys() == {"complete", "without-ecg"}

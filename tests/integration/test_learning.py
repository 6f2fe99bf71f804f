"""End to end: what only three modalities together tell, Symile learns and CLIP cannot."""

from pathlib import Path
from re import fullmatch

import numpy as np
import pytest
import torch
from torch import Tensor

from clinical_symile.benchmarking.comparisons import compare_runs
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.references import evaluate_oracle
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.metrics.retrieval import RECALL_AT_1, expected_ranks
from clinical_symile.models.encoders.tabular import Mlp
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.symile import Symile
from clinical_symile.stats.bootstrap import bootstrap
from clinical_symile.tracking.run import Run
from clinical_symile.training.train import train
from tests.helpers.synthetic import quiet

MODALITIES = ("cxr", "ecg", "labs")
BITS = 4


def _batch(rows: int, generator: torch.Generator) -> Batch:
    """Bits of which labs = XOR(cxr, ecg), as vectors of -1 and 1."""
    cxr, ecg = torch.randint(2, (2, rows, BITS), generator=generator)
    bits = {"cxr": cxr, "ecg": ecg, "labs": cxr ^ ecg}
    return Batch(
        inputs={name: 2.0 * value - 1 for name, value in bits.items()},
        available=torch.ones(rows, 3, dtype=torch.bool),
        modalities=MODALITIES,
        rows=torch.arange(rows),
    )


def _learned(objective: Objective, generator: torch.Generator) -> MultimodalEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = {name: Mlp((BITS,), 16, hidden=[64]) for name in MODALITIES}
        model = MultimodalEncoder(encoders, dim=16, norm="l2", missing_modality="drop")
    parameters = [*model.parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(150):
        loss = objective(model(_batch(64, generator)), generator=generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def _every_labs(model: MultimodalEncoder) -> Tensor:
    """The embeddings of all 2^BITS panels: candidates without duplicates."""
    codes = torch.arange(2**BITS)[:, None] >> torch.arange(BITS) & 1
    return model.norms["labs"](model.encoders["labs"](2.0 * codes - 1))


@pytest.mark.slow
@pytest.mark.parametrize("objective", [Symile(temperature=0.1), Clip()])
def test_symile_finds_labs_that_are_the_xor_of_the_others_and_clip_guesses(
    objective: Objective, generator: torch.Generator, rng: np.random.Generator
) -> None:
    model = _learned(objective, generator)
    batch = _batch(500, generator)
    with torch.inference_mode():
        query: Embeddings = model(batch)
        scores = objective.score(query, _every_labs(model), target="labs").numpy()
    right = ((batch.inputs["labs"] > 0) * 2 ** torch.arange(BITS)).sum(dim=1).numpy()
    recall = bootstrap(RECALL_AT_1.compute, expected_ranks(scores, right), np.arange(500), rng=rng)
    if isinstance(objective, Symile):
        assert recall.low > 0.95
    else:
        assert recall.low <= 1 / 2**BITS <= recall.high


@pytest.fixture(scope="module")
def hospital(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> CohortStore:
    folder = tmp_path_factory.mktemp("learning")
    return prepare_cohort(
        catalog, "synthetic", source=folder / "source", out=folder / "store", bar=quiet
    )


def _trained(catalog: Catalog, name: str, store: CohortStore, folder: Path, *overrides: str) -> Run:
    task = read_task(catalog, name, overrides=overrides)
    assert isinstance(task, Pretraining)
    return train(task, store=store, run=Run(folder), seed=0, accelerator="cpu")


def _retrievals(catalog: Catalog) -> list[Retrieval]:
    """All directions, asked with nothing missing."""
    names = [name for name in catalog.tasks if fullmatch(r"retrieval/\w+", name)]
    tasks = [read_task(catalog, name, overrides=['missingness=["complete"]']) for name in names]
    return [task for task in tasks if isinstance(task, Retrieval)]


@pytest.mark.slow
def test_on_the_synthetic_hospital_symile_nears_the_oracle_and_clip_stays_below(
    catalog: Catalog, hospital: CohortStore, tmp_path: Path
) -> None:
    tasks = [t for t in _retrievals(catalog) if t.name == "retrieval/cxr_given_ecg_labs"]
    runs = [
        _trained(catalog, f"pretraining/{name}", hospital, tmp_path / f"{name}-0")
        for name in ("symile", "clip")
    ]
    for run in runs:
        evaluate_run(run, tasks, store=hospital)
    oracle = evaluate_oracle(tasks, store=hospital, run=Run(tmp_path / "oracle"))
    assert oracle is not None
    symile, best = [
        next(row.value for row in run.results if row.metric == "recall_at_1")
        for run in (runs[0], oracle)
    ]
    assert symile >= 0.85 * best
    (comparison,) = compare_runs(runs, tasks, store=hospital)
    assert comparison.low > 0  # pyright: ignore[reportOptionalOperand]


@pytest.mark.slow
def test_shuffled_pairs_teach_nothing(
    catalog: Catalog, hospital: CohortStore, tmp_path: Path
) -> None:
    tasks = _retrievals(catalog)
    assert len(tasks) == 3
    run = _trained(
        catalog, "pretraining/symile", hospital, tmp_path / "shuffled-0", "pairs=shuffled"
    )
    evaluate_run(run, tasks, store=hospital)
    rows = [row for row in run.results if row.metric == "recall_at_1"]
    assert len(rows) == 3
    for row in rows:
        # Intervals are over people: they do not hold the luck of training, which is about a point.
        # Pairs alone, which tell the redundant factor, would give eight more than chance.
        assert row.value == pytest.approx(row.chance, abs=0.05), row

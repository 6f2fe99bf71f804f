"""Neither training nor evaluation reads what a pattern hides within a modality."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.parts import hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.base import Encoders
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task

FAST, OTHERS = ("ecg-leads-mcar-50",), ("labs-mcar-50", "ecg-segment-3s", "cxr-region-25")
OTHERS += ("cxr-marker-shift-deterioration-90",)


def with_other_numbers(store: CohortStore, name: str) -> CohortStore:
    """The store with other numbers wherever a pattern hides some; they count as recorded too."""
    pattern = parse_pattern(name)
    stored = np.asarray(store.array(pattern.within))
    withheld = hide_parts(pattern, store, seed=0).withheld[pattern.within]
    hidden = withheld.of(np.arange(len(stored)), stored.shape[1:])
    changed = np.where(hidden, stored // 2 + 7, stored).astype(stored.dtype)
    assert not np.array_equal(changed, stored, equal_nan=stored.dtype.kind == "f")
    return replace(store, converted={pattern.within: changed})


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAST, *OTHERS])
def test_training_ends_with_the_same_weights(
    name: str, catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task = mlp_task(catalog, f"missingness={name}", "epochs=1")
    stores = (synthetic_store, with_other_numbers(synthetic_store, name))
    first, second = (
        load_file(train(task, store=store, run=Run(tmp_path / str(number)), seed=0).weights)
        for number, store in enumerate(stores)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_results_are_the_same(
    name: str, catalog: Catalog, synthetic_store: CohortStore, few_resamples: None
) -> None:
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)
    learner = build_learner(mlp_task(catalog), synthetic_store, seed=0).eval()
    rows = np.arange(len(synthetic_store.samples))
    found = []
    for store in (synthetic_store, with_other_numbers(synthetic_store, name)):
        embeddings, encoders = embed_rows(learner.model, store, rows), Encoders(learner, store)
        predictor = EmbeddingPredictor(embeddings, learner.objective, store, encoders)
        found.append(
            evaluate(
                task, predictor, store=store, run="r", seed=0, missingness=["complete", name]
            ).outcomes
        )
    first, second = (one[name]["probability"].to_numpy() for one in found)
    np.testing.assert_array_equal(first, second)
    assert not found[0]["complete"]["probability"].equals(found[1]["complete"]["probability"])

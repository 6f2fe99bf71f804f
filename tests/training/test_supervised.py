import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.models.multimodal import build_model
from clinical_symile.training.supervised import (
    Classifier,
    LabelledRows,
    fit_classifier,
    predict_log_odds,
)
from tests.helpers.synthetic import mlp_task

MODALITIES = ("ecg", "labs")


def _labelled(store: CohortStore, split: str) -> LabelledRows:
    rows = store.complete_rows(split, store.modalities)
    label = store.outcome("deterioration")[rows]
    known = ~np.isnan(label)
    available = np.ones((int(known.sum()), 2), dtype=bool)
    available[::3, 0] = False
    return LabelledRows(rows[known], available, label[known].astype(int))


def _fitted(catalog: Catalog, store: CohortStore, *, rate: float = 0.01, seed: int = 0):
    task = mlp_task(catalog, f"optimiser.learning_rate={rate}")
    classifier = Classifier(build_model(task, store, seed=0), MODALITIES)
    return fit_classifier(
        classifier,
        store,
        _labelled(store, "train"),
        _labelled(store, "tuning"),
        optimiser=task.optimiser,
        epochs=2,
        batch_size=8,
        seed=seed,
        keep_statistics=False,
    )


def test_the_same_seed_gives_the_same_classifier(catalog: Catalog, synthetic_store: CohortStore):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, third = (
        _fitted(catalog, synthetic_store, seed=seed).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_predictions_depend_on_available_modalities_alone(
    catalog: Catalog, synthetic_store: CohortStore
):
    classifier, samples = (
        _fitted(catalog, synthetic_store),
        _labelled(synthetic_store, "held_out"),
    )
    some = predict_log_odds(classifier, synthetic_store, samples.rows, samples.available)
    one = predict_log_odds(classifier, synthetic_store, samples.rows[:1], samples.available[:1])
    assert one[0] == pytest.approx(some[0], rel=1e-5)
    labs_only = np.tile([False, True], (len(samples.rows), 1))
    hidden = predict_log_odds(classifier, synthetic_store, samples.rows, labs_only)
    assert hidden[::3] == pytest.approx(some[::3])
    assert not np.allclose(hidden[1::3], some[1::3])


def test_training_that_diverges_cannot_score(catalog: Catalog, synthetic_store: CohortStore):
    with pytest.raises(CannotScore, match=r"diverged in epoch 1\. Lower learning_rate"):
        _fitted(catalog, synthetic_store, rate=1e30)

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import open_loader, shuffled_batches
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.symile import Symile
from clinical_symile.training.learner import build_learner
from clinical_symile.training.model_selection import (
    TC_ESTIMATE,
    tc_estimate,
    tuning_metrics,
)
from tests.helpers.synthetic import tiny

SAMPLES, DIM = 11, 4


@pytest.fixture
def embeddings(generator: torch.Generator) -> Embeddings:
    z = torch.randn(SAMPLES, 3, DIM, generator=generator, dtype=torch.float64)
    present = torch.ones(SAMPLES, 3, dtype=torch.bool)
    rows = torch.arange(SAMPLES)
    return Embeddings(torch.nn.functional.normalize(z, dim=2), present, ("a", "b", "c"), rows)


@pytest.mark.parametrize("negatives", ["all", "shuffled"])
@pytest.mark.parametrize("batch_size", [2, 5, 11, 100])
def test_who_maps_all_to_one_point_is_estimated_to_know_nothing(
    negatives: str, batch_size: int, embeddings: Embeddings
) -> None:
    # Then every candidate is as likely as any other, and the loss is log K with the right K.
    constant = replace(embeddings, z=torch.full_like(embeddings.z, 0.5))
    found = tc_estimate(Symile(negatives=negatives), constant, batch_size=batch_size, seed=0)
    assert found == pytest.approx(0.0, abs=1e-6)


def test_the_estimate_is_log_k_minus_the_loss_in_loops(embeddings: Embeddings) -> None:
    objective = Symile(temperature=0.1)
    z, estimates = embeddings.z.numpy(), []
    for batch in shuffled_batches(SAMPLES, batch_size=4, rng=np.random.default_rng(3)):
        logits = {
            combination: 10
            * (z[combination[0], 0] * z[combination[1], 1] * z[combination[2], 2]).sum()
            for combination in product(batch, repeat=3)
        }
        losses = [
            math.log(sum(math.exp(v) for c, v in logits.items() if c[anchor] == i))
            - logits[i, i, i]
            for anchor in range(3)
            for i in batch
        ]
        estimates.append(math.log(4**2) - np.mean(losses))
    assert len(estimates) == 2
    found = tc_estimate(objective, embeddings, batch_size=4, seed=3)
    assert found == pytest.approx(np.mean(estimates), rel=1e-6)


@pytest.mark.parametrize(
    ("negatives", "most"), [("all", 2 * math.log(11)), ("shuffled", math.log(11))]
)
def test_no_estimate_is_above_log_k(negatives: str, most: float) -> None:
    # Everybody is known with certainty, but for companions that a shuffle happens to join again.
    z = torch.eye(SAMPLES)[:, None].expand(SAMPLES, 3, SAMPLES)
    present = torch.ones(SAMPLES, 3, dtype=torch.bool)
    known = Embeddings(z, present, ("a", "b", "c"), torch.arange(SAMPLES))
    objective = Symile(temperature=0.001, negatives=negatives)
    found = tc_estimate(objective, known, batch_size=SAMPLES, seed=0)
    assert found is not None
    assert most - 0.1 < found <= most + 1e-5


def test_a_loss_of_pairs_gives_no_estimate(embeddings: Embeddings) -> None:
    assert tc_estimate(Clip(), embeddings, batch_size=4, seed=0) is None


def test_weights_that_are_not_finite_are_told_as_a_training_that_diverged(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = tiny(catalog, "pretraining/symile")
    learner = build_learner(task, synthetic_store, seed=0)
    loader = open_loader(synthetic_store, task.modalities, device=torch.device("cpu"))
    with torch.no_grad():
        for weights in learner.model.parameters():
            weights.fill_(math.nan)
    with pytest.raises(DataError, match=r"training diverged: .* not finite; .*CS-R008"):
        tuning_metrics(learner, synthetic_store, task, seed=0, loader=loader)


def test_tuning_samples_with_all_modalities_are_measured_alike_each_time(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = tiny(catalog, "pretraining/symile", "objective.negatives=shuffled", "batch_size=4")
    learner = build_learner(task, synthetic_store, seed=0)
    loader = open_loader(synthetic_store, task.modalities, device=torch.device("cpu"))
    first, again, other = (
        tuning_metrics(learner, synthetic_store, task, seed=seed, loader=loader)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert {"tuning/mean_reciprocal_rank", TC_ESTIMATE} <= set(first)
    assert first[TC_ESTIMATE] != other[TC_ESTIMATE]
    assert first["tuning/mean_reciprocal_rank"] == other["tuning/mean_reciprocal_rank"]
    rows = synthetic_store.complete_rows("tuning", task.modalities)
    assert synthetic_store.present[rows].all()
    assert learner.training

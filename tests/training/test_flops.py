import logging

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.training.flops import encoder_flops, objective_flops_warning, warn_about_flops
from clinical_symile.training.learner import build_learner

MLPS = tuple(f'encoders.{name}={{name="mlp", hidden=[8]}}' for name in ("cxr", "ecg", "labs"))


def _task(catalog: Catalog, *overrides: str) -> Pretraining:
    name = "pretraining/symile"
    task = read_task(catalog, name, overrides=[*MLPS, "dim=4", *overrides])
    assert isinstance(task, Pretraining)
    return task


@pytest.mark.parametrize("method", ["drop", "learned"])
def test_operations_of_encoders_are_those_of_their_layers(
    method: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = _task(catalog, "batch_size=10", f"missing_modality={method}")
    learner = build_learner(task, synthetic_store, seed=0)
    weights = [
        parameter for name, parameter in learner.model.named_parameters() if "encoders" in name
    ]
    weights = [weight for weight in weights if weight.ndim == 2]
    # A multiplication and an addition for each weight and sample; once forward, twice backward.
    expected = 3 * 10 * sum(2 * weight.numel() for weight in weights)
    assert encoder_flops(learner, synthetic_store, task) == expected
    assert learner.model.training


def test_an_objective_that_costs_more_than_the_encoders_is_told(
    catalog: Catalog, synthetic_store: CohortStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        task = _task(catalog, "batch_size=4")
        warn_about_flops(build_learner(task, synthetic_store, seed=0), synthetic_store, task)
        assert not caplog.messages
        task = _task(catalog, "batch_size=4096")
        warn_about_flops(build_learner(task, synthetic_store, seed=0), synthetic_store, task)
    (message,) = caplog.messages
    # 8 · 4096³ · 4
    assert "the objective takes 2.2e+12 floating-point operations" in message
    assert 'set objective.negatives to "cyclic-8"' in message
    assert objective_flops_warning(1.0, 1.0, task) is None
    assert objective_flops_warning(1.1, 1.0, task)

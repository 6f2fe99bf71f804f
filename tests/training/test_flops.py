import logging
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.training.flops import (
    FlopCounter,
    count_encoding,
    encoder_flops,
    objective_flops_warning,
    warn_about_flops,
)
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
    encoding = count_encoding(learner, synthetic_store, task)
    weights = [
        parameter for name, parameter in learner.model.named_parameters() if "encoders" in name
    ]
    weights = [weight for weight in weights if weight.ndim == 2]
    # A multiplication and an addition for each weight and sample; once forward, twice backward.
    expected = 3 * 10 * sum(2 * weight.numel() for weight in weights)
    assert encoder_flops(encoding, task) == expected
    assert all(module.training for module in learner.model.modules())


@pytest.mark.parametrize("method", ["drop", "learned"])
def test_parameters_that_embedding_reads_leave_out_those_that_it_does_not(
    method: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = _task(catalog, f"missing_modality={method}")
    learner = build_learner(task, synthetic_store, seed=0)
    learner.model.encoders["cxr"].unread = nn.Linear(3, 3)
    every = sum(parameter.numel() for parameter in learner.model.parameters())
    assert count_encoding(learner, synthetic_store, task).parameters == every - 12


def test_the_counter_counts_what_that_of_pytorch_counts_and_changes_no_number() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 5), nn.GELU())
    )
    images = torch.randn(4, 1, 8, 8)

    def gradients(counter: FlopCounter | FlopCounterMode | None) -> list[torch.Tensor]:
        network.zero_grad()
        with nullcontext() if counter is None else counter:
            network(images).square().sum().backward()
        return [one.grad.clone() for one in network.parameters() if one.grad is not None]

    ours, theirs = FlopCounter(), FlopCounterMode(display=False)
    found, plain = gradients(ours), gradients(None)
    gradients(theirs)
    assert all(map(torch.equal, found, plain))
    assert ours.total == theirs.get_total_flops()
    # 36 places of 9 weights and 3 channels, and 108 weights to 5: forward, and backward to weights.
    convolution, layer = 2 * 4 * 36 * 9 * 3, 2 * 4 * 108 * 5
    assert ours.total == 2 * convolution + 3 * layer


def test_an_objective_that_costs_more_than_the_encoders_is_told(
    catalog: Catalog, synthetic_store: CohortStore, caplog: pytest.LogCaptureFixture
) -> None:
    def warn(task: Pretraining) -> None:
        learner = build_learner(task, synthetic_store, seed=0)
        warn_about_flops(learner, count_encoding(learner, synthetic_store, task), task)

    with caplog.at_level(logging.WARNING):
        task = _task(catalog, "batch_size=4")
        warn(task)
        assert not caplog.messages
        task = _task(catalog, "batch_size=4096")
        warn(task)
    (message,) = caplog.messages
    # 8 · 4096³ · 4
    assert "the objective takes 2.2e+12 floating-point operations" in message
    assert 'set objective.negatives to "cyclic-8"' in message
    assert objective_flops_warning(1.0, 1.0, task) is None
    assert objective_flops_warning(1.1, 1.0, task)

"""Proxy tokens: when they are used, what trains them, and how few weights that takes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.loader import load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders.image import resnet50
from clinical_symile.models.encoders.waveform import ResNet1d
from clinical_symile.models.missing_modality.proxies import ProxyTokens
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner, load_learner
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task

MODALITIES, DIM = ("cxr", "ecg", "labs"), 4


def test_proxies_are_unused_when_all_is_there(catalog: Catalog, synthetic_store: CohortStore):
    rows = synthetic_store.complete_rows("held_out", MODALITIES)[:5]
    batch = load_batch(synthetic_store, rows, modalities=MODALITIES)
    learner = build_learner(
        mlp_task(catalog, "missing_modality=proxies"), synthetic_store, seed=0
    ).eval()
    plain = build_learner(
        mlp_task(catalog, "missing_modality=drop"), synthetic_store, seed=0
    ).eval()
    handler = learner.model.missing_modality
    assert isinstance(handler, ProxyTokens)
    with torch.no_grad():
        for parameter in (handler.queries, handler.own_values, *handler.outputs.parameters()):
            parameter.fill_(torch.nan)
        found, counts = learner.model(batch).with_substitutes()
        assert counts.all()
        torch.testing.assert_close(found, plain.model(batch).z)


def test_a_missing_vector_is_the_mean_of_the_proxies_of_what_is_there(generator: torch.Generator):
    handler = ProxyTokens(3, DIM)
    z = torch.randn(4, 3, DIM + handler.summary_width, generator=generator)
    proxies = z[..., DIM:].unflatten(2, (3, DIM))  # of a sample, the read and the missing one
    available = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)
    found = handler.fill(z, available)
    torch.testing.assert_close(found[0, 2], (proxies[0, 0, 2] + proxies[0, 1, 2]) / 2)
    torch.testing.assert_close(found[0, 0], proxies[0, 1, 0])
    torch.testing.assert_close(found[1, 0], proxies[1, 2, 0])
    torch.testing.assert_close(found[2, 2], proxies[2, 1, 2])
    torch.testing.assert_close(found[3], handler.nothing_substitute)


def test_alignment_is_the_relative_squared_distance_and_leaves_the_target(
    generator: torch.Generator,
):
    handler = ProxyTokens(2, DIM)
    z = torch.randn(6, 2, DIM + handler.summary_width, generator=generator).requires_grad_()
    available = torch.tensor([[True, True]] * 5 + [[True, False]])
    found = handler.extra_losses(z, available, [nn.Identity()] * 2)["alignment"]
    losses = []
    for read, missing in ((0, 1), (1, 0)):
        target = z[:5, missing, :DIM]
        proxy = z[:5, read, DIM:].unflatten(1, (2, DIM))[:, missing]
        errors = [((p - t) ** 2).sum().item() for p, t in zip(proxy, target, strict=True)]
        lengths = [(t**2).sum().item() for t in target]
        losses.append(sum(errors) / sum(lengths))
    assert found.item() == pytest.approx(0.2 * sum(losses) / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(found, z)
    assert (gradient[..., :DIM] == 0).all()
    assert (gradient[:5, :, DIM:] != 0).any()


def test_it_trains_less_than_five_percent_of_a_resnet_50_with_attention():
    width = 128
    with torch.device("meta"):
        encoder: nn.Module = resnet50((1, 320, 320), width)
        handler: Any = ProxyTokens(2, width)
        handler.connect({"cxr": encoder, "ecg": ResNet1d((12, 5000), width)})
    parts = [
        handler.readers[0],
        handler.updates[0],
        *handler.outputs,
        nn.ParameterList([handler.queries, handler.own_keys, handler.own_values]),
        nn.ParameterList([handler.nothing_substitute]),
    ]
    trained = sum(parameter.numel() for part in parts for parameter in part.parameters())
    own = sum(parameter.numel() for parameter in encoder.parameters())
    assert 0 < trained / own < 0.05
    assert 100 * trained / own == pytest.approx(1.0, abs=0.05)


def test_training_keeps_the_encoders_of_the_run_that_it_starts_from(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    first = mlp_task(catalog, "epochs=1")
    begun = train(
        first, store=synthetic_store, run=Run(tmp_path / "first"), seed=0, accelerator="cpu"
    )
    task = mlp_task(catalog, "missing_modality=proxies", f"start={begun.path}", "epochs=1")
    run = train(task, store=synthetic_store, run=Run(tmp_path / "b"), seed=0, accelerator="cpu")
    before = load_learner(begun, first, synthetic_store).model.state_dict()
    after = load_learner(run, task, synthetic_store).model.state_dict()
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    assert any(value.any() for name, value in after.items() if name.endswith(".b"))
    assert "loss/missing_alignment" in run.history[0]


def test_an_adapted_encoder_and_a_task_without_a_run_are_refused(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task = mlp_task(catalog, "missing_modality=proxies", 'encoders.cxr.adapter="lora"')
    with pytest.raises(DefinitionError, match=r"encoders\.cxr is frozen or has an adapter"):
        build_learner(task, synthetic_store, seed=0)
    task = mlp_task(catalog, "missing_modality=proxies")
    with pytest.raises(DefinitionError, match="the task names no run that they are from"):
        train(task, store=synthetic_store, run=Run(tmp_path / "a"), seed=0, accelerator="cpu")

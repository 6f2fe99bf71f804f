"""Projected tokens: attention over what is there, and one model for every subset."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.loader import Batch, load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.models import multimodal
from clinical_symile.models.encoders.tabular import Mlp
from clinical_symile.models.missing_modality.base import MissingModalityMethod, TokenHandler
from clinical_symile.models.missing_modality.projected import ProjectedTokens
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.training.learner import build_learner
from tests.helpers.synthetic import mlp_task, tiny

MODALITIES = ("cxr", "ecg", "labs")
SETS = torch.tensor([*product((False, True), repeat=3)][1:])


LABS_AS_A_SET = 'encoders.labs={name="sets", width=8, heads=2}'


@pytest.fixture(
    params=[
        ("projected",),
        ("proxies",),
        ("projected", LABS_AS_A_SET),
        ("proxies", LABS_AS_A_SET),
    ],
    ids=["projected", "proxies", "projected-set", "proxies-set"],
)
def model(
    request: pytest.FixtureRequest, catalog: Catalog, synthetic_store: CohortStore
) -> MultimodalEncoder:
    way, *labs = request.param
    task = mlp_task(catalog, f"missing_modality={way}", *labs)
    return build_learner(task, synthetic_store, seed=0).model.eval()


def test_one_model_embeds_every_subset_as_if_the_rest_had_never_been_there(
    model: MultimodalEncoder, synthetic_store: CohortStore
):
    rows = synthetic_store.complete_rows("held_out", MODALITIES)[:7]
    every = embed_rows(model, synthetic_store, rows)
    hidden = every.with_visible(SETS)
    batch = load_batch(synthetic_store, rows, modalities=MODALITIES)
    inputs = {name: values.clone() for name, values in batch.inputs.items()}
    for column, name in enumerate(MODALITIES):
        inputs[name][~SETS[:, column]] = torch.nan
    with torch.no_grad():
        never = model(Batch(inputs, SETS, MODALITIES, batch.rows))
        found, expected = hidden.with_substitutes()[0], never.with_substitutes()[0]
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.norm(dim=2), torch.ones(7, 3))
    vectors = found[~SETS]
    assert (torch.pdist(vectors) > 1e-6).all()  # another one for each sample and set


def test_an_analyte_that_is_not_measured_changes_nothing_that_is_made_of_tokens(
    catalog: Catalog, synthetic_store: CohortStore
):
    rows = synthetic_store.complete_rows("held_out", MODALITIES)[:7]
    batch = load_batch(synthetic_store, rows, modalities=MODALITIES)
    labs = batch.inputs["labs"]
    assert (labs[:, 1] == 0).any()
    other = torch.stack([labs[:, 0].masked_fill(labs[:, 1] == 0, torch.nan), labs[:, 1]], dim=1)
    changed = Batch({**batch.inputs, "labs": other}, batch.available, MODALITIES, batch.rows)
    for way in ("projected", "proxies"):
        task = mlp_task(catalog, f"missing_modality={way}", LABS_AS_A_SET)
        model = build_learner(task, synthetic_store, seed=0).model.eval()
        with torch.no_grad():
            assert torch.equal(model(changed).readable, model(batch).readable)


class _FillsUncalled(TokenHandler):
    """A handler of version 0.2.5, whose `fill` nothing would call."""

    def fill(self, z: Tensor, available: Tensor) -> Tensor:
        return z


def test_a_fill_that_nothing_would_call_is_refused(monkeypatch: pytest.MonkeyPatch):
    method = MissingModalityMethod(handler=_FillsUncalled)
    monkeypatch.setattr(multimodal, "missing_modality_method", lambda name: method)
    encoders = {name: Mlp((2, 3), 4, hidden=[4]) for name in MODALITIES}
    with pytest.raises(ValueError, match="_FillsUncalled has a `fill` and is no FillingHandler"):
        MultimodalEncoder(encoders, dim=4, norm="l2", missing_modality="mine")


def test_tokens_are_projected_from_every_set_of_others_and_the_target_has_no_gradient(
    generator: torch.Generator,
):
    handler = ProjectedTokens(3, 4)
    with torch.no_grad():  # the second modality is projected from nothing but its bias
        handler.projections[1][-1].weight.zero_()  # pyright: ignore[reportIndexIssue]
    z = torch.randn(5, 3, 4 + handler.summary_width, generator=generator).requires_grad_()
    available = torch.tensor([True, True, False]).expand(5, 3)
    norms = [nn.Identity()] * 3
    loss = handler.extra_losses(z, available, norms)["projection"]
    expected = []
    for column, other in ((0, 1), (1, 0)):
        tokens = [z[:, c, 4:-4].unflatten(1, (4, 64)) for c in (column, other)]
        target = functional.layer_norm(tokens[0], (64,)).flatten(1)
        expected.append((handler.projections[column](tokens[1]) - target).square().mean())
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    (gradient,) = torch.autograd.grad(loss, z)
    assert (gradient[:, 0] == 0).all()  # it is a target alone
    assert (gradient[:, 1, 4:-4] != 0).any()
    alone = torch.tensor([True, False, False]).expand(5, 3)
    assert handler.extra_losses(z, alone, norms) == {}


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("projected", "encoders.ecg is a FrozenEncoder, which gives no tokens"),
        ("proxies", "encoders.ecg is frozen or has an adapter; expected neither"),
    ],
)
def test_encoders_that_cannot_give_or_learn_tokens_are_refused_by_name(
    catalog: Catalog, synthetic_store: CohortStore, way: str, said: str
):
    task = tiny(
        catalog, "pretraining/symile", f"missing_modality={way}", "encoders.ecg.frozen=true"
    )
    with pytest.raises(DefinitionError, match=f"missing_modality '{way}': {said}"):
        build_learner(task, synthetic_store, seed=0)


@pytest.mark.parametrize("way", ["projected", "proxies"])
def test_chunks_give_the_gradients_of_the_whole_batch(
    catalog: Catalog, synthetic_store: CohortStore, way: str
):
    gradients: list[dict[str, Any]] = []
    rows = synthetic_store.rows("train")[:24]
    batch = load_batch(synthetic_store, rows, modalities=MODALITIES)
    for at_a_time in (None, 5):
        task = mlp_task(catalog, f"missing_modality={way}", LABS_AS_A_SET)
        model = build_learner(task, synthetic_store, seed=0).model.double().train()
        model.encode_at_a_time = at_a_time
        inputs = {name: values.double() for name, values in batch.inputs.items()}
        z = model(Batch(inputs, batch.available, MODALITIES, batch.rows)).with_substitutes()[0]
        (torch.linspace(-1, 1, z.numel()).reshape(z.shape) * z).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)

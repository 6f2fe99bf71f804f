"""What each way puts in place of a missing modality, and what it may read."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import ModalityDropout
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch, load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks.components import missing_modality_leaks
from clinical_symile.models.missing_modality.bank import VectorBank
from clinical_symile.models.missing_modality.base import (
    FillingHandler,
    MissingModalityMethod,
    missing_modality_method,
)
from clinical_symile.models.missing_modality.mean import RunningMeans
from clinical_symile.models.missing_modality.predicted import PredictedVectors
from clinical_symile.models.multimodal import MultimodalEncoder, build_model
from clinical_symile.registry.families import MISSING_MODALITY_METHODS
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner
from clinical_symile.training.steps import set_up_alone, train_step, training_batches
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task

MODALITIES, DIM = ("cxr", "ecg", "labs"), 6
OBJECTIVES = (
    "pretraining/symile",
    "pretraining/objectives/gated_symile",
    "pretraining/clip",
    "pretraining/objectives/outcome_gated",
)
FILLING = ("bank", "disentangled", "predicted", "translated")
TERMS = {
    "disentangled": ("orthogonal", "restored", "shared", "replaced"),
    "predicted": ("prediction",),
    "projected": ("projection",),
    "proxies": ("alignment",),
    "translated": ("translation", "cycle"),
}
AVAILABLE = torch.tensor(
    [[1, 1, 1], [1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1], [0, 1, 0]], dtype=torch.bool
)


def model_of(way: str) -> MultimodalEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = {name: nn.Linear(4, DIM) for name in MODALITIES}
        return MultimodalEncoder(encoders, dim=DIM, norm="l2", missing_modality=way)


def batch_of(available: Tensor = AVAILABLE) -> Batch:
    drawn = torch.randn(len(available), 3, 4, generator=torch.Generator().manual_seed(1))
    columns = {name: drawn[:, column] for column, name in enumerate(MODALITIES)}
    return Batch(columns, available, MODALITIES, torch.arange(len(available)))


@pytest.mark.parametrize("way", FILLING)
def test_what_is_hidden_after_encoding_is_replaced_as_if_it_had_never_been_there(way):
    model = model_of(way).eval()
    every = model(batch_of(torch.ones_like(AVAILABLE))).with_visible(AVAILABLE)
    at_once = model(batch_of())
    for one in (every, at_once):
        z, counts = one.with_substitutes()
        assert counts.all()
        torch.testing.assert_close(z[AVAILABLE], at_once.z[AVAILABLE])
        torch.testing.assert_close(z.norm(dim=2), torch.ones(6, 3))
    torch.testing.assert_close(every.with_substitutes()[0], at_once.with_substitutes()[0])


def test_a_selection_of_modalities_is_replaced_by_what_it_has_itself():
    model = model_of("predicted").eval()
    embeddings = model(batch_of(torch.ones_like(AVAILABLE)))
    pair = embeddings.select((0, 2)).with_visible(AVAILABLE[:, [0, 2]])
    without_ecg = AVAILABLE.clone()
    without_ecg[:, 1] = False
    expected = embeddings.with_visible(without_ecg).with_substitutes()[0][:, [0, 2]]
    torch.testing.assert_close(pair.with_substitutes()[0], expected)
    found, _ = pair.detached().with_substitutes()
    assert torch.equal(found, pair.with_substitutes()[0])
    assert not found.requires_grad


def test_equal_vectors_of_a_bank_are_the_learned_way(
    catalog: Catalog, synthetic_store: CohortStore
):
    losses, gradients, vectors = [], [], torch.zeros(())
    for way in ("learned", "bank"):
        learner = build_learner(
            mlp_task(catalog, f"missing_modality={way}"), synthetic_store, seed=0
        )
        handler: Any = learner.model.missing_modality
        if way == "learned":
            vectors = handler.substitute.detach().clone()
            learned = handler.substitute
        else:
            learned = handler.bank_substitute
            assert torch.equal(learned[0], learned[5])  # sets begin equal
            with torch.no_grad():
                learned.copy_(vectors.expand_as(learned))
        rows = synthetic_store.rows("train")[:40]
        batch = load_batch(synthetic_store, rows, modalities=MODALITIES)
        loss = learner.objective(learner.model(batch))
        (gradient,) = torch.autograd.grad(loss, learned)
        losses.append(loss)
        gradients.append(gradient if way == "learned" else gradient.sum(dim=0))
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_bank_learns_the_vectors_that_scores_read(catalog: Catalog, synthetic_store: CohortStore):
    """Samples have two modalities or more; a query without its target may have one."""
    for name in OBJECTIVES[:3]:
        task = mlp_task(catalog, "missing_modality=bank", task=name)
        learner = build_learner(task, synthetic_store, seed=0)
        rows = synthetic_store.rows("train")
        has = synthetic_store.present[rows]
        batch = load_batch(synthetic_store, rows[has.sum(axis=1) == 2], modalities=MODALITIES)
        handler: Any = learner.model.missing_modality
        loss = learner.objective(learner.model(batch))
        (gradient,) = torch.autograd.grad(loss, handler.bank_substitute)
        learned = (gradient != 0).any(dim=2)
        for code, column in ((1, 0), (2, 1), (4, 2)):  # one modality, and the others missing
            others = [other for other in range(3) if other != column]
            assert learned[code, others].all(), name


def test_a_bank_has_a_vector_for_each_set_and_missing_modality():
    handler = VectorBank(3, DIM)
    with torch.no_grad():
        handler.bank_substitute.copy_(torch.arange(8.0)[:, None, None].expand(8, 3, DIM))
    found = handler.fill(torch.zeros(6, 3, DIM), AVAILABLE)
    assert found[:, 0, 0].tolist() == [7, 5, 6, 3, 4, 2]


def test_zeros_stand_in_as_they_are():
    z, _ = model_of("zero")(batch_of()).with_substitutes()
    assert (z[~AVAILABLE] == 0).all()


def test_the_mean_is_that_of_the_first_batches_and_then_moves_by_one_percent():
    handler = RunningMeans(2, 3)
    encode, norm = nn.Identity(), nn.Identity()
    batches = [torch.full((4, 3), float(value)) for value in (1, 3, 8)]
    every = torch.ones(4, dtype=torch.bool)
    means = []
    for batch in batches:
        _, mean = handler(encode, norm, batch, every, column=1)
        means.append(mean[0].item())
    assert means == pytest.approx([1, 2, 4])
    handler.batches[1] = 500
    _, mean = handler(encode, norm, torch.full((4, 3), 104.0), every, column=1)
    assert mean[0].item() == pytest.approx(5)
    _, mean = handler.eval()(encode, norm, torch.full((4, 3), 9.0), every, column=1)
    assert mean[0].item() == pytest.approx(5)
    assert handler.substitute[0].tolist() == [0, 0, 0]
    assert not list(handler.parameters())


def test_a_mean_is_over_available_samples_alone():
    handler = RunningMeans(1, 2)
    inputs = torch.tensor([[1.0, 1.0], [torch.nan, torch.nan], [3.0, 5.0]])
    available = torch.tensor([True, False, True])
    _, mean = handler(nn.Identity(), nn.Identity(), inputs, available, column=0)
    assert mean.tolist() == [2, 3]


def test_a_linear_function_of_another_modality_is_predicted():
    """A rotation of unit vectors; the mean squared error of their numbers."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    handler = PredictedVectors(2, DIM)
    rotation, _ = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator))

    def drawn(samples: int) -> Tensor:
        z = nn.functional.normalize(torch.randn(samples, DIM, generator=generator), dim=1)
        return torch.stack([z, z @ rotation], dim=1)

    def norm(vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=1)

    adam = torch.optim.AdamW(handler.parameters(), lr=2e-2, weight_decay=0.0)
    for step in range(300):
        for group in adam.param_groups:
            group["lr"] = 2e-2 * (1 - step / 300)
        z = drawn(128)
        (loss,) = handler.extra_losses(
            z, torch.ones(128, 2, dtype=torch.bool), [norm, norm]
        ).values()
        adam.zero_grad()
        loss.backward()
        adam.step()
    z = drawn(1000)
    found = norm(handler.fill(z, torch.tensor([[True, False]] * 1000))[:, 1])
    error = (found - z[:, 1]).square().mean().item()
    assert error < 1e-3


def test_the_predicted_embedding_gets_no_gradient_and_its_inputs_do():
    torch.manual_seed(0)
    handler = PredictedVectors(3, DIM)
    z = torch.randn(8, 3, DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()
    available = torch.tensor([[True, True, False]] * 8)
    first = [nn.Identity(), nn.Identity(), nn.Identity()]
    with torch.no_grad():
        for parameter in handler.networks[0].parameters():  # the prediction of cxr is constant
            parameter.zero_()
    loss = handler.extra_losses(z, available, first)["prediction"]
    (gradient,) = torch.autograd.grad(loss, z)
    # ecg is predicted from cxr: cxr has a gradient. cxr is a target, and so is ecg: ecg has none.
    assert (gradient[:, 0] != 0).any()
    assert (gradient[:, 1:] == 0).all()


def test_predictions_are_learned_from_each_set_that_a_score_leaves():
    handler = PredictedVectors(3, DIM)
    z = torch.randn(4, 3, DIM, generator=torch.Generator().manual_seed(0))
    every = torch.ones(4, 3, dtype=torch.bool)
    loss = handler.extra_losses(z, every, [nn.Identity()] * 3)["prediction"]
    (gradient,) = torch.autograd.grad(loss, handler.set_substitute)
    read = (gradient != 0).any(dim=1).tolist()
    # All sets of one and two modalities; complete samples never miss what nothing tells.
    assert read == [False, True, True, True, True, True, True, False]


@pytest.mark.parametrize("way", FILLING)
def test_a_loss_without_targets_is_refused_by_name(
    catalog: Catalog, synthetic_store: CohortStore, way: str
):
    task = mlp_task(catalog, f"missing_modality={way}", task="pretraining/objectives/mv_infonce")
    with pytest.raises(DefinitionError, match=f"'{way}' makes replacements for each target"):
        build_learner(task, synthetic_store, seed=0)


def test_nothing_is_predicted_from_nothing():
    handler = PredictedVectors(3, DIM)
    z = torch.randn(4, 3, DIM)
    alone = torch.tensor([[True, False, False]] * 4)
    assert handler.extra_losses(z, alone, [nn.Identity()] * 3) == {}
    found = handler.fill(torch.zeros(4, 3, DIM), torch.zeros(4, 3, dtype=torch.bool))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("handler", [VectorBank, PredictedVectors])
def test_a_vector_for_each_of_very_many_sets_is_refused(handler):
    with pytest.raises(ValueError, match="modalities is 9; expected more than 0, at most 8"):
        handler(9, DIM)


class ReadsHidden(FillingHandler):
    """It keeps the embeddings of a batch aside, and fills with those that are hidden later."""

    def __init__(self, modalities: int, dim: int):
        super().__init__(modalities, dim)
        self.weight = nn.Parameter(torch.ones(1))
        self.kept: list[Tensor] = []

    def forward(self, encoder: Any, norm: nn.Module, inputs: Tensor, available: Tensor, **named):
        z, nothing = super().forward(encoder, norm, inputs, available, **named)
        self.kept = [*self.kept[-2:], z.detach()]
        return z, nothing

    def fill(self, z: Tensor, available: Tensor) -> Tensor:
        kept = torch.stack(self.kept, dim=1) if self.kept else z
        return self.weight * (kept if kept.shape == z.shape else z)


class ReadsOthersOfTheBatch(FillingHandler):
    """It fills with the mean over the batch, which is another subjects' embedding."""

    def __init__(self, modalities: int, dim: int):
        super().__init__(modalities, dim)
        self.weight = nn.Parameter(torch.ones(1))

    def fill(self, z: Tensor, available: Tensor) -> Tensor:
        return self.weight * z.nan_to_num().mean(dim=0).expand_as(z)


def test_a_way_that_reads_what_is_hidden_later_is_named_by_the_leakage_check():
    leaks = list(missing_modality_leaks(MissingModalityMethod(handler=ReadsHidden)))
    assert any("an embedding that is hidden later changes" in leak for leak in leaks)
    leaks = list(missing_modality_leaks(MissingModalityMethod(handler=ReadsOthersOfTheBatch)))
    assert leaks == ["an embedding in use depends on the other samples of the batch."]


def test_a_score_hides_its_target_before_replacements_are_made():
    model = model_of("predicted").eval()
    z, query = model(batch_of(torch.ones_like(AVAILABLE))).z, AVAILABLE.clone()
    query[:, 0] = True
    query[4:, 1:] = True
    made = Embeddings(z, query, MODALITIES, torch.arange(6), fill=model.fill)
    without = made.without("cxr")
    assert not without.available[:, 0].any()
    changed = z.clone()
    changed[:, 0] = torch.nan
    other = Embeddings(changed, query, MODALITIES, torch.arange(6), fill=model.fill)
    assert torch.equal(
        without.with_substitutes()[0][:, 1:], other.without("cxr").with_substitutes()[0][:, 1:]
    )


@pytest.mark.parametrize("way", sorted({*MISSING_MODALITY_METHODS} - {"complete"}))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_way_takes_a_step_with_each_objective_or_is_refused_by_name(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path, way: str, name: str
):
    task = mlp_task(catalog, f"missing_modality={way}", "missingness=mcar-30", task=name)
    if missing_modality_method(way).needs_start:
        first, begun = mlp_task(catalog, "epochs=1", task=name), Run(tmp_path / "first")
        train(first, store=synthetic_store, run=begun, seed=0, accelerator="cpu")
        task = task.model_copy(update={"start": str(begun.path)})
    refusals = {
        ("zero", "pretraining/symile"): "zeros in place of a missing modality make every",
        ("subsets", "pretraining/objectives/outcome_gated"): "its parts belong to single modal",
        ("subsets", "pretraining/objectives/gated_symile"): "its parts belong to single modal",
    }
    if (way, name) in refusals:
        with pytest.raises(DefinitionError, match=refusals[way, name]):
            build_learner(task, synthetic_store, seed=0)
        return
    training = set_up_alone(task, synthetic_store, seed=0, accelerator="cpu")
    batch, generator = next(training_batches(training, epoch=1))
    before = {k: v.clone() for k, v in training.learner.state_dict().items()}
    found = train_step(training, batch, generator, epoch=1, step=1)
    after = training.learner.state_dict()
    assert any(not torch.equal(v, after[k]) for k, v in before.items())
    learned = {name for name in found if name.startswith("loss/missing_")}
    assert learned == {f"loss/missing_{term}" for term in TERMS.get(way, ())}


def test_rate_0_is_the_learned_way_to_the_bit(catalog: Catalog, synthetic_store: CohortStore):
    first, second = (
        set_up_alone(mlp_task(catalog, *overrides), synthetic_store, seed=0, accelerator="cpu")
        for overrides in (
            ("missing_modality=learned",),
            ("missing_modality=dropout", "modality_dropout.rate=0.0"),
        )
    )
    for epoch in (1, 2):
        for (one, _), (other, _) in zip(
            training_batches(first, epoch=epoch), training_batches(second, epoch=epoch), strict=True
        ):
            assert torch.equal(one.available, other.available)
            assert torch.equal(one.rows, other.rows)


def test_rates_are_of_each_modality_and_rise():
    dropout = ModalityDropout(rate=0.4, rates={"labs": 0.1}, rising=0.5)
    assert dropout.at(1, 8, MODALITIES) == [0, 0, 0]
    assert dropout.at(3, 8, MODALITIES) == pytest.approx([0.2, 0.2, 0.05])
    assert dropout.at(5, 8, MODALITIES) == dropout.at(8, 8, MODALITIES) == [0.4, 0.4, 0.1]
    assert ModalityDropout().at(1, 8, MODALITIES) == [0.3, 0.3, 0.3]


def test_a_rate_hides_its_share_and_a_sample_keeps_one(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(
        catalog,
        "missing_modality=drop",
        "modality_dropout.rate=0.9",
        "modality_dropout.rates={cxr=0.0}",
        "batch_size=400",
    )
    training = set_up_alone(task, synthetic_store, seed=0, accelerator="cpu")
    seen = torch.cat(
        [
            batch.available
            for epoch in (1, 2, 3)
            for batch, _ in training_batches(training, epoch=epoch)
        ]
    )
    assert seen.any(dim=1).all()
    has_cxr = seen[:, 0]
    assert seen[has_cxr][:, 1:].double().mean().item() < 0.2
    rows = synthetic_store.present[synthetic_store.rows("train")]
    several = rows[rows.sum(axis=1) >= 2]
    assert has_cxr.double().mean().item() == pytest.approx(several[:, 0].mean())


def test_a_rate_of_an_unknown_modality_is_refused(catalog: Catalog):
    with pytest.raises(DefinitionError, match="unknown modality 'lab'; did you mean 'labs'"):
        mlp_task(catalog, "modality_dropout.rates={lab=0.1}")


def test_weights_of_the_other_ways_begin_as_before(catalog: Catalog, synthetic_store: CohortStore):
    encoders = [
        build_model(
            mlp_task(catalog, f"missing_modality={way}"), synthetic_store, seed=0
        ).encoders.state_dict()
        for way in ("drop", "predicted", "bank")
    ]
    for key, value in encoders[0].items():
        assert all(torch.equal(value, other[key]) for other in encoders[1:])

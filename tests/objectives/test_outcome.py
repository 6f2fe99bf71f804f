"""The supervised objective: its loss in loops, what teaches nothing, and its training."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clinical_symile.api.runs import evaluate, train
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluation.leak_checks.objectives import objective_leaks
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.outcome import (
    Supervised,
    circular_order,
    class_jensen_shannon,
    exchanged,
)
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner, load_learner
from clinical_symile.training.train import train as train_run
from tests.helpers.objective_values import connected, loss_value, unit_batch
from tests.helpers.synthetic import mlp_task

NAN = math.nan
LABELS = torch.tensor([[1.0, 0.0], [0.0, NAN], [1.0, -1.0], [NAN, NAN], [0.0, 1.0], [1.0, 0.0]])
AVAILABLE = torch.tensor(
    [[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.bool
)


def inputs_of(z: Tensor, available: Tensor, labels: Tensor) -> ObjectiveInput:
    embeddings = Embeddings(z, available, ("cxr", "ecg", "labs"), torch.arange(len(z)))
    return ObjectiveInput(embeddings, SideInformation(embeddings.rows, labels=labels))


def gradients(objective: Supervised, inputs: ObjectiveInput) -> list[Tensor]:
    loss = objective.training_loss(inputs, group=None).total
    found = torch.autograd.grad(loss, list(objective.parameters()), allow_unused=True)
    return [g for g in found if g is not None]


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_the_loss_is_that_of_its_definition_in_loops(rng: np.random.Generator) -> None:
    objective = connected(Supervised(fusion={"name": "mean"}, unimodal_weight=0.5))
    z = unit_batch(rng, 6)
    found = loss_value(objective, z, AVAILABLE, labels=LABELS)

    def log_losses(head: torch.nn.Linear, i: int, vector: Tensor) -> list[float]:
        values = (head.weight @ vector + head.bias).tolist()
        known = zip(values, LABELS[i].tolist(), strict=True)
        return [softplus(v) - y * v for v, y in known if y in (0.0, 1.0)]

    fused, own = [], {name: [] for name in ("cxr", "ecg", "labs")}
    for i in range(6):
        has = AVAILABLE[i].nonzero()[:, 0].tolist()
        if has:
            fused += log_losses(objective.head, i, 2 * z[i, has].mean(dim=0))
        for m in has:
            name = ("cxr", "ecg", "labs")[m]
            head = objective.unimodal_heads[name]
            assert isinstance(head, torch.nn.Linear)
            own[name] += log_losses(head, i, 2 * z[i, m])
    expected = np.mean(fused) + 0.5 * sum(np.mean(losses) for losses in own.values())
    assert found == pytest.approx(expected, rel=1e-12)


def fused_loss(objective: Supervised, z: Tensor, shares: Tensor | None = None) -> Tensor:
    inputs = inputs_of(z, AVAILABLE, LABELS)
    side = replace(inputs.side, positive_shares=shares)
    return objective.training_loss(replace(inputs, side=side), group=None).total


def test_a_prior_is_added_to_the_log_odds_of_every_head_in_the_loss_alone(rng) -> None:
    z, shares = unit_batch(rng, 6), torch.tensor([0.1, 0.7])
    plain, adjusted = (connected(Supervised(prior_weight=weight)) for weight in (0.0, 1.0))
    moved = connected(Supervised())
    with torch.no_grad():
        for head in (moved.head, *moved.unimodal_heads.values()):
            assert isinstance(head, torch.nn.Linear)
            head.bias.add_(shares.double().logit())
    expected = fused_loss(moved, z)
    torch.testing.assert_close(fused_loss(adjusted, z, shares), expected, rtol=1e-12, atol=0)
    assert fused_loss(plain, z, shares) == fused_loss(plain, z) != expected
    assert fused_loss(adjusted, z, torch.full((2,), 0.5)) == fused_loss(plain, z)
    batch = inputs_of(z[:5], AVAILABLE[:5], LABELS[:5]).embeddings
    assert torch.equal(adjusted.log_odds(batch), plain.log_odds(batch))
    with pytest.raises(ValueError, match="there are no labels"):
        fused_loss(adjusted, z)


def test_weights_of_labels_weigh_their_log_losses(rng) -> None:
    z = unit_batch(rng, 6)
    alone = [
        fused_loss(connected(Supervised(unimodal_weight=0.0, label_weights=weights)), z)
        for weights in ([1.0, 1e-12], [1e-12, 1.0], [3.0, 1.0], [2.0, 2.0])
    ]
    plain = fused_loss(connected(Supervised(unimodal_weight=0.0)), z)
    # Of samples with a modality, the first label is known of four, the second of two.
    torch.testing.assert_close((4 * alone[0] + 2 * alone[1]) / 6, plain)
    torch.testing.assert_close((12 * alone[0] + 2 * alone[1]) / 14, alone[2])
    torch.testing.assert_close(alone[3], plain)
    with pytest.raises(ValueError, match=r"label_weights\[1\] is 0.0; expected a positive number"):
        Supervised(label_weights=[1.0, 0.0])
    with pytest.raises(ValueError, match="has 3 numbers; expected one for each of 2 labels: first"):
        connected(Supervised(label_weights=[1.0, 1.0, 1.0]))


@pytest.mark.parametrize("fusion", ["mean", "gated", "mixture"])
def test_unknown_labels_and_samples_without_a_modality_teach_nothing(fusion, rng) -> None:
    objective = connected(Supervised(fusion={"name": fusion}))
    z, taught = unit_batch(rng, 6), [0, 1, 2, 4]
    every = gradients(objective, inputs_of(z, AVAILABLE, LABELS))
    some = gradients(objective, inputs_of(z[taught], AVAILABLE[taught], LABELS[taught]))
    for first, second in zip(every, some, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-12, atol=0)
    uncertain = torch.where(LABELS.isnan(), -1.0, LABELS)
    for first, second in zip(
        every, gradients(objective, inputs_of(z, AVAILABLE, uncertain)), strict=True
    ):
        assert torch.equal(first, second)


def test_the_head_of_a_modality_never_reads_what_replaces_it(rng) -> None:
    objective = connected(Supervised())
    z = unit_batch(rng, 6)
    plain = objective.training_loss(inputs_of(z, AVAILABLE, LABELS), group=None)
    inputs = inputs_of(z, AVAILABLE, LABELS)
    substitute = unit_batch(rng, 1)[0]
    vars(inputs.embeddings)["substitute"] = substitute
    replaced = objective.training_loss(inputs, group=None)
    for name in ("cxr", "ecg", "labs"):
        term = f"unimodal_{name}"
        assert replaced.terms[term] == plain.terms[term]
    assert replaced.terms["fused"] != plain.terms["fused"]


def test_the_divergence_of_jensen_and_shannon_has_its_known_values(fixture_f: Tensor) -> None:
    logits, equal = torch.tensor([1.0, 0.0, -1.0]).double(), torch.zeros(3).double()
    found = class_jensen_shannon(logits, equal).item()
    assert found == pytest.approx(0.068711599732, abs=1e-11)
    order = torch.tensor([1, 2, 3, 0])
    effects = [
        class_jensen_shannon(exchanged(fixture_f, column, order).sum(1), fixture_f.sum(1)).mean()
        for column in range(3)
    ]
    known = (0.097085323457, 0.083611919525, 0.054291588744)
    assert [effect.item() for effect in effects] == pytest.approx(known, abs=1e-11)


def test_effects_are_those_of_their_definition_in_loops(rng: np.random.Generator) -> None:
    objective = connected(Supervised(fusion={"name": "concat"}, effect=0.5))
    z = unit_batch(rng, 6)
    inputs = inputs_of(z, AVAILABLE, LABELS)
    found = objective.training_loss(inputs, group=None, generator=torch.Generator().manual_seed(0))
    plain = connected(Supervised(fusion={"name": "concat"})).training_loss(inputs, group=None)
    effects = {name: value.item() for name, value in found.terms.items() if name not in plain.terms}
    assert found.total.item() == pytest.approx(plain.total.item() + sum(effects.values()))
    drawn = torch.Generator().manual_seed(0)
    taught = [0, 1, 2, 4]  # with a known label and a modality
    for column, name in enumerate(("cxr", "ecg", "labs")):
        own = [i for i in taught if AVAILABLE[i, column]]
        order = circular_order(len(own), generator=drawn).tolist()
        values = []
        for i, j in zip(own, (own[k] for k in order), strict=True):
            assert i != j
            mixed = z[i].clone()
            mixed[column] = z[j, column]
            before, after = (chances(objective, v, AVAILABLE[i]) for v in (z[i], mixed))
            for p, q in zip(before, after, strict=True):
                values.append(entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)
        assert effects[f"effect_{name}"] == pytest.approx(-0.5 * np.mean(values), rel=1e-9)


def entropy(chance: float) -> float:
    """The entropy of a label with this probability, in nats."""
    return -chance * math.log(chance) - (1 - chance) * math.log(1 - chance)


def chances(objective: Supervised, z: Tensor, available: Tensor) -> list[float]:
    """The probability of each label, of the vectors of one sample."""
    embeddings = Embeddings(
        z[None], available[None], ("cxr", "ecg", "labs"), torch.zeros(1, dtype=torch.long)
    )
    return objective.log_odds(embeddings)[0].sigmoid().tolist()


def test_equal_vectors_and_a_fusion_that_ignores_a_modality_have_no_effect(rng) -> None:
    z = unit_batch(rng, 6)
    z[:, 0] = z[0, 0]
    objective = connected(Supervised(fusion={"name": "lstm"}, effect=1.0))
    inputs = inputs_of(z, torch.ones_like(AVAILABLE), LABELS)
    terms = objective.training_loss(inputs, group=None).terms
    assert terms["effect_cxr"].item() == pytest.approx(0, abs=1e-15)
    assert -math.log(2) <= terms["effect_ecg"].item() < -1e-9
    torch.nn.init.zeros_(objective.head.weight)
    terms = objective.training_loss(inputs, group=None).terms
    assert [terms[f"effect_{m}"].item() for m in ("cxr", "ecg", "labs")] == pytest.approx([0] * 3)


def test_effects_do_not_depend_on_the_order_of_the_batch(rng) -> None:
    objective = connected(Supervised(fusion={"name": "concat"}, effect=1.0))
    z, order = unit_batch(rng, 6), torch.tensor([3, 5, 0, 2, 4, 1])
    found = []
    for rows in (torch.arange(6), order):
        embeddings = Embeddings(z[rows], AVAILABLE[rows], ("cxr", "ecg", "labs"), rows)
        inputs = ObjectiveInput(embeddings, SideInformation(rows, labels=LABELS[rows]))
        drawn = torch.Generator().manual_seed(0)
        terms = objective.training_loss(inputs, group=None, generator=drawn).terms
        found.append({name: value.item() for name, value in terms.items()})
    assert found[0] == pytest.approx(found[1], rel=1e-12)


@pytest.mark.parametrize("samples", [2, 3, 7])
def test_no_sample_keeps_its_place_in_a_circular_order(samples: int, generator) -> None:
    for _ in range(20):
        order = circular_order(samples, generator=generator).tolist()
        assert sorted(order) == list(range(samples))
        assert all(place != i for i, place in enumerate(order))


def test_a_modality_of_one_sample_has_no_effect_to_measure(rng) -> None:
    objective = connected(Supervised(effect=1.0))
    available = torch.ones_like(AVAILABLE)
    available[1:, 2] = False
    terms = objective.training_loss(inputs_of(unit_batch(rng, 6), available, LABELS), group=None)
    assert {"effect_cxr", "effect_ecg"} <= terms.terms.keys()
    assert "effect_labs" not in terms.terms


def test_log_odds_are_those_of_the_fused_head(rng) -> None:
    objective = connected(Supervised(fusion={"name": "concat", "hidden": 5}))
    z, kept = unit_batch(rng, 5), AVAILABLE[:5]
    found = objective.log_odds(inputs_of(z, kept, LABELS[:5]).embeddings)
    torch.testing.assert_close(found, objective.head(objective.fusion(2 * z, kept)))


def test_a_batch_without_a_known_label_is_refused(rng) -> None:
    objective = connected(Supervised())
    inputs = inputs_of(unit_batch(rng, 6), AVAILABLE, torch.full((6, 2), NAN))
    with pytest.raises(ValueError, match="needs at least 1 sample with a known label"):
        objective.training_loss(inputs, group=None)


def test_what_cannot_be_made_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"unimodal_weight is -1.0; expected a number of at le"):
        Supervised(unimodal_weight=-1.0)
    with pytest.raises(ValueError, match="fusion has no 'name'"):
        Supervised(fusion={"hidden": 4})
    with pytest.raises(ValueError, match="predicts labels, and the task names none"):
        Supervised().connect(
            modalities=("a", "b"), dim=4, norm="l2", generator=torch.Generator().manual_seed(0)
        )
    query = inputs_of(torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), LABELS[:2])
    with pytest.raises(ValueError, match="has no score of candidates: it compares no recordings"):
        connected(Supervised()).score(query.embeddings, torch.zeros(2, 4), target="cxr")


def test_a_wrong_fusion_is_named_by_the_check_of_the_definition(catalog: Catalog) -> None:
    task = "pretraining/objectives/outcome"
    for override, message in (
        ("objective.fusion.name=gatd", "unknown fusion 'gatd'; did you mean 'gated'"),
        ("objective.fusion.hidden=4", "objective.fusion: unknown argument 'hidden'"),
        ("objective.fusion={hidden=4}", "objective.fusion has no 'name'"),
        ('selection.targets=["lung_mass"]', "unknown label of side.labels 'lung_mass'"),
    ):
        with pytest.raises(DefinitionError, match=message):
            mlp_task(catalog, override, task=task)


def test_the_objective_and_the_metric_of_selection_must_fit(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    supervised = mlp_task(
        catalog,
        "selection.metric=recall_at_1",
        'selection.targets=["cxr"]',
        task="pretraining/objectives/outcome",
    )
    with pytest.raises(DefinitionError, match="'outcome' predicts labels; expected auroc or auprc"):
        train_run(supervised, store=synthetic_store, run=Run(tmp_path / "a"), seed=0)
    contrastive = mlp_task(
        catalog,
        "selection.metric=auroc",
        'selection.targets=["deterioration"]',
        task="pretraining/objectives/supcon",
    )
    with pytest.raises(DefinitionError, match="'supcon' scores candidates; expected mean_rec"):
        train_run(contrastive, store=synthetic_store, run=Run(tmp_path / "b"), seed=0)


def test_a_label_of_one_class_cannot_select_the_epoch(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task = mlp_task(catalog, task="pretraining/objectives/outcome")
    samples = synthetic_store.samples.copy()
    samples.loc[samples["split"] == "tuning", "outcome_deterioration"] = 0.0
    store = CohortStore(**{**vars(synthetic_store), "samples": samples})
    with pytest.raises(DataError, match="fewer than two classes among the complete tuning"):
        train_run(task, store=store, run=Run(tmp_path / "run"), seed=0)


def test_subsets_and_other_objectives_refuse_what_has_no_meaning(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = mlp_task(catalog, "missing_modality=subsets", task="pretraining/objectives/outcome")
    with pytest.raises(DefinitionError, match="its parts belong to single modalities"):
        build_learner(task, synthetic_store, seed=0)


def test_the_leakage_check_reads_log_odds_in_place_of_scores() -> None:
    class ReadsHidden(Supervised):
        def log_odds(self, embeddings: Embeddings) -> Tensor:
            return super().log_odds(embeddings) + embeddings.z.nan_to_num().mean()

    leaks = list(objective_leaks(ReadsHidden))
    assert any("a predicted log odds changes when hidden slots hold" in leak for leak in leaks)


@pytest.mark.usefixtures("few_resamples")
def test_a_run_predicts_its_label_and_is_refused_for_retrieval_with_the_reason(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    mlps = [f'encoders.{name}={{name="mlp", hidden=[8]}}' for name in ("cxr", "ecg", "labs")]
    run = train(
        "pretraining/objectives/outcome_gated",
        synthetic_store,
        out=tmp_path / "runs",
        seed=0,
        overrides=[*mlps, "dim=8", "batch_size=16", "epochs=2"],
        progress=False,
    )
    patterns = ["complete", "without-ecg"]
    results = evaluate(
        run,
        synthetic_store,
        tasks=[
            "retrieval/cxr_given_ecg_labs",
            "classification/more/deterioration_by_head",
            "classification/deterioration",
        ],
        missingness=patterns,
        progress=False,
    )
    frame = results.to_frame()
    by_head = frame[frame.task == "classification/more/deterioration_by_head"]
    assert {*by_head.query("metric == 'auroc'").missingness} == {*patterns}
    assert by_head.saw_label.all()
    assert frame[frame.task == "retrieval/cxr_given_ecg_labs"].empty
    history = Run(tmp_path / "runs" / run.name).history
    assert all(0 <= epoch["tuning/auroc"] <= 1 for epoch in history)
    assert {"loss/fused", "loss/unimodal_cxr"} <= history[0].keys()


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["gated", "mixture"])
def test_a_stopped_run_resumes_to_the_same_weights(
    fusion: str, catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task = mlp_task(catalog, task=f"pretraining/objectives/outcome_{fusion}")
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    train_run(task, store=synthetic_store, run=whole, seed=0, accelerator="cpu")

    class StopError(Exception):
        pass

    def stop(run: Run) -> None:
        raise StopError

    with pytest.raises(StopError):
        train_run(
            task, store=synthetic_store, run=stopped, seed=0, accelerator="cpu", on_epoch=stop
        )
    train_run(task, store=synthetic_store, run=stopped, seed=0, accelerator="cpu")
    first, second = (
        load_learner(run, task, synthetic_store).state_dict() for run in (whole, stopped)
    )
    assert all(torch.equal(value, second[key]) for key, value in first.items())

"""What a balance makes of the gradients of a step: known values, properties, and trainings."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.objectives.distributed import Group
from clinical_symile.objectives.outcome import class_divergence, two_classes
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import BALANCES
from clinical_symile.tracking.run import Run
from clinical_symile.training.balance.balgrad import BalGrad, without_conflict
from clinical_symile.training.balance.base import (
    Balance,
    StepGradients,
    apply_gradients,
    inner_product,
    owner_of,
    step_gradients,
    summed,
)
from clinical_symile.training.balance.mcr import Mcr
from clinical_symile.training.balance.mgda import Mgda, shortest_average
from clinical_symile.training.balance.mlb import MultiLossBalance
from clinical_symile.training.balance.ogm_ge import OgmGe
from clinical_symile.training.steps import set_up_alone, train_step, training_batches
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task

ROOT = Path(__file__).resolve().parents[3]
OUTCOME = "pretraining/objectives/outcome_concat"


def step_of(
    terms: dict[str, list[Tensor | None]], owners: tuple[str | None, ...], **scores: float
) -> StepGradients:
    drawn = torch.Generator().manual_seed(0)
    return StepGradients(owners, terms, dict.fromkeys(terms, 1.0), scores, drawn)


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("strength", "most", "expected"),
    [
        (0.5, 1.5, (0.755081337596, 1.122459331202, 1.122459331202)),
        (0.8, 2.0, (0.620051037745, 1.379948962255, 1.379948962255)),
    ],
)
def test_mlb_has_the_known_factors(strength, most, expected):
    found = MultiLossBalance(strength=strength, most=most).coefficients(
        {"a": 0.6, "b": 0.3, "c": 0.3}
    )
    assert list(found.values()) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("balance", [MultiLossBalance(), OgmGe(noise=False)])
def test_equal_scores_change_no_gradient_and_neither_does_a_lone_one(balance):
    gradients: list[Tensor | None] = [vector(1, 2), vector(3), None, vector(4)]
    owners = ("a", "b", "b", None)
    for scores in ({"a": 0.4, "b": 0.4}, {"a": 0.4}, {}):
        found = balance.combine(step_of({"total": gradients}, owners, **scores))
        assert all(one is other for one, other in zip(found, gradients, strict=True))


def test_mlb_scales_encoders_and_nothing_else():
    gradients: list[Tensor | None] = [vector(1, 2), vector(3), vector(4)]
    found = MultiLossBalance(strength=0.5, most=1.5).combine(
        step_of({"total": gradients}, ("a", "b", None), a=0.6, b=0.3, c=0.3)
    )
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].tolist() == pytest.approx([0.755081337596, 2 * 0.755081337596])
    assert found[1].tolist() == pytest.approx([3 * 1.122459331202])
    assert found[2] is gradients[2]


@pytest.mark.parametrize("balance", [MultiLossBalance(), OgmGe()])
def test_the_factors_that_are_applied_are_kept(balance):
    gradients: list[Tensor | None] = [vector(1.0), vector(1.0), vector(1.0)]
    step = step_of({"total": gradients}, ("a", "b", None), a=0.6, b=0.3)
    found = balance.combine(step)
    applied = [float(one) for one in found if one is not None]
    assert balance.scalars(step) == {"factor_a": applied[0], "factor_b": applied[1]}
    assert balance.scalars(step)["factor_a"] < 1 <= balance.scalars(step)["factor_b"]


def test_ogm_slows_down_the_best_modality_alone():
    found = OgmGe(strength=0.5, noise=False).coefficients({"a": 0.6, "b": 0.4, "c": 0.2})
    assert found == {"a": pytest.approx(1 - math.tanh(0.5 * 0.6 / 0.3)), "b": 1, "c": 1}


def test_the_noise_of_ogm_has_the_spread_of_the_gradient_and_falls_on_matrices_of_encoders():
    matrix = torch.randn(200, 50, generator=torch.Generator().manual_seed(1))
    gradients: list[Tensor | None] = [3 * matrix, vector(1.0, 2.0), matrix]
    step = step_of({"total": gradients}, ("a", "a", None), a=0.5, b=0.5)
    found = OgmGe().combine(step)
    assert found[0] is not None
    noise = found[0] - 3 * matrix
    assert noise.std().item() == pytest.approx(3, rel=0.03)
    assert found[1] is gradients[1]
    assert found[2] is matrix


def test_a_weight_of_one_number_gets_no_noise():
    lone: list[Tensor | None] = [torch.tensor([[2.0]])]
    (found,) = OgmGe().combine(step_of({"total": lone}, ("a",), a=0.5, b=0.5))
    assert found is lone[0]


def test_balgrad_projects_the_task_where_it_conflicts_and_only_there():
    conflict, other, owners = vector(1, 0), vector(-1, 1), ("cxr",)
    (projected,) = without_conflict([conflict], [other], owners)
    assert projected is not None
    assert projected.tolist() == [0.5, 0.5]
    orthogonal: list[Tensor | None] = [vector(1, 1)]
    assert without_conflict(orthogonal, [other], owners) is orthogonal
    head: list[Tensor | None] = [conflict]
    assert without_conflict(head, [other], (None,)) is head
    parts = without_conflict([vector(1), vector(0)], [vector(-1), vector(1)], ("cxr", "ecg"))
    assert [float(part) for part in parts if part is not None] == [0.5, 0.5]  # as of one tensor


def test_balgrad_weighs_agreement_by_the_modalities_own_losses():
    terms: dict[str, list[Tensor | None]] = {
        "fused": [vector(1, 0), vector(2)],
        "agreement_cxr": [vector(0, 3), None],
        "agreement_ecg": [vector(0, 5), None],
    }
    values = {"fused": 1.0, "unimodal_cxr": 0.3, "unimodal_ecg": 0.1}
    step = StepGradients(("cxr", None), terms, values, {}, torch.Generator())
    encoder, head = BalGrad().combine(step)
    assert encoder is not None
    assert encoder.tolist() == pytest.approx([1, 1.5 * 3 + 0.5 * 5])
    assert head is not None
    assert head.tolist() == [2]


def test_the_divergence_of_classes_has_the_known_values():
    logits, equal = vector(1, 0, -1), vector(0, 0, 0)
    assert class_divergence(logits, equal).item() == pytest.approx(0.266216706828, abs=1e-11)
    assert class_divergence(equal, logits).item() == pytest.approx(0.308993675776, abs=1e-11)
    assert two_classes(vector(2)).softmax(dim=1)[0, 1].item() == pytest.approx(
        1 / (1 + math.exp(-2))
    )


def test_mcr_gives_an_effect_to_its_encoder_and_the_opposite_to_the_others():
    owners = ("cxr", "ecg", None)
    terms: dict[str, list[Tensor | None]] = {
        "fused": [vector(1), vector(2), vector(3)],
        "effect_cxr": [vector(10), vector(20), vector(30)],
        "effect_ecg": [vector(100), None, vector(300)],
    }

    def combined(cooperation: float) -> list[float]:
        found = Mcr(cooperation=cooperation).combine(step_of(terms, owners))
        return [float(one) for one in found if one is not None]

    assert combined(-1.0) == [1 + 10 - 100, 2 - 20, 3]
    assert combined(0.0) == [1 + 10, 2, 3]
    assert combined(0.5) == [1 + 10 + 50, 2 + 10, 3]


def test_mcr_without_effects_is_the_gradient_of_the_task():
    terms: dict[str, list[Tensor | None]] = {
        "fused": [vector(1, 2), None],
        "unimodal_cxr": [None] * 2,
    }
    found = Mcr().combine(step_of(terms, ("cxr", None)))
    assert found[0] is terms["fused"][0]
    assert found[1] is None


def test_mgda_has_the_known_shortest_average():
    first, second = vector(1, 2, 0), vector(-2, 1, 1)
    step = step_of({"a": [first, first], "b": [second, second]}, ("cxr", None))
    share = shortest_average(np.array([[5.0, 0.0], [0.0, 6.0]]))
    assert share == pytest.approx([6 / 11, 5 / 11], abs=1e-12)
    encoder, head = Mgda().combine(step)
    assert encoder is not None
    assert head is not None
    expected = [-0.363636363636, 1.545454545455, 0.454545454545]
    assert encoder.tolist() == pytest.approx(expected, abs=1e-11)
    assert head.tolist() == (first + second).tolist()


def test_opposite_gradients_cancel_and_equal_ones_stay():
    first = vector(1, -2)
    opposite = Mgda().combine(step_of({"a": [first], "b": [-first]}, ("cxr",)))[0]
    equal = Mgda().combine(step_of({"a": [first], "b": [first]}, ("cxr",)))[0]
    assert opposite is not None
    assert equal is not None
    assert opposite.abs().max().item() < 1e-12
    torch.testing.assert_close(equal, first)


@pytest.mark.parametrize("terms", [2, 3, 5])
def test_the_shortest_average_worsens_no_term(terms, rng):
    for _ in range(20):
        vectors = rng.standard_normal((terms, 6))
        weights = np.array(shortest_average(vectors @ vectors.T))
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1)
        average = weights @ vectors
        others = rng.dirichlet(np.ones(terms), size=200) @ vectors
        assert average @ average <= (others**2).sum(axis=1).min() + 1e-3
        assert (vectors @ average).min() >= average @ average - 0.05


def test_gradients_are_those_of_each_term_and_none_where_a_term_does_not_reach():
    module = nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.Linear(2, 1)}).double()
    inputs = torch.randn(4, 2, dtype=torch.float64)
    terms = {
        "first": module["a"](inputs).sum(),
        "both": (module["a"](inputs) * module["b"](inputs)).sum(),
    }
    step = step_gradients(
        module, terms, values={}, scores={}, generator=torch.Generator(), group=None
    )
    assert [g is None for g in step.terms["first"]] == [False, False, True, True]
    apply_gradients(module, summed(list(step.terms.values())))
    found = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    sum(terms.values(), torch.zeros(())).backward()
    for one, parameter in zip(found, module.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad)
    assert inner_product([vector(1, 2), vector(5)], [vector(3, 4), vector(7)], ("a", None)) == 11


@pytest.fixture
def lone_group(tmp_path: Path) -> Iterator[Group]:
    """A group of processes that has this one alone."""
    place = (tmp_path / "group").as_uri()
    dist.init_process_group("gloo", init_method=place, rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


def test_what_no_process_uses_has_no_gradient_and_is_not_decayed(lone_group: Group):
    module = nn.ModuleDict({"used": nn.Linear(2, 1), "unused": nn.Linear(2, 1)}).double()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0.5)
    terms = {"total": module["used"](torch.ones(4, 2, dtype=torch.float64)).sum()}
    step = step_gradients(
        module, terms, values={}, scores={}, generator=torch.Generator(), group=lone_group
    )
    assert [gradient is None for gradient in step.terms["total"]] == [False, False, True, True]
    apply_gradients(module, step.terms["total"])
    optimiser.step()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("unused"), name


def test_an_encoder_and_its_norm_belong_to_their_modality():
    assert owner_of("model.encoders.cxr.layers.0.weight") == "cxr"
    assert owner_of("model.norms.labs.weight") == "labs"
    assert owner_of("objective.head.weight") is None
    assert owner_of("model.missing_modality.substitute") is None


def one_step(task: Any, store: CohortStore) -> tuple[dict[str, float], dict[str, Tensor]]:
    training = set_up_alone(task, store, seed=0, accelerator="cpu")
    batch, generator = next(training_batches(training, epoch=1))
    found = train_step(training, batch, generator, epoch=1, step=1)
    return found, training.learner.state_dict()


def test_a_balance_of_factors_of_1_trains_to_the_same_weights_to_the_bit(
    catalog: Catalog, synthetic_store: CohortStore, monkeypatch: pytest.MonkeyPatch
):
    plain = one_step(mlp_task(catalog, task=OUTCOME), synthetic_store)
    monkeypatch.setattr(
        MultiLossBalance, "coefficients", lambda self, scores: dict.fromkeys(scores, 1.0)
    )
    balanced = one_step(mlp_task(catalog, 'balance={name="mlb"}', task=OUTCOME), synthetic_store)
    for key, value in plain[1].items():
        assert torch.equal(value, balanced[1][key]), key
    assert plain[0] == {k: v for k, v in balanced[0].items() if not k.startswith("balance/")}
    assert {"score/cxr", "score/ecg", "score/labs"} <= plain[0].keys()


class Sum(Balance):
    """The sum of the terms' gradients, each computed by itself."""

    separate = True

    def combine(self, step: StepGradients) -> list[Tensor | None]:
        return summed(list(step.terms.values()))


def test_the_sum_of_separate_gradients_is_the_gradient_of_the_total(
    catalog: Catalog, synthetic_store: CohortStore
):
    name = f"{__name__}:Sum"
    for overrides in ((), ("missing_modality=predicted",)):
        plain = one_step(mlp_task(catalog, *overrides, task=OUTCOME), synthetic_store)
        apart = one_step(
            mlp_task(catalog, *overrides, f'balance={{name="{name}"}}', task=OUTCOME),
            synthetic_store,
        )
        assert plain[0]["gradient_norm"] == pytest.approx(apart[0]["gradient_norm"], rel=1e-5)
        assert plain[0]["loss"] == apart[0]["loss"]


@pytest.mark.parametrize("name", sorted(BALANCES))
def test_each_balance_has_a_task_that_trains(
    name: str, catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task = mlp_task(catalog, "epochs=2", task=f"pretraining/balance/{name}")
    assert task.balance is not None
    assert task.balance.name == name
    run = train(task, store=synthetic_store, run=Run(tmp_path / name), seed=0, accelerator="cpu")
    assert run.is_finished
    assert resolve(name, BALANCES)
    factors = {key for key in run.history[-1] if key.startswith("balance/")}
    is_scaled = name in ("mlb", "ogm_ge")
    assert factors == {f"balance/factor_{m}" for m in ("cxr", "ecg", "labs") if is_scaled}


@pytest.mark.parametrize(
    ("task", "overrides", "message"),
    [
        ("pretraining/clip", ('balance={name="mlb"}',), "the objective has no heads of single mod"),
        ("pretraining/clip", ('balance={name="mgda"}',), "the loss of this objective has one term"),
        (
            OUTCOME,
            ('balance={name="ogm_ge"}', "objective.unimodal_weight=0.0"),
            "expected the objective 'outcome' with a unimodal_weight above 0",
        ),
        (
            OUTCOME,
            ('balance={name="mlb", most=0.5}',),
            "most is 0.5; expected a number of at least",
        ),
        (OUTCOME, ('balance={name="mlb", best=1}',), "unknown argument 'best'"),
        (OUTCOME, ('balance={name="balgrad"}',), "the objective has agreement = 0"),
        (
            OUTCOME,
            ('balance={name="mcr"}',),
            "expected the objective 'outcome' with an effect above",
        ),
        (
            "pretraining/balance/mcr",
            ("balance.cooperation=-2.0",),
            "cooperation is -2.0; expected a number from -1 to 1",
        ),
        (OUTCOME, ("objective.agreement=1.0", "objective.unimodal_weight=0.0"), "heads of single"),
        (OUTCOME, ("objective.effect=1.0",), "which only the balance 'mcr' gives to encoders"),
        (OUTCOME, ("objective.effect=1.0", 'balance={name="mlb"}'), "only the balance 'mcr'"),
        (
            OUTCOME,
            (
                'balance={name="mlb"}',
                'encoders.cxr={name="pixels", layout="image"}',
                'encoders.labs={name="pixels", layout="panel"}',
            ),
            "those of cxr and labs have one network; expected a network for each modality",
        ),
        (OUTCOME, ('balance={name="mlbb"}',), "unknown balance 'mlbb'; did you mean 'mlb'"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(
    task: str,
    overrides: tuple[str, ...],
    message: str,
    catalog: Catalog,
    synthetic_store: CohortStore,
):
    with pytest.raises(DefinitionError, match=message):
        one_step(mlp_task(catalog, *overrides, task=task), synthetic_store)


def test_a_balance_without_combine_is_refused():
    with pytest.raises(NotImplementedError, match="Balance has no `combine`; define it"):
        Balance().combine(step_of({}, ()))

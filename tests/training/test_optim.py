import math

import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Optimiser
from clinical_symile.data.store import CohortStore
from clinical_symile.training.learner import build_learner
from clinical_symile.training.optim import learning_rate, parameter_groups
from tests.helpers.synthetic import tiny


def test_only_weights_of_layers_decay(catalog: Catalog, synthetic_store: CohortStore) -> None:
    task = tiny(
        catalog,
        "pretraining/symile",
        "norm=layer_norm",
        "missing_modality=learned",
        "optimiser.weight_decay=0.5",
    )
    learner = build_learner(task, synthetic_store, seed=0)
    decayed, kept = parameter_groups(learner, task.optimiser)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.5, 0.0)
    names = {id(parameter): name for name, parameter in learner.named_parameters()}
    with_decay = {names[id(parameter)] for parameter in decayed["params"]}
    without = {names[id(parameter)] for parameter in kept["params"]}
    assert with_decay | without == set(names.values())
    assert not with_decay & without
    assert {"objective.log_logit_scale", "model.missing_modality.substitute"} <= without
    assert {f"model.norms.{m}.{part}" for m in task.modalities for part in ("weight", "bias")} <= (
        without
    )
    layers = torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d
    assert with_decay == {
        f"{name}.weight" for name, module in learner.named_modules() if isinstance(module, layers)
    }


def test_the_learning_rate_rises_linearly_and_falls_as_half_a_cosine() -> None:
    # 8 steps, a quarter of them to warm up: 1/3 and 2/3 of the peak, then with shares 0, 1/6 … 5/6
    # of the fall (1 + cos(π share)) / 2.
    optimiser = Optimiser(
        learning_rate=2.0, weight_decay=0.0, warmup_fraction=0.25, gradient_clip=1.0
    )
    found = [learning_rate(optimiser, step, 8) for step in range(8)]
    r = math.sqrt(3) / 2
    fall = [1.0, (1 + r) / 2, 0.75, 0.5, 0.25, (1 - r) / 2]
    assert found == pytest.approx([2 / 3, 4 / 3, *(2 * share for share in fall)])


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    optimiser = Optimiser(
        learning_rate=2.0, weight_decay=0.0, warmup_fraction=0.0, gradient_clip=1.0
    )
    assert learning_rate(optimiser, 0, 4) == 2.0
    assert learning_rate(optimiser, 3, 4) == pytest.approx(1 - math.sqrt(0.5))

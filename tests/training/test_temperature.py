"""A temperature that follows the training's progress."""

from pathlib import Path

import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import TemperatureSchedule
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner
from clinical_symile.training.temperature import (
    fix_temperature,
    scheduled_temperature,
    set_temperature,
)
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task

LINEAR = 'temperature_schedule={shape="linear", first=0.2, last=0.1}'


@pytest.mark.parametrize(
    ("shape", "periods", "expected"),
    [
        ("linear", 1, [0.3, 0.25, 0.2, 0.15, 0.1]),
        ("cosine", 1, [0.3, 0.2, 0.1, 0.2, 0.3]),
        ("cosine", 2, [0.3, 0.1, 0.3, 0.1, 0.3]),
    ],
)
def test_the_shapes_by_hand(shape, periods: int, expected: list[float]) -> None:
    schedule = TemperatureSchedule(shape=shape, first=0.3, last=0.1, periods=periods)
    found = [scheduled_temperature(schedule, step / 4) for step in range(5)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("method", ["drop", "subsets"])
def test_every_scale_of_an_objective_is_set_and_none_is_learned(
    method: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = mlp_task(catalog, LINEAR, f"missing_modality={method}")
    objective = build_learner(task, synthetic_store, seed=0).objective
    fix_temperature(objective, task)
    set_temperature(objective, task, 0.5)
    scales = [v for k, v in objective.named_parameters() if k.endswith("log_logit_scale")]
    assert len(scales) == (2 if method == "subsets" else 1)
    for scale in scales:
        assert scale.exp().item() == pytest.approx(1 / 0.15)
        assert not scale.requires_grad


def test_a_run_ends_at_the_temperature_of_its_last_step_and_resumes_to_the_bit(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task = mlp_task(catalog, LINEAR, "epochs=2", task="pretraining/clip")

    def learn(name: str, stop: int | None = None) -> Run:
        def stop_there(run: Run) -> None:
            if len(run.history) == stop:
                raise KeyboardInterrupt

        run = Run(tmp_path / name)
        return train(
            task, store=synthetic_store, run=run, seed=0, accelerator="cpu", on_epoch=stop_there
        )

    whole = learn("whole")
    steps = whole.history[-1]["step"]
    for epoch in whole.history:
        expected = 0.2 - 0.1 * (epoch["step"] - 1) / (steps - 1)
        assert epoch["logit_scale"] == pytest.approx(1 / expected, rel=1e-5)
    assert whole.history[-1]["logit_scale"] == pytest.approx(1 / 0.1, rel=1e-5)
    with pytest.raises(KeyboardInterrupt):
        learn("stopped", stop=1)
    assert learn("stopped").weights.read_bytes() == whole.weights.read_bytes()


def test_without_a_schedule_nothing_is_set(catalog: Catalog, synthetic_store: CohortStore) -> None:
    task = mlp_task(catalog)
    objective = build_learner(task, synthetic_store, seed=0).objective
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    fix_temperature(objective, task)
    set_temperature(objective, task, 0.5)
    assert all(torch.equal(objective.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.requires_grad for parameter in objective.parameters())


@pytest.mark.parametrize(
    ("task", "schedule", "message"),
    [
        ("objectives/mv_dhel", LINEAR, None),
        ("objectives/decoupled_uniformity", LINEAR, "'decoupled_uniformity' learns no temperature"),
        (
            "clip",
            'temperature_schedule={shape="cosine", first=0.2, last=0.005}',
            r"reaches a logit scale of 200, above the objective's logit_scale_max = 100",
        ),
    ],
)
def test_an_objective_that_it_does_not_fit_is_refused(
    task: str,
    schedule: str,
    message: str | None,
    catalog: Catalog,
    synthetic_store: CohortStore,
) -> None:
    asked = mlp_task(catalog, schedule, task=f"pretraining/{task}")
    objective = build_learner(asked, synthetic_store, seed=0).objective
    if message is None:
        fix_temperature(objective, asked)
        return
    with pytest.raises(DefinitionError, match=message):
        fix_temperature(objective, asked)

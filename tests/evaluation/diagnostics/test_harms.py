"""Harms of under-sampling: known values, and none where both trainings had the same data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs, DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.harms import (
    Harms,
    balanced_twin,
    confidence_effects,
    harm_measures,
)
from clinical_symile.tracking.run import Run
from tests.helpers.examined import examined, intervals_of, value_of
from tests.helpers.predicted import PROBE, planted

METRICS = ("representation_harm",)
GROUPS = np.repeat(["x", "y"], 60).astype(object)


def _twin_of(inputs: DiagnosticInputs, z: np.ndarray):
    return replace(inputs.model, embeddings=replace(inputs.model.embeddings, z=torch.from_numpy(z)))


def _found(made: list[DiagnosticMeasure]) -> dict[str, float]:
    return {one.metric.name: value_of(one) for one in made}


def _apart(cosine: float) -> np.ndarray:
    """Two groups of 60 samples with one cosine between all of their vectors."""
    first, second = [1.0, 0.0], [cosine, np.sqrt(1 - cosine**2)]
    return np.repeat(np.array([first, second]), 60, axis=0)[:, None].repeat(2, axis=1)


def test_the_representation_harm_has_its_known_value() -> None:
    outcome = np.arange(120) % 2
    table = {
        "outcome": "event",
        "probe": PROBE,
        "diagnostic": {"name": "harms", "group": "g", "twin": "t"},
        "metrics": list(METRICS),
        "primary": METRICS[0],
    }
    inputs = examined(_apart(0.6), outcome=outcome, table=table)
    twin = _twin_of(inputs, np.tile(_apart(0.2), (3, 1, 1)))
    found = _found(harm_measures(inputs, twin, groups=GROUPS, kept=np.ones(360, dtype=bool)))
    assert found["representation_harm/x-y/a"] == pytest.approx(0.5, abs=1e-10)
    assert found["representation_harm"] == pytest.approx(0.5, abs=1e-10)


def test_the_effects_have_their_known_values() -> None:
    found = confidence_effects(
        own_probe=np.array([0.65]), full_probe=np.array([0.7]), balanced=np.array([0.8])
    )
    known = {"total_effect": -0.15, "indirect_effect": -0.1, "direct_effect": -0.05}
    for name, value in known.items():
        assert found[name][0] == pytest.approx(value, abs=1e-10)


@pytest.fixture
def inputs(rng: np.random.Generator) -> DiagnosticInputs:
    made = planted("importance", (2.0, 1.0), rng, metrics=("total",))
    return replace(made, request=replace(made.request))


def test_the_same_data_do_no_harm_exactly_and_by_interval(
    inputs: DiagnosticInputs, rng: np.random.Generator
) -> None:
    everyone = np.ones(len(inputs.store.samples), dtype=bool)
    z = inputs.model.embeddings.z.numpy()
    found = _found(harm_measures(inputs, inputs.model, groups=GROUPS, kept=everyone))
    assert found["representation_harm"] == 1
    for name in ("total_effect", "indirect_effect", "direct_effect"):
        assert found[name] == 0
    # Trained on the same data elsewhere: the same but for noise.
    twin = _twin_of(inputs, z + 0.05 * rng.normal(size=z.shape))
    intervals = intervals_of(harm_measures(inputs, twin, groups=GROUPS, kept=everyone), len(GROUPS))
    assert intervals["representation_harm"].low <= 1 <= intervals["representation_harm"].high
    for name in ("total_effect", "indirect_effect"):
        assert intervals[name].low <= 0 <= intervals[name].high


def test_a_group_that_a_probe_hardly_saw_is_harmed_directly(rng: np.random.Generator) -> None:
    """Representations are the same, and the outcome of group y stands in the other direction."""
    made = planted("importance", (0.0, 0.0), rng, metrics=("total",))
    outcome, y = np.arange(120) % 2, np.arange(120) >= 60
    sign = np.where(y, -1, 1) * (outcome - 0.5)
    z = made.model.embeddings.z.numpy()
    z[:, :, 0] += 4 * np.tile(sign, 3)[:, None]
    z[:, :, 1] += 4 * np.tile(y, 3)[:, None] * (np.tile(outcome, 3)[:, None] - 0.5)
    kept = np.ones(360, dtype=bool)
    kept[:120] = ~y
    found = _found(harm_measures(made, made.model, groups=GROUPS, kept=kept))
    assert found["indirect_effect/y"] == 0
    assert found["total_effect/y"] == found["direct_effect/y"] < -0.05
    assert found["direct_effect/y"] < found["direct_effect/x"] - 0.05
    assert found["representation_harm"] == 1


def test_groups_of_few_subjects_are_left_out(inputs: DiagnosticInputs) -> None:
    groups = GROUPS.copy()
    groups[60:75] = None
    everyone = np.ones(len(inputs.store.samples), dtype=bool)
    found = _found(harm_measures(inputs, inputs.model, groups=groups, kept=everyone))
    assert {name.partition("/")[2] for name in found if name.startswith("total")} == {"", "x"}
    assert not [name for name in found if name.startswith("representation_harm")]
    with pytest.raises(CannotScore, match="no group has 50 subjects"):
        harm_measures(inputs, inputs.model, groups=np.full(120, None), kept=everyone)


def test_what_a_sample_lacks_may_hold_anything(inputs: DiagnosticInputs) -> None:
    inputs.request.available[::3, 1] = False
    everyone = np.ones(len(inputs.store.samples), dtype=bool)
    z = inputs.model.embeddings.z.numpy()
    found = []
    for hidden in (0.0, np.nan):
        filled = z.copy()
        filled[inputs.request.rows[::3], 1] = hidden
        has = inputs.model.embeddings.available.clone()
        has[torch.from_numpy(inputs.request.rows[::3].copy()), 1] = False
        embeddings = replace(inputs.model.embeddings, z=torch.from_numpy(filled), available=has)
        model = replace(inputs.model, embeddings=embeddings)
        examined_again = DiagnosticInputs(inputs.request, model, inputs.store)
        found.append(_found(harm_measures(examined_again, model, groups=GROUPS, kept=everyone)))
    assert found[0] == found[1]


def test_a_model_without_a_record_is_refused(inputs: DiagnosticInputs) -> None:
    with pytest.raises(CannotScore, match="has no record of its training"):
        Harms(group="sex", twin="runs/x").measure(inputs)


def _record(folder: Path, **changes: object) -> Run:
    run = Run(folder)
    run.write_metadata(
        {
            "name": folder.name,
            "task": "pretraining/symile",
            "store_digest": "a",
            "seed": 0,
            "finished": "2026-01-01T00:00:00+00:00",
            "definition": {"kind": "pretraining", "epochs": 2},
            **changes,
        }
    )
    return run


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "differs by seed"),
        ({"store_digest": "b"}, "differs by store_digest"),
        ({"definition": {"kind": "pretraining", "epochs": 3}}, "differs by definition"),
        (
            {"definition": {"kind": "pretraining", "epochs": 2, "undersample": {"keep": 1}}},
            "undersample, which it has too",
        ),
        ({"finished": None}, "is no finished run"),
    ],
)
def test_another_run_is_no_twin(
    changes: dict[str, object], words: str, tmp_path: Path, inputs: DiagnosticInputs
) -> None:
    few = {"kind": "pretraining", "epochs": 2, "undersample": {"keep": 0.1}}
    own, twin = _record(tmp_path / "own", definition=few), _record(tmp_path / "twin", **changes)
    with pytest.raises(CannotScore, match=words):
        balanced_twin(own, twin, inputs)

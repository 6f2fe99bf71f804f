"""What holds for every registered diagnostic, with the arguments of its task in the catalog."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.diagnostics.base import (
    Diagnostic,
    DiagnosticInputs,
    DiagnosticMeasure,
)
from clinical_symile.evaluation.evaluate import Evaluation, evaluate
from clinical_symile.evaluation.leak_checks.predictions import diagnostic_leaks
from clinical_symile.evaluation.predictors.base import draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.objectives.clip import Clip
from clinical_symile.registry.base import literal_of, resolve
from clinical_symile.registry.families import DIAGNOSTICS
from tests.helpers.examined import value_of

pytestmark = pytest.mark.usefixtures("few_resamples")
# It compares two trained runs: `test_harms.py` has its contract.
OF_TWO_RUNS = {"harms"}
each_diagnostic = pytest.mark.parametrize("name", sorted({*DIAGNOSTICS.builtin} - OF_TWO_RUNS))
# Arguments that toy data of twelve samples need.
ONE_FIT = "probe.strengths=[1.0]"
SMALLER = {
    **dict.fromkeys(("agreement", "conflict", "dominance", "importance"), (ONE_FIT,)),
    "group_shift": (ONE_FIT, "diagnostic.least_subjects=2", "diagnostic.splits=2"),
    "health": ("diagnostic.strengths=[1.0]",),
    "transfer": (ONE_FIT, 'diagnostic.learn_from=["ecg"]'),
}
FEWER: dict[str, dict[str, Any]] = {"gap": {"candidates": 4}}


def _task(catalog: Catalog, name: str) -> DiagnosticTask:
    task = read_task(catalog, f"diagnostic/{name}", overrides=SMALLER.get(name, ()))
    assert isinstance(task, DiagnosticTask)
    assert task.diagnostic.name == name
    return task


def _model(store: CohortStore, *, hidden: float = 0.0) -> EmbeddingPredictor:
    """A model that knows a little of the outcome; what a sample lacks holds `hidden`."""
    present = torch.from_numpy(store.present.copy())
    z = torch.randn(*present.shape, 6, generator=torch.Generator().manual_seed(0)).double()
    z[:, :, 0] += torch.from_numpy(np.nan_to_num(store.outcome("deterioration")))[:, None]
    z = torch.where(present[:, :, None], z, torch.full_like(z, hidden))
    embeddings = Embeddings(z, present, store.modalities, torch.arange(len(z)))
    return EmbeddingPredictor(embeddings, Clip(), store)


def _evaluate(task: DiagnosticTask, store: CohortStore, *patterns: str) -> Evaluation:
    return evaluate(
        task, _model(store), store=store, run="a-0", seed=3, missingness=patterns or None
    )


def _measures(
    task: DiagnosticTask, model: EmbeddingPredictor, order: np.ndarray | None = None
) -> list[DiagnosticMeasure]:
    request = draw_request(task, model.store, parse_pattern("observed"))
    if order is not None:
        request = request.take(order)
    return _made(task).measure(DiagnosticInputs(request, model, model.store))


def _made(task: DiagnosticTask, **changes: Any) -> Diagnostic:
    return resolve(task.diagnostic.name, DIAGNOSTICS)(**{**task.diagnostic.arguments, **changes})


@pytest.mark.parametrize("name", sorted(DIAGNOSTICS.builtin))
def test_it_has_a_task_that_is_not_a_default_one_and_asks_for_every_measure(
    name: str, catalog: Catalog
) -> None:
    task = _task(catalog, name)
    assert not task.default
    assert {*task.metrics} == {*(literal_of(name, DIAGNOSTICS, "measures") or {})}


@each_diagnostic
def test_every_measure_is_a_result_line_with_an_interval_and_the_primary_one_is_among_them(
    name: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = _task(catalog, name)
    made = _evaluate(task, synthetic_store)
    assert made.unscored == []
    for pattern in task.missingness:
        rows = [row for row in made.results if row.missingness == pattern]
        assert {row.metric.partition("/")[0] for row in rows} == {*task.metrics}
        assert task.primary in [row.metric for row in rows]
        assert len({row.metric for row in rows}) == len(rows)
    for row in made.results:
        assert np.isfinite(row.value), row.metric
        if row.interval != "none":
            assert row.low is not None
            assert row.high is not None
            assert row.low < row.high
        assert row.no_interval is None or "all resamples give the same value" in row.no_interval
    assert made.results == _evaluate(task, synthetic_store).results


@each_diagnostic
def test_every_measure_keeps_its_limits_and_its_weighted_form_leaves_out_what_has_no_weight(
    name: str, catalog: Catalog, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    for one in _measures(_task(catalog, name), _model(synthetic_store)):
        metric, arrays = one.metric, [one.columns[column] for column in one.metric.columns]
        assert metric.low - 1e-9 <= value_of(one) <= metric.high + 1e-9, metric.name
        assert metric.weighted is not None
        kept = rng.random(len(arrays[0])) < 0.7
        fewer = [np.where(kept, array, np.nan) for array in arrays]
        found = metric.weighted(np.stack([np.ones(len(kept)), kept]), *arrays)
        np.testing.assert_allclose(
            found, [metric.compute(*arrays), metric.compute(*fewer)], atol=1e-9
        )


@each_diagnostic
def test_the_order_of_samples_changes_nothing(
    name: str, catalog: Catalog, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    task, model = _task(catalog, name), _model(synthetic_store)
    first = _measures(task, model)
    again = _measures(task, model, rng.permutation(len(next(iter(first[0].columns.values())))))
    for one, other in zip(first, again, strict=True):
        assert one.metric.name == other.metric.name
        assert value_of(other) == pytest.approx(value_of(one), abs=1e-9), one.metric.name


@each_diagnostic
def test_what_a_sample_lacks_may_hold_anything(
    name: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = _task(catalog, name)
    zeros, nans = (
        _measures(task, _model(synthetic_store, hidden=value)) for value in (0.0, np.nan)
    )
    for one, other in zip(zeros, nans, strict=True):
        assert value_of(one) == value_of(other)


@each_diagnostic
def test_no_diagnostic_leaks(name: str, catalog: Catalog) -> None:
    made = _made(_task(catalog, name), **FEWER.get(name, {}))
    assert list(diagnostic_leaks(made)) == []


@each_diagnostic
def test_it_is_measured_under_patterns_too(
    name: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = _task(catalog, name)
    made = _evaluate(task, synthetic_store, "without-labs", "mcar-30")
    for pattern in ("without-labs", "mcar-30"):
        rows = [row for row in made.results if row.missingness == pattern]
        left = [row for row in made.unscored if row.missingness == pattern]
        assert rows or left
        assert not [row for row in rows if pattern == "without-labs" and "labs" in row.metric]
        assert all(row.code in ("CS-S007", "CS-S008", "CS-S014") for row in left)


def test_a_plug_in_is_named_as_module_and_attribute(synthetic_store: CohortStore) -> None:
    assert "clinical_symile.evaluation.diagnostics.health:Health" not in DIAGNOSTICS
    named = {"name": "clinical_symile.evaluation.diagnostics.health:Health"}
    task = DiagnosticTask.model_validate(
        {
            "name": "diagnostic/mine",
            "kind": "diagnostic",
            "description": "DiagnosticMeasure by an object of another package.",
            "inputs": ("cxr", "labs"),
            "split": "held_out",
            "missingness": ("complete",),
            "metrics": ("alignment",),
            "primary": "alignment",
            "diagnostic": named,
        }
    )
    made = _evaluate(task, synthetic_store)
    assert [row.metric for row in made.results] == ["alignment", "alignment/cxr-labs"]


def test_a_diagnostic_that_reads_what_is_hidden_is_found() -> None:
    class Reads:
        """A diagnostic that averages every slot."""

        def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
            from clinical_symile.evaluation.diagnostics.measures import sample_mean

            z = inputs.model.embeddings.z[torch.from_numpy(inputs.request.rows.copy())]
            values = torch.nan_to_num(z).double().mean(dim=(1, 2)).numpy()
            return [sample_mean("mean", values, low=-1.0, high=1.0)]

    leaks = list(diagnostic_leaks(Reads()))
    assert any("the measure 'mean' changes when hidden slots hold" in leak for leak in leaks)


def test_a_model_of_another_cohort_is_measured_by_means_of_its_own(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    model = _model(synthetic_store)
    source = replace(model, embeddings=replace(model.embeddings, z=-model.embeddings.z))
    task = _task(catalog, "gap")
    own, other = (
        {one.metric.name: value_of(one) for one in _measures(task, some)}
        for some in (model, replace(model, source=lambda: source))
    )
    assert own["gap"] == other["gap"]
    assert own["gap_removed"] != other["gap_removed"]

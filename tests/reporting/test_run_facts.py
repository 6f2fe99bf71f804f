"""What a leaderboard knows of a run: from its record alone, and nothing that is not there."""

from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.run_facts import RunFacts, run_facts
from tests.helpers.report_data import TASKS, made_cohort, made_history, made_run

COHORT = made_cohort()
DATA = ReportData(results=[], tasks=TASKS, cohort=COHORT, baselines={"prevalence": "The share."})


def _facts(histories: dict[str, Any] | None = None, **changes: Any) -> RunFacts:
    record = {**made_run("clip", 0), **changes}
    return run_facts(replace(DATA, runs=[record], histories=histories or {}), "clip-0")


def test_a_baseline_and_an_external_model_have_no_costs():
    assert run_facts(DATA, "prevalence") == RunFacts(kind="baseline")
    assert run_facts(DATA, "theirs") == RunFacts(kind="external")


def test_a_record_without_costs_gives_none():
    assert _facts() == RunFacts(kind="trained")


def test_recorded_costs_are_read():
    training = {"wall_s": 60, "processor_s": 110.5, "peak_memory_bytes": 1 << 30, "energy_j": 5.0}
    costs = {"device": "H200", "parameters_used": 7, "flops_per_sample": 9, "training": training}
    facts = _facts({"clip-0": made_history(3)}, costs=costs)
    assert (facts.training_s, facts.processor_s, facts.energy_j) == (60, 110.5, 5)
    assert (facts.memory_bytes, facts.parameters, facts.flops) == (1 << 30, 7, 9)
    assert facts.device == "H200"


@pytest.mark.parametrize(
    "junk", ["text", [], {"training": 3, "parameters_used": True, "device": 4}]
)
def test_costs_of_another_form_are_unknown(junk: Any):
    assert _facts(costs=junk) == RunFacts(kind="trained")


def test_training_time_of_an_older_run_is_the_sum_of_its_epochs():
    assert _facts({"clip-0": made_history(12)}).training_s == 24
    unknown = [*made_history(2), {"epoch": 3}]
    assert _facts({"clip-0": unknown}).training_s is None


def test_the_train_split_is_that_of_the_store_the_run_was_trained_on():
    assert _facts(store_digest=COHORT["digest"]).train_samples == "2\N{NARROW NO-BREAK SPACE}400"
    assert _facts(store_digest="0123456789abcdef").train_samples is None


def test_a_method_with_arguments_is_known_by_its_name():
    definition = {"missingness": "mcar-50", "missing_modality": {"name": "learned", "scale": 2}}
    facts = _facts(definition=definition)
    assert (facts.trained_with, facts.missing_modality) == ("mcar-50", "learned")

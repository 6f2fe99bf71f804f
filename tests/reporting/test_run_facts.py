"""What a leaderboard knows of a run: from its record alone, and nothing that is not there."""

from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.errors import DataError
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.run_facts import RunFacts, run_facts
from clinical_symile.tracking.costs import RunCosts
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
    assert _facts() == RunFacts(kind="trained", costs=RunCosts(run="clip-0"))


def test_recorded_costs_are_read():
    training = {"wall_s": 60, "processor_s": 110.5, "peak_memory_bytes": 1 << 30, "energy_j": 5.0}
    costs = {"device": "H200", "parameters_used": 7, "flops_per_sample": 9, "training": training}
    found = _facts({"clip-0": made_history(3)}, costs=costs).costs
    assert (found.training_s, found.training_processor_s, found.energy_j) == (60, 110.5, 5)
    assert (found.training_peak_bytes, found.parameters_used) == (1 << 30, 7)
    assert (found.flops_per_sample, found.device) == (9, "H200")


@pytest.mark.parametrize(
    "junk", ["text", [], {"training": 3, "parameters_used": True, "device": 4}]
)
def test_costs_of_another_form_are_refused(junk: Any):
    with pytest.raises(DataError, match=r"run 'clip-0': costs in run\.toml: "):
        _facts(costs=junk)


def test_training_time_of_an_older_run_is_the_sum_of_its_epochs():
    assert _facts({"clip-0": made_history(12)}).costs.training_s == 24
    unknown = [*made_history(2), {"epoch": 3}]
    assert _facts({"clip-0": unknown}).costs.training_s is None


def test_the_train_split_is_that_of_the_store_the_run_was_trained_on():
    assert _facts(store_digest=COHORT["digest"]).train_samples == "2\N{NARROW NO-BREAK SPACE}400"
    assert _facts(store_digest="0123456789abcdef").train_samples is None


def test_a_method_with_arguments_is_known_by_its_name():
    definition = {"missingness": "mcar-50", "missing_modality": {"name": "learned", "scale": 2}}
    facts = _facts(definition=definition)
    assert (facts.trained_with, facts.missing_modality) == ("mcar-50", "learned")

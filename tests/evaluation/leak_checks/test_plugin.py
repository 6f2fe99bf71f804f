from dataclasses import replace

import pytest

from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks.plugin import check_plugin, metric_problems
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import METRICS, RETRIEVAL_METRICS


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_of_the_package_keeps_the_contract(name: str):
    assert metric_problems(resolve(name, METRICS), name=name) == []


def test_a_metric_that_breaks_the_contract_has_every_problem_named():
    right = resolve("recall_at_1", RETRIEVAL_METRICS)
    assert right.weighted is not None
    wrong = replace(
        right,
        low=2.0,
        high=3.0,
        weighted=lambda weights, *arrays: 1 + right.weighted(weights, *arrays),
        each=lambda *arrays: 1 + right.each(*arrays),
    )
    problems = "\n".join(metric_problems(wrong, name="other"))
    for told in ("its name is 'recall_at_1'", "expected 2 to 3", "mean of `each`", "weighted form"):
        assert told in problems
    assert metric_problems(object(), name="other") == ["is a object; expected a Metric."]
    assert "reads x" in metric_problems(replace(right, columns=("x",)), name="recall_at_1")[0]


def test_a_package_that_registers_nothing_is_refused():
    with pytest.raises(DefinitionError, match="no installed package of this name registers"):
        check_plugin("no-such-plugin")

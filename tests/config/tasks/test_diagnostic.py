from typing import Any

import pytest

from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.read import applicability_problems, parse_task, task_digest
from clinical_symile.errors import DefinitionError

TASK: dict[str, Any] = {
    "kind": "diagnostic",
    "description": "Examine.",
    "inputs": ["cxr", "ecg"],
    "split": "held_out",
    "missingness": ["complete"],
    "metrics": ["cross_uniformity"],
    "primary": "cross_uniformity",
    "diagnostic": {"name": "health"},
}


def _parse(**changes: Any) -> DiagnosticTask:
    made = parse_task({**TASK, **changes}, name="diagnostic/x", where="x.toml")
    assert isinstance(made, DiagnosticTask)
    return made


def test_a_model_receives_its_inputs_and_a_group_of_patterns_is_written_out_for_them() -> None:
    task = _parse(missingness=["every"])
    assert task.input_modalities == task.modalities == ("cxr", "ecg")
    assert task.missingness == ("complete", "without-ecg", "without-cxr")


def test_arguments_of_the_diagnostic_are_in_the_digest() -> None:
    centred = _parse(diagnostic={"name": "health", "centred": True})
    assert centred.diagnostic.arguments == {"centred": True}
    assert task_digest(centred) != task_digest(_parse())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"diagnostic": {"name": "helth"}}, "unknown diagnostic 'helth'; did you mean 'health'"),
        ({"diagnostic": {"name": "health", "x": 1}}, "unknown argument 'x'"),
        ({"diagnostic": {"name": "gap", "noise": 0.1, "shifts": [1]}}, "has no 'candidates'"),
        ({"metrics": ["gap"], "primary": "gap"}, "unknown measure 'gap'"),
        ({"metrics": ["alignment"]}, "primary 'cross_uniformity' is not one of the metrics"),
        ({"margin": 0.1}, "margin is of metrics that models are compared by"),
        ({"missingness": ["without-labs"]}, "labs"),
    ],
)
def test_a_wrong_field_is_refused_in_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        _parse(**changes)
    assert any(words in str(problem) for problem in caught.value.problems)


def test_a_cohort_without_a_modality_is_named() -> None:
    assert applicability_problems(_parse(), ["cxr", "ecg"], []) == []
    (problem,) = applicability_problems(_parse(), ["cxr"], [])
    assert "it has no modality 'ecg'" in problem

from typing import Any

import pytest

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.errors import DefinitionError

TASK: dict[str, Any] = {
    "kind": "classification",
    "description": "Predict.",
    "outcome": "died",
    "inputs": ["ecg", "labs"],
    "split": "held_out",
    "probe": {"name": "logistic", "strengths": [1.0]},
    "missingness": ["complete"],
    "metrics": ["auroc", "brier"],
    "primary": "auroc",
}


def _parse(**changes: Any) -> Classification:
    made = parse_task({**TASK, **changes}, name="classification/x", where="x.toml")
    assert isinstance(made, Classification)
    return made


def test_a_model_receives_the_inputs_and_the_task_reads_no_more():
    task = _parse()
    assert task.input_modalities == task.modalities == ("ecg", "labs")
    assert task.outcomes == ("died",)


def test_a_task_of_one_outcome_and_one_draw_asks_one_question():
    task = _parse()
    assert list(task.questions) == ["died"]
    assert task.questions["died"] == task


def test_every_outcome_and_every_draw_of_labels_is_a_question_of_its_own():
    task = _parse(outcome=["died", "sepsis"], label_share=0.1, label_seeds=[3, 7])
    assert task.outcomes == ("died", "sepsis")
    assert list(task.questions) == ["died/3", "died/7", "sepsis/3", "sepsis/7"]
    one = task.questions["sepsis/7"]
    assert (one.outcome, one.label_seeds, one.label_share) == ("sepsis", (7,), 0.1)


def test_a_group_of_patterns_is_written_out_for_the_inputs():
    assert len(_parse(missingness=["every"]).missingness) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outcome": ["died", "died"]}, "outcome names 'died' twice"),
        ({"label_share": 0.5, "label_seeds": [1, 1]}, "label_seeds names '1' twice"),
        ({"label_seeds": [1, 2]}, "label_seeds draw nothing where label_share is 1"),
        ({"label_share": 0.0}, "label_share"),
        ({"label_share": 1.5}, "label_share"),
        ({"probe": {"name": "logistik"}}, "did you mean 'logistic'"),
        (
            {"probe": {"name": "logistic", "strengths": [1.0], "depth": 3}},
            "probe: unknown argument 'depth'",
        ),
        ({"uncertain": "maybe"}, "uncertain"),
        ({"metrics": ["recall_at_1"]}, "unknown classification metric 'recall_at_1'"),
        ({"missingness": ["without-cxr"]}, "'cxr' is not among the modalities"),
    ],
)
def test_a_wrong_field_is_refused_with_what_to_do(changes: dict[str, Any], message: str):
    with pytest.raises(DefinitionError, match=message):
        _parse(**changes)


def test_uncertain_labels_are_left_out_unless_the_task_counts_them():
    assert _parse().uncertain == "unknown"
    assert _parse(uncertain="positive").uncertain == "positive"

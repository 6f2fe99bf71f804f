from typing import Any

import pytest

from clinical_symile.config.tasks.read import parse_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import DefinitionError
from clinical_symile.missingness.patterns import PATTERN_GROUPS

TASK: dict[str, Any] = {
    "kind": "retrieval",
    "description": "Find.",
    "query": ["ecg", "labs"],
    "target": "cxr",
    "split": "held_out",
    "candidates": 10,
    "missingness": ["complete"],
    "metrics": ["recall_at_1"],
    "primary": "recall_at_1",
}


def _parse(**changes: Any) -> Retrieval:
    made = parse_task({**TASK, **changes}, name="retrieval/x", where="x.toml")
    assert isinstance(made, Retrieval)
    return made


def test_a_model_receives_the_query_and_the_task_reads_the_target_too():
    task = _parse()
    assert task.input_modalities == ("ecg", "labs")
    assert task.modalities == ("ecg", "labs", "cxr")


def test_a_group_of_patterns_is_written_out_for_the_query_alone():
    assert "every" in PATTERN_GROUPS
    task = _parse(missingness=["every"])
    # 2^2 - 1 choices of the two modalities; for two, `only-labs` is `without-ecg`.
    assert len(task.missingness) == 3
    assert task.missingness[0] == "complete"
    assert not any("cxr" in pattern for pattern in task.missingness)


@pytest.mark.parametrize("candidates", [10, "all", "published"])
def test_candidates_are_a_number_all_or_published(candidates: object):
    assert _parse(candidates=candidates).candidates == candidates


@pytest.mark.parametrize("candidates", [1, 0, -3, "some"])
def test_other_candidates_are_refused(candidates: object):
    with pytest.raises(DefinitionError, match="candidates"):
        _parse(candidates=candidates)


def test_candidates_of_the_same_subject_are_drawn_only_where_the_task_says_so():
    assert not _parse().same_subject
    assert _parse(same_subject=True).same_subject
    with pytest.raises(DefinitionError, match="published ones are kept as they are"):
        _parse(same_subject=True, candidates="published")


def test_a_target_that_is_in_the_query_and_a_metric_of_another_kind_are_told_together():
    with pytest.raises(DefinitionError) as caught:
        _parse(target="labs", metrics=["auroc"], primary="auroc")
    told = "\n".join(caught.value.problems)
    assert "target 'labs' is in the query too" in told
    assert "unknown retrieval metric 'auroc'" in told

"""A metric in groups of samples, and the gaps between groups."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.subgroups import groupings, subgroup_results
from clinical_symile.formatting import RARE_GROUPS
from tests.helpers.outcomes import sample_outcomes

SAMPLES = 60


@pytest.fixture
def store(synthetic_store: CohortStore) -> CohortStore:
    """Sixty complete samples; the second half is of sex F. `site` is the same for all."""
    table = {
        "sample": np.arange(SAMPLES),
        "subject": np.arange(SAMPLES),
        "split": "held_out",
        "group_sex": np.repeat(["M", "F"], SAMPLES // 2),
        "group_site": "north",
    }
    present = np.ones((SAMPLES, len(synthetic_store.modalities)), dtype=bool)
    return replace(synthetic_store, samples=pd.DataFrame(table), present=present)


def _scored(task: Retrieval, hits_of_first: int, hits_of_second: int):
    place = np.arange(SAMPLES // 2)
    above = [np.where(place < hits, 0, 1) for hits in (hits_of_first, hits_of_second)]
    table = {"row": np.arange(SAMPLES), "above": np.concatenate(above), "tied": 0}
    at_1 = task.model_copy(update={"primary": "recall_at_1"})
    return {"complete": sample_outcomes(at_1, pd.DataFrame(table | {"candidates": 10}))}


def test_groups_are_the_cohorts_and_the_present_modalities(store: CohortStore):
    present = store.present.copy()
    present[0] = [name == "ecg" for name in store.modalities]
    present[1] = False
    made = groupings(replace(store, present=present))
    assert list(made) == ["sex", "site", "availability"]
    assert set(made["sex"]) == {"M", "F"}
    assert made["availability"][:3].tolist() == ["ecg", "none", "+".join(store.modalities)]


def test_no_label_that_fewer_than_ten_subjects_have_leaves_the_store(
    search_task: Retrieval, store: CohortStore
) -> None:
    samples = store.samples.copy()
    samples["group_sex"] = ["A"] * 9 + ["B"] * 3 + ["C"] * 20 + ["D"] * 28
    samples.loc[12:31, "subject"] = np.repeat(np.arange(12, 22), 2)  # C: ten subjects, two each
    few = replace(store, samples=samples)
    assert groupings(few)["sex"].tolist() == [RARE_GROUPS] * 12 + ["C"] * 20 + ["D"] * 28
    rows = subgroup_results(_scored(search_task, 24, 12), few)
    assert {row.level for row in rows} == {RARE_GROUPS, "C", "D"}
    # As many subjects as ten in all: their joint value is that of any other group.
    (joined,) = [row for row in rows if row.level == RARE_GROUPS]
    assert (joined.n_subjects, joined.withheld) == (12, None)


def test_the_value_of_a_group_is_that_of_its_samples_and_the_gap_the_difference(
    search_task: Retrieval, store: CohortStore
):
    rows = subgroup_results(_scored(search_task, 24, 12), store)
    assert {row.subgroup for row in rows} == {"sex"}, "a subgroup of one level says nothing"
    by_level = {row.level: row for row in rows}
    assert by_level["M"].value == pytest.approx(0.8)
    assert by_level["F"].value == pytest.approx(0.4)
    assert by_level["M"].gap == pytest.approx(0.4)
    assert by_level["F"].gap == pytest.approx(-0.4)
    assert {row.n_samples for row in rows} == {SAMPLES // 2}


def test_two_complementary_groups_are_one_test(search_task: Retrieval, store: CohortStore):
    first, second = subgroup_results(_scored(search_task, 24, 12), store)
    assert first.n_tests == second.n_tests == 1
    assert first.p_holm == second.p_holm
    assert first.p_holm is not None
    assert first.p_holm < 0.05


def test_a_group_of_few_subjects_is_suppressed(search_task: Retrieval, store: CohortStore):
    samples = store.samples.assign(group_sex=["M"] * (SAMPLES - 5) + ["F"] * 5)
    rows = subgroup_results(_scored(search_task, 24, 12), replace(store, samples=samples))
    by_level = {row.level: row for row in rows}
    assert by_level[RARE_GROUPS].value is None
    assert by_level[RARE_GROUPS].n_samples is None
    assert by_level[RARE_GROUPS].withheld

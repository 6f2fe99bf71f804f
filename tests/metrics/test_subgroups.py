import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clinical_symile.metrics.base import weighted_mean
from clinical_symile.metrics.classification import AUROC
from clinical_symile.metrics.retrieval import RECALL_AT_1
from clinical_symile.metrics.subgroups import age_bands, subgroup_estimates

mean = weighted_mean(lambda values: values)


def told(values, subjects, groups, rng, *, classes=None, higher_is_better=True):
    made = subgroup_estimates(
        mean,
        [values],
        subjects,
        groups,
        classes=classes,
        higher_is_better=higher_is_better,
        rng=rng,
    )
    return {group.level: group for group in made}


def test_values_and_gaps_are_those_of_the_rows(rng):
    label, probability = rng.integers(2, size=300), rng.random(300)
    groups = np.array(["a", "b", "c"], dtype=object)[rng.integers(3, size=300)]
    assert AUROC.weighted is not None
    made = subgroup_estimates(
        AUROC.weighted,
        [label, probability],
        np.arange(300),
        groups,
        classes=label,
        higher_is_better=True,
        rng=rng,
    )
    assert [group.level for group in made] == ["a", "b", "c"]
    for group in made:
        inside = groups == group.level
        value = roc_auc_score(label[inside], probability[inside])
        rest = roc_auc_score(label[~inside], probability[~inside])
        assert group.value == pytest.approx(value)
        assert group.gap == pytest.approx(value - rest)
        assert group.n_samples == inside.sum()
        assert group.low is not None
        assert group.high is not None
        assert group.low < value < group.high
    assert sum(group.worst or 0 for group in made) == pytest.approx(1)


def test_a_gap_that_is_there_is_found_and_the_worst_group_named(rng):
    groups = np.repeat(np.array(["f", "m"], dtype=object), 200)
    values = rng.standard_normal(400) - (groups == "m")
    made = told(values, np.arange(400), groups, rng)
    assert made["m"].p_value is not None
    assert made["m"].p_value < 1e-6
    assert made["m"].worst == 1
    assert made["m"].gap == pytest.approx(-(made["f"].gap or 0))
    assert told(-values, np.arange(400), groups, rng, higher_is_better=False)["m"].worst == 1


def test_small_groups_are_withheld_and_no_other_one_follows_from_them(rng):
    groups = np.repeat(np.array(["a", "b", "c"], dtype=object), [9, 40, 80])
    made = told(rng.random(129), np.arange(129), groups, rng)
    assert made["a"].withheld == "fewer than 10 subjects, or samples of a class"
    assert made["b"].withheld == "so that no other group follows"
    for level in "ab":
        assert made[level].value is made[level].gap is made[level].n_samples is None
    assert made["c"].n_samples == 80
    assert made["c"].gap is None  # there is no other group that is told


@pytest.mark.parametrize(
    "sizes", [(100, 100, 1, 2), (100, 90, 80, 9), (50, 12, 11, 5), (9, 9, 9, 9)]
)
@pytest.mark.parametrize("unknown", [0, 3, 20])
def test_what_is_not_told_of_all_samples_is_of_ten_people(sizes, unknown, rng):
    groups = np.repeat(np.array([*"abcd", None], dtype=object), [*sizes, unknown])
    made = told(rng.random(len(groups)), np.arange(len(groups)), groups, rng)
    shown = sum(group.n_samples or 0 for group in made.values())
    assert shown == len(groups) or len(groups) - shown >= 10
    for group in made.values():
        if group.value is not None and group.gap is not None:  # what it stands against is told too
            others = [(g.value or 0, g.n_samples or 0) for g in made.values() if g is not group]
            values, counts = np.array(others).T
            assert group.value - group.gap == pytest.approx((values * counts).sum() / counts.sum())


def test_many_samples_of_few_people_are_withheld(rng):
    groups = np.repeat(np.array(["a", "b", "c"], dtype=object), 60)
    subjects = np.concatenate([np.arange(60) % 9, 100 + np.arange(120) // 2])
    made = told(rng.random(180), subjects, groups, rng)
    assert made["a"].withheld is not None
    assert (made["c"].n_samples, made["c"].n_subjects) == (60, 30)


def test_a_group_with_few_of_a_class_is_withheld(rng):
    label = np.concatenate([np.repeat([0, 1], [91, 9]), np.arange(200) % 2])
    groups = np.repeat(np.array(["a", "b", "c"], dtype=object), 100)
    made = told(rng.random(300), np.arange(300), groups, rng, classes=label)
    assert [level for level in "abc" if made[level].withheld] == ["a", "b"]


def test_samples_of_no_known_group_are_in_none_and_among_no_others(rng):
    values = np.concatenate([np.zeros(20), np.ones(20), np.full(20, 50.0)])
    groups = np.repeat(np.array(["a", "b", None], dtype=object), 20)
    made = told(values, np.arange(60), groups, rng)
    assert set(made) == {"a", "b"}
    assert (made["a"].gap, made["b"].gap) == (-1, 1)


def test_one_group_alone_has_no_gap(rng):
    groups = np.full(30, "a", dtype=object)
    made = told(rng.random(30), np.arange(30), groups, rng)
    assert made["a"].value is not None
    assert made["a"].gap is made["a"].worst is None


def test_a_person_in_two_groups_is_drawn_once(rng):
    """Everyone is in both groups with the same value: the gap is 0 in every resample."""
    values = np.repeat(rng.random(40), 2)
    groups = np.tile(np.array(["early", "late"], dtype=object), 40)
    made = told(values, np.repeat(np.arange(40), 2), groups, rng)
    gap = made["late"]
    assert gap.gap == pytest.approx(0, abs=1e-12)
    if gap.gap_low is not None and gap.gap_high is not None:  # sums differ in their last digits
        assert (gap.gap_low, gap.gap_high) == pytest.approx((0, 0), abs=1e-12)


def test_bands_by_hand():
    ages = np.array([17.0, 18, 64.9, 65, 80, np.nan])
    assert age_bands(ages, [18, 65]).tolist() == ["<18", "18-64", "18-64", "65+", "65+", None]
    assert age_bands(np.array([0.4, 0.5]), [0.5]).tolist() == ["<0.5", "0.5+"]


def test_recall_of_a_group_is_that_of_its_queries(rng):
    above, tied = rng.integers(3, size=100), np.zeros(100, int)
    groups = np.where(np.arange(100) < 50, "a", "b").astype(object)
    assert RECALL_AT_1.weighted is not None
    made = subgroup_estimates(
        RECALL_AT_1.weighted,
        [above, tied],
        np.arange(100),
        groups,
        classes=None,
        higher_is_better=True,
        rng=rng,
    )
    assert made[0].value == pytest.approx((above[:50] == 0).mean())

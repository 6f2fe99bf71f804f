from dataclasses import replace
from itertools import combinations

import pytest

from clinical_symile.reporting.cohort_counts import subjects_sentence
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.text.answers import (
    Decision,
    answer_sentences,
    method_decisions,
    retained_answers,
)
from clinical_symile.tracking.benchmark_tables import MethodComparison
from tests.helpers.report_data import FIRST, OUTCOME, made_data


def decided(data: ReportData) -> list[Decision]:
    return method_decisions(data.comparisons, tasks=data.tasks, series=data.series)


def answers(data: ReportData) -> list[str]:
    found = answer_sentences(data.scores, decided(data), tasks=data.tasks, series=data.series)
    return [sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in found]


def test_what_is_decided_comes_before_what_is_not():
    data = made_data(tasks=(OUTCOME, FIRST))
    data = replace(
        data,
        tasks={name: data.tasks[name] for name in (OUTCOME, FIRST)},
        comparisons=[
            replace(row, difference=0.0, low=-0.04, high=0.04) if row.task == OUTCOME else row
            for row in data.comparisons
        ],
    )
    retrieval, missing, prediction = answers(data)
    assert retrieval == (
        "With ECG and labs at hand, Symile finds the correct chest X-ray first in 71 % of queries, "
        "CLIP in 36 %: Symile is better by 35.0 points (31.0 to 39.0)."
    )
    # made: 14 against 24 % without a modality (twice), 50 against 31 % with 30 % missing
    assert missing == (
        "In retrieval with modalities missing, CLIP is better than Symile in 2 of 3 comparisons "
        "and Symile is better than CLIP in 1 of 3 comparisons (30 % missing at random)."
    )
    assert prediction == (
        "To predict deterioration with chest X-ray, ECG and labs at hand, AUROC is 0.90 for Symile "
        "and 0.55 for CLIP: these data do not tell which is better, nor in any of 7 comparisons "
        "with modalities missing."
    )


def test_nothing_decided_is_said_of_each_kind_of_task():
    data = made_data()
    even = [replace(row, difference=0.0, low=-0.04, high=0.04) for row in data.comparisons]
    sentences = answers(replace(data, comparisons=even))
    assert len(sentences) == 2
    assert all("these data do not tell which is better" in sentence for sentence in sentences)
    assert not any("is better than" in sentence for sentence in sentences)


def test_a_difference_that_is_not_significant_after_adjusting_is_not_decided():
    data = made_data()
    rows = [replace(row, p_holm=0.2) for row in data.comparisons]
    assert not any(one.better for one in decided(replace(data, comparisons=rows)))


def test_lower_is_better_where_the_task_says_so():
    data = made_data(tasks=(OUTCOME,))
    tasks = {OUTCOME: {**data.tasks[OUTCOME], "primary": "brier", "higher_is_better": False}}
    row = replace(data.comparisons[-1], metric="brier", difference=-0.05, low=-0.08, high=-0.02)
    (one,) = method_decisions([row], tasks=tasks, series=data.series)
    assert (one.better, one.worse) == ("Symile", "CLIP")
    assert one.words == "by 0.050 (0.020 to 0.080)"
    assert one.strength == pytest.approx(0.05 / 0.03)


def test_a_method_with_several_seeds_is_better_if_it_is_with_each():
    data = made_data(seeds=(0, 1, 2))
    assert "Symile is better with each of 3 seeds." in answers(data)[0]
    one = next(row for row in data.comparisons if row.missingness == "complete")
    rows = [
        replace(row, low=-0.1) if row == one else row
        for row in data.comparisons
        if (row.task, row.missingness) == (one.task, one.missingness)
    ]
    assert [each.better for each in decided(replace(data, comparisons=rows))] == [""]


def test_a_comparison_over_seeds_replaces_those_of_single_seeds():
    data = made_data(seeds=(0, 1))
    row = MethodComparison(
        cohort="synthetic",
        task=FIRST,
        missingness="complete",
        metric="recall_at_1",
        method="pretraining/symile",
        baseline="pretraining/clip",
        difference=0.1,
        low=-0.05,
        high=0.25,
        n_seeds=2,
        n_baseline_seeds=2,
        n_samples=512,
        n_subjects=400,
        p_value=0.2,
        p_holm=0.2,
        digest="0123456789abcdef",
    )
    found = method_decisions(
        data.comparisons,
        tasks=data.tasks,
        series=data.series,
        methods_compared=[row],
        methods=data.methods_by_task,
    )
    (one,) = [each for each in found if (each.task, each.pattern) == (FIRST, "complete")]
    assert one.better == ""


def test_without_comparisons_the_level_is_told_beside_chance():
    data = made_data(objectives=("clip",))
    assert answers(replace(data, comparisons=[]))[0] == (
        "With ECG and labs at hand, CLIP finds the correct chest X-ray first in 36 % of queries; "
        "chance is 10 %."
    )


def test_retained_answers_begin_with_the_task_on_which_methods_differ():
    data = made_data()
    results = [
        replace(row, missingness=row.missingness.replace("without-ecg", "mcar-60"))
        for row in data.results
    ]
    comparisons = [
        replace(
            row,
            missingness=row.missingness.replace("without-ecg", "mcar-60"),
            low=-1.0 if row.task == FIRST else row.low,
            high=1.0 if row.task == FIRST else row.high,
        )
        for row in data.comparisons
    ]
    data = replace(data, results=results, comparisons=comparisons)
    found = retained_answers(data.scores, decided(data), tasks=data.tasks, series=data.series)
    assert "There, 1 of 1 pairs of methods differ." in found[0]
    assert found[-1].startswith("Find the chest X-ray from ECG and labs")
    assert "There, 0 of 1 pairs of methods differ." in found[-1]


def test_subjects_are_counted_and_small_numbers_and_their_total_withheld():
    def sentence(tuning: int) -> str:
        sizes = {"train": 1200, "tuning": tuning, "held_out": 500}
        counts = {name: {"samples": 2 * n, "subjects": n} for name, n in sizes.items()}
        return subjects_sentence({"counts": counts})

    space = "\N{NARROW NO-BREAK SPACE}"
    assert sentence(300) == (
        f"2{space}000 subjects: 1{space}200 to train, 300 to select and 500 to evaluate."
    )
    assert sentence(9) == f"1{space}200 to train, <10 to select and 500 to evaluate subjects."
    assert subjects_sentence({}) == ""


def test_decided_comparisons_beyond_the_named_pairs_are_counted():
    data, methods = made_data(), ("A", "B", "C", "D")
    decisions = [
        Decision(FIRST, "without-ecg", pair, better=pair[0], words="by 9 points", strength=3.0)
        for pair in combinations(methods, 2)
    ]
    found = answer_sentences(data.scores, decisions, tasks=data.tasks, series=data.series)
    assert any("; 3 more show a better method" in sentence for sentence in found), found


@pytest.mark.parametrize(("higher", "expected"), [(True, (0.1, 0.3)), (False, (0.3, 0.1))])
def test_a_decision_says_what_each_method_may_lose(
    higher: bool, expected: tuple[float, float]
) -> None:
    """The first minus the other is between -0.1 and 0.3."""
    data = made_data(tasks=(FIRST,))
    (row,) = [one for one in data.comparisons if one.missingness == "complete"]
    row = replace(row, difference=0.1, low=-0.1, high=0.3, p_holm=0.4)
    tasks = {FIRST: {**data.tasks[FIRST], "higher_is_better": higher}}
    (found,) = method_decisions([row], tasks=tasks, series=data.series)
    assert found.most_lost == pytest.approx(expected)
    for low, high in ((None, None), (float("nan"), 0.3)):
        unknown = replace(row, low=low, high=high)
        (found,) = method_decisions([unknown], tasks=tasks, series=data.series)
        assert found.most_lost == (None, None)


def test_of_several_seeds_the_worst_bounds_what_may_be_lost() -> None:
    """In the second seed the pair stands the other way round: CLIP minus Symile."""
    data = made_data(seeds=(0, 1), tasks=(FIRST,))
    rows = [one for one in data.comparisons if one.missingness == "complete"]
    rows = [replace(one, p_holm=0.4) for one in rows]
    first = replace(rows[0], run="symile-0", baseline="clip-0", low=-0.1, high=0.3)
    other = replace(rows[0], run="clip-1", baseline="symile-1", low=-0.4, high=0.05)
    (found,) = method_decisions([first, other], tasks=data.tasks, series=data.series)
    assert dict(zip(found.methods, found.most_lost, strict=True)) == {"Symile": 0.1, "CLIP": 0.4}
    unknown = replace(other, low=None)
    (found,) = method_decisions([first, unknown], tasks=data.tasks, series=data.series)
    assert found.most_lost == (None, None)

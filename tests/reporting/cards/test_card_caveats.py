"""Caveats follow from facts: each is there where its fact holds, and only there."""

from dataclasses import replace

import pytest

from clinical_symile.reporting.cards.card_caveats import (
    caveat_sentences,
    evaluated_cohorts,
    is_external,
    unrecorded,
)
from clinical_symile.reporting.cards.model_facts import find_methods
from clinical_symile.reporting.report_data import ReportData
from tests.helpers.card_records import card_data, full_cohort, in_groups
from tests.helpers.report_data import OUTCOME


def told(data: ReportData, place: int = 0) -> str:
    return " ".join(caveat_sentences(find_methods(data)[place], data))


DATA = card_data()
SYNTHETIC = full_cohort(access="open", generator={"parameters": {}})
RUNS = [{**DATA.runs[0], "saw_labels": ["deterioration"]}, *DATA.runs[1:]]
CHANGED = [{**DATA.runs[0], "git_commit": "0123+changes"}, *DATA.runs[1:]]
ELSEWHERE = [replace(row, cohort="other") for row in DATA.results]
FEW = [replace(row, n_subjects=40) for row in DATA.results]
EVENTS = [replace(row, n_smallest_class=61) for row in DATA.results]
CHANCE = [replace(row, low=0.0, high=0.9) for row in DATA.results]
BETTER = [
    replace(row, difference=0.25, low=0.2, high=0.3, p_holm=0.001)
    if row.run == "prevalence"
    else row
    for row in DATA.comparisons
]
LOST = [replace(row, difference=-0.3) for row in DATA.losses]


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("no number here describes patients", replace(DATA, cohort=SYNTHETIC)),
        ("Training read labels of deterioration", replace(DATA, runs=RUNS)),
        ("in no commit", replace(DATA, runs=CHANGED)),
        ("and evaluated on other", replace(DATA, results=ELSEWHERE)),
        ("rests on 40 subjects only", replace(DATA, results=FEW)),
        ("has fewer than 100 samples", replace(DATA, results=EVENTS)),
        ("Not told from the chance level", replace(DATA, results=CHANCE)),
        ("Wide intervals", replace(DATA, results=CHANCE)),
        ("better than this model: prevalence", replace(DATA, comparisons=BETTER)),
        ("AUROC changes by \N{MINUS SIGN}0.300", replace(DATA, losses=LOST)),
    ],
)
def test_a_caveat_is_there_where_its_fact_holds(words: str, changed: ReportData):
    assert words not in told(DATA)
    assert words in told(changed)


def test_a_single_seed_and_a_single_cohort_are_caveats():
    assert "with one seed" in told(DATA)
    assert "with one seed" not in told(card_data(seeds=(0, 1)))
    assert "not validated externally" in told(DATA)
    assert "not validated externally" not in told(replace(DATA, results=ELSEWHERE))


def test_a_baseline_that_is_not_significantly_better_is_no_caveat():
    unclear = [replace(row, p_holm=0.4) if row.run == "prevalence" else row for row in BETTER]
    assert "better than this model" not in told(replace(DATA, comparisons=unclear))


def test_an_evaluation_on_another_cohort_is_external():
    method = find_methods(DATA)[0]
    assert evaluated_cohorts(method, DATA) == ["synthetic"]
    assert not is_external(method, DATA)
    assert is_external(method, replace(DATA, results=ELSEWHERE))


def test_what_the_records_do_not_say_is_listed_and_nothing_else():
    method = find_methods(DATA)[0]
    absent = " ".join(unrecorded(method, DATA))
    assert "licence of the weights" in absent
    assert "performance in groups" in absent
    grouped = in_groups(DATA)
    assert "performance in groups" not in " ".join(unrecorded(method, grouped))
    without = replace(DATA, cohort={}, comparisons=())
    more = " ".join(unrecorded(method, without))
    assert "the cohort's licence" in more
    assert "differences from baselines" in more
    assert "the cohort's licence" not in absent
    costs = {"parameters_used": 9, "training": {"energy_j": 1.0}}
    run = {**DATA.runs[0], "costs": costs}
    known = find_methods(replace(DATA, runs=[run, *DATA.runs[1:]]))[0]
    assert "energy" not in " ".join(unrecorded(known, DATA))


def test_the_most_is_lost_where_the_loss_is_largest():
    losses = [
        replace(row, difference=-0.01 if row.missingness != "without-labs" else -0.2)
        for row in DATA.losses
        if row.task == OUTCOME
    ]
    assert "most is lost without labs" in told(replace(DATA, losses=losses))


def test_the_smallest_task_is_a_bound_where_another_is_hardly_larger():
    results = [
        replace(row, n_subjects=44 if row.task == OUTCOME else 47, n_samples=90)
        for row in DATA.results
    ]
    assert "rests on >37 subjects only" in told(replace(DATA, results=results))

from dataclasses import replace

from clinical_symile.evaluation.task_selection import TRAINED_ON
from clinical_symile.reporting.text.caveats import (
    above_oracle_sentences,
    code_difference_sentence,
    interval_sentence,
    main_caveat,
    seed_caveat,
)
from tests.helpers.report_data import made_data


def test_only_a_significant_excess_over_the_oracle_is_said():
    data = made_data()
    row = replace(data.comparisons[0], run="clip-0", baseline="oracle")
    leak = replace(row, difference=0.2, low=0.12, high=0.28)
    luck = replace(row, difference=0.02, low=-0.01, high=0.05)
    (sentence,) = above_oracle_sentences([leak, luck], tasks=data.tasks, series=data.series)
    assert sentence.endswith("differs from the oracle by +20.0 points (+12.0 to +28.0).")


def test_many_runs_above_the_oracle_are_one_sentence_with_the_least_and_the_most():
    data = made_data()
    row = replace(data.comparisons[0], run="clip-0", baseline="oracle", low=0.12, high=0.28)
    leaks = [replace(row, difference=each / 100) for each in (20, 26, 15, 22, 18)]
    (sentence,) = above_oracle_sentences(leaks, tasks=data.tasks, series=data.series)
    assert sentence.startswith("5 runs, ")
    assert sentence.endswith("by +15.0 points (+12.0 to +28.0) to +26.0 points (+12.0 to +28.0).")
    assert len(above_oracle_sentences(leaks[:4], tasks=data.tasks, series=data.series)) == 4


def test_a_method_with_one_seed_is_named():
    assert "Symile and CLIP were each trained once" in (seed_caveat(made_data().series) or "")
    assert seed_caveat(made_data(seeds=(0, 1)).series) is None


def test_runs_of_the_same_code_need_no_caveat():
    runs = made_data().runs
    assert code_difference_sentence(runs) is None
    mixed = [{**runs[0], "versions": {"torch": "2.14"}}, {**runs[1], "versions": {"torch": "2.15"}}]
    assert "torch 2.14 and 2.15" in (code_difference_sentence(mixed) or "")


def test_runs_of_another_cohort_are_the_main_caveat():
    data = made_data()
    away = [f"'{name}' {TRAINED_ON} 'a' and is evaluated on 'b'." for name in ("x-0", "x-1")]
    for notes, said in ((away[:1], away[0]), (["another note."], None), (away, "2 runs were")):
        sentence = main_caveat(data.results, series=data.series, runs=data.runs, notes=notes)
        assert sentence.startswith(said) if said else "cohort 'a'" not in sentence


def test_without_results_nothing_is_said_of_intervals():
    assert interval_sentence([], tasks={}) is None

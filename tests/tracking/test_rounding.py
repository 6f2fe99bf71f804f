"""What leaves a folder is rounded, so that no small count follows; the arithmetic is by hand."""

import json
from dataclasses import asdict, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import METRICS
from clinical_symile.reporting.record_forms import ROWS
from clinical_symile.tracking.analysis_tables import Measure
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.rounding import (
    SIZES,
    rounded_chance,
    rounded_number,
    rounded_rows,
    rounded_size,
    sizes_in_words,
    value_step,
)
from clinical_symile.tracking.snapshot import tuning_step, with_rounded_tuning
from tests.reporting.test_results import COMPARISON, RESULT, SKIPPED

# Whole numbers of rows that count no people.
MEANS = ("mean_reciprocal_rank", "ndcg_at_10")
OF_NO_PEOPLE = {
    *("seed", "setting", "epoch", "epochs", "bin"),
    *("n_seeds", "n_baseline_seeds", "n_tests", "n_methods"),
}


def rounded(row: Any) -> Any:
    (made,) = rounded_rows([row])
    return made


def test_by_hand_412_and_406_samples_of_412_people():
    whole = replace(RESULT, n_samples=412, n_subjects=412, value=250 / 412)
    part = replace(RESULT, n_samples=406, n_subjects=406, value=250 / 406, missingness="complete")
    assert whole.n_samples - part.n_samples == 6  # lack a measurement
    shown = [rounded(whole), rounded(part)]
    assert [row.n_samples for row in shown] == [410, 400]
    # 250 / 412 is 0.6068 and 250 / 406 is 0.6158; steps are 1/410 and 1/400, and so 0.005.
    assert [row.value for row in shown] == [0.605, 0.615]
    assert all(row.rounded for row in shown)


def test_no_two_rounded_sizes_differ_by_less_than_ten():
    made = {rounded_size(n) for n in range(500)}
    assert min(abs(one - other) for one, other in combinations(made, 2)) == 10
    assert all(0 <= n - rounded_size(n) < 10 for n in range(500))
    for limit in (10, 30, 100):  # limits of the reports say the same of a rounded size
        assert all((rounded_size(n) < limit) == (n < limit) for n in range(500))


@pytest.mark.parametrize("n", [10, 19, 20, 37, 60, 99, 100, 412, 999, 1000, 12_345])
def test_every_size_that_is_rounded_alike_has_every_rounded_share(n: int):
    step, least = value_step(n), rounded_size(n)
    shares = {rounded_number(k / n, step) for k in range(n + 1)}
    for other in range(least, least + 10):
        own = {rounded_number(k / other, step) for k in range(other + 1)}
        assert {share for share in shares if share and share >= step} <= own


def test_a_share_of_three_digits_would_tell_the_size():
    fits = [n for n in range(60, 70) if any(round(k / n, 3) == 0.617 for k in range(n + 1))]
    assert fits == [60]
    fits = [n for n in range(60, 70) if any(abs(k / n - 0.62) <= 0.01 for k in range(n + 1))]
    assert fits == [*range(60, 70)]


def test_rounding_adds_little_to_the_variance_of_a_share():
    for n in (30, 60, 100, 412, 1000, 5000):
        of_rounding, of_sampling = value_step(n) ** 2 / 12, 0.25 / n
        assert of_rounding < 0.03 * of_sampling, n
    assert value_step(412) ** 2 / 12 < 0.01 * 0.25 / 412


@pytest.mark.parametrize("metric", ["recall_at_1", "recall_at_10", "median_rank", *MEANS])
def test_the_number_of_candidates_does_not_follow_from_the_chance_level(metric: str):
    chance_of = resolve(metric, METRICS).chance
    assert chance_of is not None

    def shown(candidates: int) -> float | None:
        chance = float(chance_of(np.full(5, candidates)))
        return rounded_chance(replace(RESULT, metric=metric, chance=chance, n_samples=candidates))

    for least in range(10, 130, 10):
        alike = {shown(candidates) for candidates in range(least, least + 10)}
        assert len(alike) == 1
        assert alike.pop() == pytest.approx(float(chance_of(np.full(5, least))), rel=1e-4)


def test_the_chance_level_of_few_listed_candidates_stays():
    row = replace(RESULT, metric="recall_at_1", chance=0.1, n_samples=412)
    for candidates, n_samples in ((10, 412), (12, 60), (64, 200), (150, 412)):
        listed = replace(row, chance=1 / candidates, n_samples=n_samples)
        assert rounded_chance(listed) == 1 / candidates
    assert rounded_chance(replace(row, metric="auroc", chance=0.5, n_samples=30)) == 0.5
    assert rounded_chance(replace(row, chance=None)) is None


def test_an_interval_that_excludes_0_still_does():
    row = rounded(replace(COMPARISON, difference=0.03, low=0.004, high=0.0601, p_holm=0.0496))
    assert (row.difference, row.low, row.high, row.p_holm) == (0.03, 0.004, 0.06, 0.0496)
    assert rounded_number(0.0, 0.02) == 0
    assert rounded_number(float("nan"), 0.02) != rounded_number(float("nan"), 0.02)


def test_shares_of_hidden_measurements_and_of_masks_are_rounded():
    row = replace(RESULT, hidden={"ecg": 2 / 7}, mask_statistics={"whole_share": 0.487, "x": None})
    made = rounded(row)
    assert made.hidden == {"ecg": 0.3}
    assert made.mask_statistics == {"whole_share": 0.49, "x": None}


def test_shares_of_a_class_are_rounded_more():
    row = Measure(
        **{"run": "r", "cohort": "c", "task": "t", "missingness": "m", "part": None},
        **{"value": 11 / 12, "low": None, "high": None, "n_samples": 412, "digest": "d"},
        measure="conformal/coverage_positive",
    )
    assert rounded(row).value == 0.9
    assert rounded(replace(row, measure="conformal/coverage")).value == 0.915


def test_a_row_that_is_rounded_stays_as_it_is():
    row = rounded(replace(RESULT, n_samples=412, value=0.3333, chance=0.017))
    assert rounded(row) == row


@pytest.mark.parametrize("name", ROWS)
def test_every_whole_number_of_a_row_counts_people_or_is_known_not_to(name: str):
    hints = get_type_hints(ROWS[name])
    whole = {one.name for one in fields(ROWS[name]) if hints[one.name] in (int, int | None)}
    assert whole <= {*SIZES, *OF_NO_PEOPLE}


def test_sizes_in_words_are_bounds_where_they_are_rounded():
    exact, few = replace(RESULT, n_samples=412), replace(RESULT, n_samples=9)
    assert sizes_in_words([exact]) == {412: "412"}
    assert sizes_in_words(rounded_rows([exact, few])) == {410: "≥410", 0: "<10"}


def test_counts_in_reasons_are_bounds():
    skipped = replace(SKIPPED, reason="the pattern hides ecg of 6 of 412 queries.")
    assert rounded(skipped).reason == "the pattern hides ecg of <10 of ≥410 queries."


def test_metrics_of_the_tuning_split_are_rounded_to_its_step():
    history = [{"epoch": 1, "loss": 0.123456, "tuning/recall_at_1": 0.61702}]
    dataset = {"synthetic": False, "tuning_step": 0.02}
    (line,) = with_rounded_tuning(history, dataset)
    assert line == {"epoch": 1, "loss": 0.123456, "tuning/recall_at_1": 0.62}
    assert with_rounded_tuning(history, {"synthetic": True}) == history
    assert tuning_step({}) == 0.05


def test_the_form_of_a_row_of_0_2_4_is_read(tmp_path: Path):
    from clinical_symile.tracking.results import read_rows

    old = {key: value for key, value in asdict(RESULT).items() if key != "rounded"}
    (tmp_path / "results.jsonl").write_text(json.dumps(old) + "\n")
    assert read_rows(tmp_path / "results.jsonl", Result) == [RESULT]

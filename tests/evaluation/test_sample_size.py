"""The numbers of subjects of claims: formulas by hand, refusals, and their power in simulation."""

from typing import Any

import numpy as np
import pytest

from clinical_symile.evaluation.sample_size import AMONG_ALL, SampleSize, sample_sizes
from clinical_symile.stats.equivalence import noninferiority_by_limits
from clinical_symile.stats.proportions import paired_difference
from clinical_symile.tracking.results import Comparison

# Upper 2.5 %, 20 % and 10 % of the normal distribution.
Z, Z_80, Z_90 = 1.959964, 0.841621, 1.281552


def compared(**changes: Any) -> Comparison:
    row: dict[str, Any] = {
        **{"run": "symile-0", "baseline": "clip-0", "cohort": "c", "task": "retrieval/x"},
        **{"split": "held_out", "missingness": "complete", "metric": "recall_at_1"},
        **{"difference": 0.03, "low": 0.0, "high": 0.06, "n_samples": 500, "n_subjects": 400},
        **{"digest": "d", "standard_error": 0.02},
    }
    return Comparison(**{**row, **changes})


def test_the_numbers_are_those_of_the_textbook():
    (found,) = sample_sizes([compared()], difference=0.05, margin=0.04, power=0.8)
    assert found.superior == np.ceil(400 * ((Z + Z_80) * 0.02 / 0.05) ** 2)
    assert found.non_inferior == np.ceil(400 * ((Z + Z_80) * 0.02 / 0.04) ** 2)
    assert found.equivalent == np.ceil(400 * ((Z + Z_90) * 0.02 / 0.04) ** 2)
    assert found.standard_error == 0.02
    assert found.reason is None


def test_only_claims_that_are_wanted_have_a_number():
    (found,) = sample_sizes([compared()], difference=0.05)
    assert found.superior is not None
    assert found.non_inferior is None
    assert found.equivalent is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_subjects": 9}, "fewer than 10 subjects"),
        ({"standard_error": None}, "no standard error"),
        ({"standard_error": 0.0}, "the runs do not differ on any sample"),
    ],
)
def test_where_the_variance_is_not_known_there_is_a_reason(changes: dict[str, Any], reason: str):
    (found,) = sample_sizes([compared(**changes)], difference=0.05, margin=0.05)
    assert found.reason == reason
    assert (found.standard_error, found.superior, found.equivalent) == (None, None, None)


def test_retrieval_among_all_samples_gets_the_reason_that_its_candidates_grow():
    rows = [compared(), compared(task="retrieval/all")]
    known, unknown = sample_sizes(rows, margin=0.05, among_all={"retrieval/all"})
    assert known.reason is None
    assert unknown.reason == AMONG_ALL
    assert (unknown.task, unknown.equivalent) == ("retrieval/all", None)


def test_impossible_questions_are_refused():
    with pytest.raises(ValueError, match="neither a difference nor a margin"):
        sample_sizes([compared()])
    for power in (0.4, 1.0):
        with pytest.raises(ValueError, match="expected a number from"):
            sample_sizes([compared()], difference=0.1, power=power)
    with pytest.raises(ValueError, match="expected a number above 0"):
        sample_sizes([compared()], margin=-0.1)


def _answers(rng: np.random.Generator, subjects: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
    """Differences of two runs' correct answers, two for each subject, and the subjects.

    A subject's answers are alike: the differences of one subject are correlated.
    """
    easy = rng.random(subjects)[:, None]
    one = rng.random((subjects, 2)) < (0.5 + gain) / 2 + 0.5 * (easy < 0.5 + gain)
    other = rng.random((subjects, 2)) < 0.25 + 0.5 * (easy < 0.5)
    return (one.astype(float) - other).ravel(), np.repeat(np.arange(subjects), 2)


def _planned(rng: np.random.Generator, gain: float, **wanted: Any) -> SampleSize:
    """The plan from one finished comparison, on many subjects so that its variance is known."""
    n = 20_000
    values, subjects = _answers(rng, n, gain)
    row = compared(
        difference=values.mean(),
        n_subjects=n,
        n_samples=2 * n,
        standard_error=paired_difference(values, subjects).standard_error,
    )
    return sample_sizes([row], **wanted)[0]


@pytest.mark.slow
@pytest.mark.parametrize("power", [0.8, 0.9])
def test_a_study_of_the_planned_size_has_the_stated_power(power: float, rng: np.random.Generator):
    """Recall of two runs, two samples of a subject: each claim is shown as often as promised."""
    studies, wanted = 1000, 0.1
    error = 3 * np.sqrt(power * (1 - power) / studies)
    superior = _planned(rng, wanted, difference=wanted, power=power).superior
    assert superior is not None
    shown = 0
    for _ in range(studies):
        values, subjects = _answers(rng, superior, wanted)
        shown += paired_difference(values, subjects).p_value() < 0.05
    assert power - error - 0.02 <= shown / studies <= power + error + 0.03
    plan = _planned(rng, 0.0, margin=wanted, power=power)
    for claim, size in (("non-inferior", plan.non_inferior), ("equivalent", plan.equivalent)):
        assert size is not None
        shown = 0
        for _ in range(studies):
            found = noninferiority_by_limits(
                paired_difference(*_answers(rng, size, 0.0)), margin=wanted, higher_is_better=True
            )
            p = found.p_noninferior if claim == "non-inferior" else found.p_equivalent
            shown += p < 0.025
        assert power - error - 0.02 <= shown / studies <= power + error + 0.03, claim

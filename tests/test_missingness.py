import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_symile.errors import DefinitionError
from clinical_symile.missingness import applicable, parse_pattern, scored, visible

MODALITIES = ("cxr", "ecg", "labs")
PATTERNS = ["observed", "complete", "without-ecg", "only-labs", "only-cxr-labs", "mcar-30"]
each_pattern = pytest.mark.parametrize("name", PATTERNS)
PRESENT = np.array([[True, True, True], [True, False, True], [False, False, True]])


def seen(name, present, *, seed=0, rows=None, modalities=MODALITIES):
    rows = np.arange(len(present)) if rows is None else rows
    return visible(
        parse_pattern(name), modalities=modalities, present=present, seed=seed, rows=rows
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("observed", PRESENT),
        ("complete", PRESENT),
        ("without-ecg", PRESENT & np.array([True, False, True])),
        ("only-labs", PRESENT & np.array([False, False, True])),
        ("only-cxr-labs", PRESENT & np.array([True, False, True])),
    ],
)
def test_a_pattern_shows_what_its_name_says(name, expected):
    np.testing.assert_array_equal(seen(name, PRESENT), expected)


@pytest.mark.parametrize("name", PATTERNS[1:])
def test_all_patterns_but_observed_are_scored_on_the_same_samples(name):
    assert scored(parse_pattern(name), PRESENT).tolist() == [True, False, False]


def test_observed_is_scored_on_whoever_has_anything():
    present = np.vstack([PRESENT, [[False] * 3]])
    assert scored(parse_pattern("observed"), present).tolist() == [True, True, True, False]


@each_pattern
def test_hiding_twice_is_hiding_once(name, rng):
    present = rng.random((200, 3)) < 0.7
    once = seen(name, present)
    assert not (once & ~present).any()
    np.testing.assert_array_equal(seen(name, once), once)


@each_pattern
def test_a_complete_sample_always_keeps_something(name):
    assert seen(name, np.ones((500, 3), dtype=bool)).any(axis=1).all()


def test_a_random_pattern_never_hides_all_that_is_present(rng):
    present = rng.random((2_000, 3)) < 0.5
    assert (seen("mcar-99", present).any(axis=1) == present.any(axis=1)).all()


def test_a_random_pattern_drops_as_often_as_it_says():
    # A modality is kept with probability 0.7, or if the draws of all three are below 0.3 and its
    # own is the largest of them: 0.7 + 0.3³ / 3 = 0.709.
    shown = seen("mcar-30", np.ones((100_000, 3), dtype=bool))
    np.testing.assert_allclose(shown.mean(axis=0), 0.709, atol=0.006)
    all_kept = shown.all(axis=1).mean()
    assert all_kept == pytest.approx(0.7**3, abs=0.006)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30, unique=True), st.integers(0, 5))
def test_what_is_dropped_depends_on_seed_and_row_alone(rows, seed):
    index = np.array(rows)
    everyone = seen("mcar-50", np.ones((301, 3), dtype=bool), seed=seed)
    some = seen("mcar-50", np.ones((len(rows), 3), dtype=bool), seed=seed, rows=index)
    np.testing.assert_array_equal(some, everyone[index])


def test_another_seed_drops_others():
    present = np.ones((100, 3), dtype=bool)
    assert (seen("mcar-50", present, seed=0) != seen("mcar-50", present, seed=1)).any()


def test_no_rows_are_no_rows():
    assert seen("mcar-50", np.ones((0, 3), dtype=bool)).shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("complte", "did you mean 'complete'"),
        ("witout-ecg", "did you mean 'without-<modality>'"),
        ("mcar", "did you mean 'mcar-<percent>'"),
        ("mcar-0", "whole percents from 1 to 99"),
        ("mcar-100", "whole percents"),
        ("mcar-3.5", "whole percents"),
        ("mcar-30-ecg", "whole percents"),
        ("only", "only-<modality>"),
        ("only-", "only-<modality>"),
        ("only-ecg-ecg", "only-<modality>"),
        ("complete-ecg", "Expected one of observed, complete"),
        ("", "unknown missingness pattern ''"),
        ("xyz", "Expected one of observed, complete"),
    ],
)
def test_an_unknown_pattern_is_refused(name, meant):
    with pytest.raises(DefinitionError, match=meant):
        parse_pattern(name)


@pytest.mark.parametrize(
    ("name", "modalities", "message"),
    [
        ("without-egc", MODALITIES, "'egc' is not among .*; did you mean 'ecg'"),
        ("only-mri", MODALITIES, "'mri' is not among the modalities cxr, ecg, labs"),
        ("without-ecg", ("ecg",), "hides all of ecg"),
        ("mcar-30", ("ecg",), "never hides the only modality ecg"),
    ],
)
def test_a_pattern_that_means_nothing_here_is_refused(name, modalities, message):
    pattern = parse_pattern(name)
    assert not applicable(pattern, modalities)
    with pytest.raises(DefinitionError, match=message):
        pattern.check(modalities)
    with pytest.raises(DefinitionError, match=message):
        seen(name, np.ones((2, len(modalities)), dtype=bool), modalities=modalities)


def test_all_problems_of_a_pattern_are_told_together():
    with pytest.raises(DefinitionError, match=r"(?s)'mri'.*'echo'"):
        parse_pattern("only-mri-echo").check(MODALITIES)


@each_pattern
def test_the_usual_patterns_are_applicable_to_three_modalities(name):
    assert applicable(parse_pattern(name), MODALITIES)


def test_rows_and_presence_must_fit():
    with pytest.raises(ValueError, match=r"present has shape \[3, 3\]; expected \[3, 2\]"):
        seen("complete", PRESENT, modalities=("cxr", "ecg"))
    with pytest.raises(ValueError, match="row -1 is negative"):
        seen("mcar-30", PRESENT, rows=np.array([-1, 0, 1]))

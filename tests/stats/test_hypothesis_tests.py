from itertools import product

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from clinical_symile.stats.hypothesis_tests import (
    auroc_covariance,
    auroc_difference,
    delong,
    mcnemar,
    recall_test,
    sign_flip,
    tied_recall,
)


def classified(rng, n=120, *, people=None):
    """Labels and the scores of two models that have much in common; some scores tie."""
    subjects = np.arange(n) if people is None else rng.integers(people, size=n)
    label = rng.integers(2, size=n)
    shared = label + rng.standard_normal(n)
    return label, shared.round(1), (shared + 0.5 * rng.standard_normal(n)).round(1), subjects


def psi(positive: float, negative: float) -> float:
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def delong_in_loops(label, one, other):
    """DeLong et al., equations 3 to 5, as they stand."""
    positives, negatives = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    v10, v01, areas = [], [], []
    for scores in (one, other):
        v10.append([np.mean([psi(scores[i], scores[j]) for j in negatives]) for i in positives])
        v01.append([np.mean([psi(scores[i], scores[j]) for i in positives]) for j in negatives])
        areas.append(np.mean(v10[-1]))
    s10, s01 = np.cov(v10), np.cov(v01)
    return areas, s10 / len(positives) + s01 / len(negatives)


def obuchowski_in_loops(label, one, other, subjects):
    """Obuchowski 1997, with a sum over subjects for each entry of each matrix."""
    models, people = (one, other), sorted(set(subjects.tolist()))
    positives, negatives = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    m, n = len(positives), len(negatives)
    x, y, areas = {}, {}, []
    for k, scores in enumerate(models):
        v10 = {i: np.mean([psi(scores[i], scores[j]) for j in negatives]) for i in positives}
        v01 = {j: np.mean([psi(scores[i], scores[j]) for i in positives]) for j in negatives}
        areas.append(np.mean(list(v10.values())))
        for person in people:
            x[k, person] = sum(v10[i] for i in positives if subjects[i] == person)
            y[k, person] = sum(v01[j] for j in negatives if subjects[j] == person)
    count = {
        (kind, person): sum(1 for i in rows if subjects[i] == person)
        for kind, rows in (("x", positives), ("y", negatives))
        for person in people
    }
    i10 = sum(count["x", person] > 0 for person in people)
    i01 = sum(count["y", person] > 0 for person in people)
    covariance = np.zeros((2, 2))
    for r, s in product(range(2), repeat=2):
        dx = {k: [x[k, p] - count["x", p] * areas[k] for p in people] for k in (r, s)}
        dy = {k: [y[k, p] - count["y", p] * areas[k] for p in people] for k in (r, s)}
        s10 = i10 / ((i10 - 1) * m) * sum(a * b for a, b in zip(dx[r], dx[s], strict=True))
        s01 = i01 / ((i01 - 1) * n) * sum(a * b for a, b in zip(dy[r], dy[s], strict=True))
        i = len(people)
        s11 = i / (i - 1) * sum(a * b for a, b in zip(dx[r], dy[s], strict=True))
        s11_back = i / (i - 1) * sum(a * b for a, b in zip(dx[s], dy[r], strict=True))
        covariance[r, s] = s10 / m + s01 / n + (s11 + s11_back) / (m * n)
    return areas, covariance


def test_delong_is_the_paper_in_loops(rng):
    for _ in range(20):
        label, one, other, subjects = classified(rng, 40)
        areas, covariance = auroc_covariance(label, np.stack([one, other]), subjects)
        expected_areas, expected = delong_in_loops(label, one, other)
        assert areas == pytest.approx(expected_areas, abs=1e-12)
        np.testing.assert_allclose(covariance, expected, atol=1e-12)
        z = (areas[0] - areas[1]) / np.sqrt(expected[0, 0] + expected[1, 1] - 2 * expected[0, 1])
        tested = delong(label, one, other, subjects)
        assert tested.test == "DeLong, Student"  # fewer than 100 subjects of a class
        degrees = auroc_difference(label, one, other, subjects).degrees
        assert tested.p_value == pytest.approx(2 * scipy.stats.t.sf(abs(z), degrees), abs=1e-12)
        difference = roc_auc_score(label, one) - roc_auc_score(label, other)
        assert tested.difference == pytest.approx(difference, abs=1e-12)


def test_with_repeated_subjects_delong_is_obuchowskis_in_loops(rng):
    for _ in range(10):
        label, one, other, subjects = classified(rng, 60, people=25)
        areas, covariance = auroc_covariance(label, np.stack([one, other]), subjects)
        expected_areas, expected = obuchowski_in_loops(label, one, other, subjects)
        assert areas == pytest.approx(expected_areas, abs=1e-12)
        np.testing.assert_allclose(covariance, expected, atol=1e-12)
        assert delong(label, one, other, subjects).test == "DeLong, clustered, Student"


def test_samples_that_are_copies_of_each_other_are_not_more_evidence(rng):
    label, one, other, subjects = classified(rng, 200)
    alone = delong(label, one, other, subjects)
    arrays = [np.repeat(array, 3) for array in (label, one, other, subjects)]
    assert delong(arrays[0], arrays[1], arrays[2], arrays[3]).p_value == pytest.approx(
        alone.p_value, rel=0.02
    )
    as_if_new = delong(arrays[0], arrays[1], arrays[2], np.arange(600))
    assert as_if_new.p_value < alone.p_value


def test_a_model_does_not_differ_from_itself(rng):
    label, one, _, subjects = classified(rng)
    right = (rng.random(120) < 0.5).astype(float)
    assert delong(label, one, one, subjects).p_value == 1
    assert mcnemar(right, right, subjects).p_value == 1
    assert mcnemar(right, right, subjects // 2).p_value == 1
    assert sign_flip(one, one, subjects, rng=rng).p_value == 1


def test_areas_that_do_not_vary_cannot_be_tested():
    label = np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"differ by \+1.000 and DeLong's variance is 0"):
        delong(label, label.astype(float), 1.0 - label, np.arange(4))


def test_too_few_subjects_of_a_class_are_refused(rng):
    label = np.array([1, 0, 0, 0])
    with pytest.raises(ValueError, match="1 subjects have a positive sample and 3 a negative"):
        delong(label, rng.random(4), rng.random(4), np.arange(4))


def test_mcnemar_is_that_of_statsmodels_with_half_of_what_was_observed(rng):
    for _ in range(50):
        right, baseline = (rng.random((2, 40)) < [[0.7], [0.5]]).astype(float)
        table = [[((right == a) & (baseline == b)).sum() for b in (1, 0)] for a in (1, 0)]
        exact = statsmodels_mcnemar(table, exact=True)
        b, c = table[0][1], table[1][0]
        exact = exact.pvalue  # type: ignore[attr-defined]
        observed = scipy.stats.binom.pmf(min(b, c), b + c, 0.5)
        tested = mcnemar(right, baseline, np.arange(40))
        assert tested.test == "McNemar, mid-p"
        if b != c:  # where they are equal the exact value is cut at 1
            assert tested.p_value == pytest.approx(exact - observed, abs=1e-12)
        assert tested.difference == pytest.approx((b - c) / 40)


def test_clustered_mcnemar_with_one_sample_each_is_the_plain_chi_square(rng):
    right, baseline = (rng.random((2, 300)) < [[0.7], [0.6]]).astype(float)
    subjects = np.arange(300)
    # Two right samples are added to somebody: they agree and so say nothing.
    with_two = [np.append(right, 1.0), np.append(baseline, 1.0), np.append(subjects, 0)]
    b, c = ((right > baseline).sum(), (right < baseline).sum())
    tested = mcnemar(*with_two)
    assert tested.test == "McNemar, clustered"
    assert tested.p_value == pytest.approx(scipy.stats.chi2.sf((b - c) ** 2 / (b + c), 1))


def test_mcnemar_refuses_answers_that_differ_in_part():
    with pytest.raises(ValueError, match="differ in part"):
        mcnemar(np.array([1.0, 0.5]), np.array([0.0, 1.0]), np.arange(2))


@pytest.mark.parametrize("copies", [1, 2])
def test_queries_that_both_runs_tie_alike_say_nothing(rng, copies: int):
    right, baseline = (rng.random((2, 60)) < [[0.7], [0.4]]).astype(float)
    subjects = np.repeat(np.arange(60 // copies), copies)
    alone = recall_test(right, baseline, subjects, rng=rng)
    assert alone.test.startswith("McNemar")
    one, other = (np.append(each, [0.1, 0.1]) for each in (right, baseline))
    more = recall_test(one, other, np.append(subjects, [98, 99]), rng=rng)
    assert (more.test, more.p_value) == (alone.test, alone.p_value)


def test_answers_that_differ_in_part_are_compared_by_their_mean(rng):
    right = np.repeat([1.0, 0.0], [30, 70])
    tested = recall_test(right, np.full(100, 0.3), np.arange(100), rng=rng)
    assert tested.test == "sign flips"


def test_a_run_as_good_as_chance_is_no_worse_than_chance():
    # 30 of 300 are correct, chance is 0.1 in each: equal means, but nine in ten signs are minus.
    right = np.repeat([1.0, 0.0], [30, 270])
    tested = tied_recall(right, np.full(300, 0.1), np.arange(300), rng=np.random.default_rng(0))
    assert tested.test == "sign flips"
    assert (tested.difference, tested.p_value) == (pytest.approx(0), 1.0)


@pytest.mark.parametrize(("n", "share"), [(30, 0.1), (60, 0.1), (300, 0.1), (60, 0.5), (30, 0.9)])
@pytest.mark.parametrize("copies", [1, 2])
def test_few_runs_of_chance_differ_from_chance(n: int, share: float, copies: int):
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(n), copies)
    replicates, rejected = 400, 0
    for _ in range(replicates):
        right = (rng.random(n * copies) < share).astype(float)
        reference = np.full(n * copies, share)
        tested = tied_recall(right, reference, subjects, rng=rng, permutations=199)
        rejected += tested.p_value <= 0.05
    # At most 6 %, and three Monte Carlo standard errors.
    assert rejected / replicates <= 0.06 + 3 * np.sqrt(0.06 * 0.94 / replicates)


def test_few_answers_are_tested_as_if_ties_were_broken_at_random():
    # By hand: differences 0.5, -0.5, 1 and -0.25 of four subjects; ties vary by 2/4 + 3/16.
    right = np.array([1.0, 0.0, 1.0, 0.25])
    baseline = np.array([0.5, 0.5, 0.0, 0.5])
    tested = tied_recall(right, baseline, np.arange(4), rng=np.random.default_rng(0))
    variance = (0.25 + 0.25 + 1 + 0.0625) + (3 * 0.25 + 0.1875)
    assert tested.p_value == pytest.approx(2 * scipy.stats.norm.sf(0.75 / np.sqrt(variance)))
    assert tested.test == "ties broken at random, normal"
    # The sums of a subject's samples are squared, not the samples.
    paired = tied_recall(right, baseline, np.array([0, 0, 1, 1]), rng=np.random.default_rng(0))
    variance = 0.75**2 + (3 * 0.25 + 0.1875)
    assert paired.p_value == pytest.approx(2 * scipy.stats.norm.sf(0.75 / np.sqrt(variance)))


def test_sign_flips_of_few_subjects_are_all_of_them(rng):
    values, baseline = rng.standard_normal((2, 20))
    subjects = rng.integers(8, size=20)
    people = np.unique(subjects)
    sums = np.array([(values - baseline)[subjects == person].sum() for person in people])
    hidden_rate = [
        abs(np.dot(signs, sums)) >= abs(sums.sum()) - 1e-9
        for signs in product((1, -1), repeat=len(people))
    ]
    tested = sign_flip(values, baseline, subjects, rng=rng)
    assert tested.test == "sign flips, all"
    assert tested.p_value == pytest.approx(np.mean(hidden_rate))
    expected = scipy.stats.permutation_test(
        (sums,), np.sum, permutation_type="samples", n_resamples=10_000
    )
    assert tested.p_value == pytest.approx(expected.pvalue)


def test_drawn_sign_flips_come_near_the_normal_distribution(rng):
    values = rng.standard_normal(400) + 0.1
    tested = sign_flip(values, np.zeros(400), np.arange(400), rng=rng)
    z = values.sum() / np.sqrt((values**2).sum())
    assert tested.test == "sign flips"
    assert tested.p_value == pytest.approx(2 * scipy.stats.norm.sf(abs(z)), abs=0.015)
    assert sign_flip(values + 9, np.zeros(400), np.arange(400), rng=rng).p_value == 1e-4

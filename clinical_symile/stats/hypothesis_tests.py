"""Test whether two runs differ on the same samples; all tests are paired and two-sided.

No test treats samples of one subject as independent:

- `delong` for AUROC: the areas' covariance from the placement of every sample among those of the
  other class; with several samples of a subject in Obuchowski's form, which sums over subjects and
  is DeLong's own where each has one;
- `mcnemar` for correct or wrong answers, such as recall@1;
- `tied_recall` for these where a tie makes an answer correct in part;
- `sign_flip` for any metric that is a mean over samples.

Sources: DeLong et al., Biometrics 44, 1988, https://doi.org/10.2307/2531595. Obuchowski,
"Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997,
https://doi.org/10.2307/2533958. McNemar, Psychometrika 12, 1947; of clusters, Yang et al.,
Biometrical Journal 52, 2010, https://doi.org/10.1002/bimj.201000035. Fagerland et al., "The McNemar
test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional", BMC
Medical Research Methodology 13, 2013, https://doi.org/10.1186/1471-2288-13-91.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import ndtr, stdtr  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from scipy.stats import binom  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from clinical_symile.stats.estimate import ENOUGH_SUBJECTS, StudentEstimate
from clinical_symile.stats.midranks import mid_ranks

PERMUTATIONS = 9_999
# Up to this number of subjects, all sign assignments are enumerated.
ENUMERATED = 12
# Sums of the same terms in another order differ in their last digits; they count as equal.
_TOLERANCE = 1e-12
# Degrees of freedom of the variance of an AUROC per subject of the rarer class, by simulation.
_DEGREES_PER_SUBJECT = 1.5
# With fewer correct or wrong answers the differences are too skewed for sign flips, by simulation.
_ENOUGH_ANSWERS = 10


class TestResult(NamedTuple):
    """The result of a two-sided test.

    Attributes:
        test: name of the test.
        difference: value of the run minus value of the baseline.
        p_value: two-sided p-value.
    """

    test: str
    difference: float
    p_value: float


def delong(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    baseline: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
) -> TestResult:
    """Test the difference of two AUROCs by its variance over subjects (DeLong, Obuchowski).

    The distribution is normal; with fewer than 100 effective subjects of a class it is Student's,
    see `auroc_difference`.

    Raises:
        ValueError: one class only, fewer than two subjects in a class, or two different areas
            without variance, such as 1 and 0.
    """
    name = "DeLong" if len(np.unique(subjects)) == len(subjects) else "DeLong, clustered"
    areas, variances = _area_variances(label, np.stack([probability, baseline]), subjects)
    difference = float(areas[0] - areas[1])
    if abs(difference) < _TOLERANCE:
        return TestResult(name, 0.0, 1.0)
    if variances.total < _TOLERANCE**2:
        raise ValueError(
            f"AUROCs differ by {difference:+.3f} and DeLong's variance is 0; expected areas that "
            "vary between subjects. Evaluate on more samples."
        )
    z = abs(difference) / np.sqrt(variances.total)
    if not variances.is_preferred:
        return TestResult(name, difference, float(2 * ndtr(-z)))
    return TestResult(f"{name}, Student", difference, float(2 * stdtr(variances.degrees, -z)))


def auroc_difference(
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    baseline: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
) -> StudentEstimate:
    """Estimate the difference of two AUROCs on the same samples, with Student's limits.

    The degrees of freedom are Satterthwaite's for the variances of positives and negatives, and at
    most 1.5 (k - 1), with k the effective number of subjects of the rarer class. The choice is from
    simulation, see `docs/explanation/statistics.md`.

    Raises:
        ValueError: one class only, fewer than two subjects in a class, or no variance.
    """
    areas, variances = _area_variances(label, np.stack([probability, baseline]), subjects)
    if variances.total < _TOLERANCE**2:
        raise ValueError(
            "the difference of the two AUROCs does not vary between subjects. Evaluate on more "
            "samples."
        )
    difference = float(areas[0] - areas[1])
    error = float(np.sqrt(variances.total))
    return StudentEstimate(
        difference,
        difference,
        error,
        variances.degrees,
        "DeLong, Student",
        variances.is_preferred,
        1.0,
    )


def auroc_covariance(
    label: Int[np.ndarray, " sample"],
    scores: Float[np.ndarray, "model sample"],
    subjects: Shaped[np.ndarray, " sample"],
) -> tuple[Float[np.ndarray, " model"], Float[np.ndarray, "model model"]]:
    """Compute AUROCs of several models on the same samples, and their covariance over subjects.

    With placements V (of a positive: the share of negatives below it, ties half; of a negative: the
    share of positives above it), X and Y their sums over the positives and negatives of a subject,
    m and n their numbers (M and N in all), I the number of subjects, with I₁ and I₀ those that have
    a positive and a negative, and θ the area,

    cov = S₁₁ / M + S₀₀ / N + (S₁₀ + S₁₀ᵀ) / (M N), where
    S₁₁ = I₁ / ((I₁ - 1) M) Σ (X - mθ)(X - mθ)ᵀ, S₀₀ the same of Y, and
    S₁₀ = I / (I - 1) Σ (X - mθ)(Y - nθ)ᵀ.

    Raises:
        ValueError: one class only, or fewer than two subjects in a class.
    """
    areas, within, across, _ = _area_covariances(label, scores, subjects)
    return areas, within[0] + within[1] + across + across.T


class _AreaVariances(NamedTuple):
    """The variance of a difference of areas and its degrees of freedom."""

    total: float
    degrees: float
    is_preferred: bool


def _area_variances(
    label: Int[np.ndarray, " sample"],
    scores: Float[np.ndarray, "model sample"],
    subjects: Shaped[np.ndarray, " sample"],
) -> tuple[Float[np.ndarray, " model"], _AreaVariances]:
    areas, within, across, kish = _area_covariances(label, scores, subjects)
    contrast = np.array([1.0, -1.0])
    parts = [float(contrast @ one @ contrast) for one in within]
    total = sum(parts) + 2 * float(contrast @ across @ contrast)
    squares = sum(part**2 / max(k - 1, 0.5) for part, k in zip(parts, kish, strict=True))
    satterthwaite = sum(parts) ** 2 / squares if squares else np.inf
    degrees = max(min(satterthwaite, _DEGREES_PER_SUBJECT * (min(kish) - 1)), 1.0)
    return areas, _AreaVariances(total, float(degrees), min(kish) < ENOUGH_SUBJECTS)


def _area_covariances(
    label: Int[np.ndarray, " sample"],
    scores: Float[np.ndarray, "model sample"],
    subjects: Shaped[np.ndarray, " sample"],
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, list[float]]:
    """Return areas, covariances of positives, of negatives and across, and effective subjects."""
    positive = label == 1
    people, codes = np.unique(subjects, return_inverse=True)
    counts = [np.bincount(codes[where], minlength=len(people)) for where in (positive, ~positive)]
    holders = [int((count > 0).sum()) for count in counts]
    if min(holders) < 2:
        raise ValueError(
            f"{holders[0]} subjects have a positive sample and {holders[1]} a negative one; "
            "expected at least 2 of each. Evaluate on more samples."
        )
    totals = [int(count.sum()) for count in counts]
    ranks, of_positives, of_negatives = (
        mid_ranks(some, axis=1) for some in (scores, scores[:, positive], scores[:, ~positive])
    )
    above: np.ndarray = (ranks[:, positive] - of_positives) / totals[1]
    below: np.ndarray = 1 - (ranks[:, ~positive] - of_negatives) / totals[0]
    areas: np.ndarray = above.mean(axis=1)
    sums = [
        np.stack([np.bincount(codes[where], row, len(people)) for row in placed])
        - count * areas[:, None]
        for where, placed, count in zip((positive, ~positive), (above, below), counts, strict=True)
    ]
    within = [
        holder / ((holder - 1) * total) * (one @ one.T) / total
        for holder, total, one in zip(holders, totals, sums, strict=True)
    ]
    across = len(people) / (len(people) - 1) * (sums[0] @ sums[1].T) / (totals[0] * totals[1])
    kish = [total**2 / float((c**2).sum()) for total, c in zip(totals, counts, strict=True)]
    return areas, within, across, kish


def mcnemar(
    right: Float[np.ndarray, " sample"],
    baseline: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
) -> TestResult:
    """Test whether two runs are correct equally often; pairs that agree carry no information.

    With one sample per subject, b pairs favour the run and c its baseline. p is that of a fair
    coin, with half the probability of the observed count (mid-p). With several samples of a
    subject, the sums of b - c of each subject are squared. Σ² / Σ(squares) is χ² with one degree
    of freedom for many subjects.

    Args:
        right: 1 where the run is correct, 0 where it is wrong; a share only where the other run has
            the same.
        baseline: the same for the other run, row for row.
        subjects: the subject of each sample.

    Raises:
        ValueError: two answers differ by a part of an answer; see `tied_recall`.
    """
    if not _are_whole(right - baseline):
        raise ValueError(
            "answers differ in part; expected 0 or 1, or equal parts. Use tied_recall."
        )
    sign = np.sign(right - baseline)
    difference = float((right - baseline).mean())
    people, codes = np.unique(subjects, return_inverse=True)
    if len(people) < len(subjects):
        sums = np.bincount(codes, sign, len(people))
        squares = (sums**2).sum()
        z = abs(sums.sum()) / np.sqrt(squares) if squares else 0.0
        return TestResult("McNemar, clustered", difference, float(2 * ndtr(-z)))
    for_run, for_baseline = int((sign > 0).sum()), int((sign < 0).sum())
    few, pairs = min(for_run, for_baseline), for_run + for_baseline
    law: Any = binom
    p_value = 2 * law.cdf(few, pairs, 0.5) - law.pmf(few, pairs, 0.5) if pairs else 1.0
    return TestResult("McNemar, mid-p", difference, float(min(p_value, 1.0)))


def recall_test(
    right: Float[np.ndarray, " sample"],
    baseline: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
) -> TestResult:
    """Test recall@1 by `mcnemar`, or by `tied_recall` where answers differ in part.

    Where both runs tie alike, as for a query with nothing to ask with, they do not differ.
    """
    if _are_whole(right - baseline):
        return mcnemar(right, baseline, subjects)
    return tied_recall(right, baseline, subjects, rng=rng)


def _are_whole(differences: Float[np.ndarray, " sample"]) -> bool:
    """Return whether all differences are -1, 0 or 1, so that no answer differs in part."""
    return bool(np.isin(differences, (-1, 0, 1)).all())


def tied_recall(
    right: Float[np.ndarray, " sample"],
    baseline: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> TestResult:
    """Test whether two runs are correct equally often where ties make answers correct in part.

    A reference that ranks at random is correct in part in every sample. The signs of its
    differences from a run say nothing of their mean: at the same recall of 0.1, nine in ten are
    negative. So the test is that of the mean, by `sign_flip`. Its differences are skewed if few
    answers are correct, or wrong: with fewer than 10 of either, in expectation, ties are taken as
    broken at random. The variance of that is added to the squared sums of the subjects, and the
    test is normal and conservative.

    Args:
        right: 1 where the run is correct, 0 where it is wrong, a share where it ties.
        baseline: the same for the other run, row for row.
        subjects: the subject of each sample.
        rng: draws the signs.
        permutations: the number of drawn assignments, as for `sign_flip`.
    """
    fewest = min(float(side.sum()) for one in (right, baseline) for side in (one, 1 - one))
    if fewest >= _ENOUGH_ANSWERS:
        return sign_flip(right, baseline, subjects, rng=rng, permutations=permutations)
    people, codes = np.unique(subjects, return_inverse=True)
    sums = np.bincount(codes, right - baseline, len(people))
    broken = sum(float((one * (1 - one)).sum()) for one in (right, baseline))
    variance = float((sums**2).sum()) + broken
    z = abs(sums.sum()) / np.sqrt(variance) if variance else 0.0
    difference = float((right - baseline).mean())
    return TestResult("ties broken at random, normal", difference, float(2 * ndtr(-z)))


def sign_flip(
    values: Float[np.ndarray, " sample"],
    baseline: Float[np.ndarray, " sample"],
    subjects: Shaped[np.ndarray, " sample"],
    *,
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> TestResult:
    """Test whether two means differ, by flipping the signs of subjects' differences.

    Under the null hypothesis the two runs are exchangeable within each subject. p is the share of
    sign assignments whose mean difference is at least as large. With few subjects all assignments
    are enumerated; otherwise some are drawn, and the observed one is counted among them.

    Args:
        values: per sample; the metric is their mean.
        baseline: the same for the other run.
        subjects: the subject of each sample.
        rng: draws the signs.
        permutations: the number of drawn assignments.
    """
    people, codes = np.unique(subjects, return_inverse=True)
    sums = np.bincount(codes, values - baseline, len(people))
    difference = float((values - baseline).mean())
    if len(people) <= ENUMERATED:
        bits = np.arange(1 << len(people))[:, None] >> np.arange(len(people))
        signs = 1.0 - 2.0 * (bits & 1)
        reached = _as_far(signs @ sums, sums).mean()
        return TestResult("sign flips, all", difference, float(reached))
    reached, at_once = 1, max(1, 4_000_000 // len(people))
    for start in range(0, permutations, at_once):
        size = (min(at_once, permutations - start), len(people))
        signs = 1.0 - 2.0 * rng.integers(2, size=size, dtype=np.int8)
        reached += int(_as_far(signs @ sums, sums).sum())
    return TestResult("sign flips", difference, reached / (permutations + 1))


def _as_far(flipped: Float[np.ndarray, " way"], sums: Float[np.ndarray, " subject"]) -> np.ndarray:
    return np.abs(flipped) >= abs(sums.sum()) - _TOLERANCE * max(float(np.abs(sums).sum()), 1e-300)

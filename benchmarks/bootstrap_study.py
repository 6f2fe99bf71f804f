"""How often 95 % intervals hold the truth, and how often tests find what is not there.

Each line is a thousand or more simulated studies whose truth is known. Run from a checkout:
`.venv/bin/python benchmarks/bootstrap_study.py`; it writes `results/bootstrap_study.csv`.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from clinical_symile.metrics.calibration import slope_and_intercept
from clinical_symile.metrics.classification import (
    AUPRC,
    AUROC,
    BRIER,
    EXPECTED_CALIBRATION_ERROR,
)
from clinical_symile.metrics.retrieval import AUC_PER_QUERY, MEAN_RECIPROCAL_RANK, RECALL_AT_1
from clinical_symile.metrics.subgroups import subgroup_estimates
from clinical_symile.stats.bootstrap import Resampled
from clinical_symile.stats.equivalence import noninferiority_test
from clinical_symile.stats.hypothesis_tests import delong, mcnemar, sign_flip
from clinical_symile.stats.resampling import jackknife, resample_metric

OUT = Path(__file__).parent / "results" / "bootstrap_study.csv"
STUDIES, RESAMPLES = 1000, 499
TESTS = 4000
LARGE = 400

Rng = np.random.Generator
Study = tuple[list[np.ndarray], np.ndarray]
Form = Callable[..., np.ndarray]
# Of a generator, and how many times larger than usual.
Draw = Callable[[Rng, int], Study]


def people(rng: Rng, n: int, most: int) -> np.ndarray:
    """Whose sample it is: each of n people has one to so many."""
    return np.repeat(np.arange(n), rng.integers(1, most + 1, n))


def ranked(rng: Rng, scale: int, *, clustered: bool, ease: float = 1.0) -> Study:
    """How many of nine wrong candidates score above the right one."""
    subjects = people(rng, 80 * scale, 5) if clustered else np.arange(200 * scale)
    person = rng.normal(0, 1.0, subjects.max() + 1)[subjects] if clustered else 0.0
    strength = ease + person + rng.normal(0, 1, len(subjects))
    above = (rng.normal(0, 1, (len(subjects), 9)) > strength[:, None]).sum(axis=1)
    return [above, np.zeros_like(above)], subjects


def classified(
    rng: Rng,
    scale: int = 1,
    *,
    clustered: bool,
    shift: float = 1.0,
    models: int = 1,
    prevalence: float = 0.4,
) -> Study:
    """Labels, and the risks that one model or two of equal worth give."""
    subjects = people(rng, 120 * scale, 4) if clustered else np.arange(240 * scale)
    label = (rng.random(len(subjects)) < prevalence).astype(int)
    person = rng.normal(0, 0.8, subjects.max() + 1)[subjects] if clustered else 0.0
    shared = shift * label + person + rng.normal(0, 0.6, len(subjects))
    scores = [shared + _own(rng, subjects, clustered=clustered) for _ in range(models)]
    return [label, *(expit(score) for score in scores)], subjects


def _own(rng: Rng, subjects: np.ndarray, *, clustered: bool) -> np.ndarray:
    """What one model alone makes of samples; of a person's, partly the same."""
    person = rng.normal(0, 0.5, subjects.max() + 1)[subjects] if clustered else 0.0
    return person + rng.normal(0, 0.8, len(subjects))


def lists(rng: Rng, scale: int, *, clustered: bool) -> Study:
    """The same, and how many candidates there are."""
    (above, tied), subjects = ranked(rng, scale, clustered=clustered)
    return [above, tied, np.full(len(above), 10)], subjects


def calibrated(rng: Rng, scale: int) -> Study:
    """Labels, and risks that are exactly right."""
    log_odds = rng.normal(-0.5, 1.2, 400 * scale)
    label = (rng.random(400 * scale) < expit(log_odds)).astype(int)
    return [label, expit(log_odds)], np.arange(400 * scale)


def slope(weights: np.ndarray, *arrays: np.ndarray) -> np.ndarray:
    """The calibration slope."""
    return slope_and_intercept(weights, arrays[0], arrays[1])[:, 0]


def difference(form: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Of two models on the same labels."""
    return lambda w, label, one, other: form(w, label, one) - form(w, label, other)


def truth(form: Form, draw: Draw) -> float:
    """The value of very large studies: what a small one estimates."""
    rng, values = np.random.default_rng(10**6), []
    for _ in range(8):
        arrays, _ = draw(rng, LARGE)
        values.append(form(np.ones((1, len(arrays[0]))), *arrays)[0])
    return float(np.mean(values))


def coverage(form: Form, draw: Draw, *, true: float) -> dict[str, float]:
    """How often percentile and BCa intervals hold the truth."""
    rng = np.random.default_rng(7)
    held = {"percentile": 0, "BCa": 0}
    for _ in range(STUDIES):
        arrays, subjects = draw(rng, 1)
        value = float(form(np.ones((1, len(subjects))), *arrays)[0])
        values = resample_metric(form, arrays, subjects, rng=rng, resamples=RESAMPLES)
        drawn = Resampled(value, values[~np.isnan(values)])
        for name, interval in (
            ("percentile", drawn.interval()),
            ("BCa", drawn.bca_interval(jackknife(form, arrays, subjects))),
        ):
            held[name] += interval.low <= true <= interval.high
    return {name: count / STUDIES for name, count in held.items()}


def coverages() -> dict[str, tuple[Form, Draw, float | None]]:
    """What is covered; the truth where it is known in closed form, else that of large studies."""
    metrics = (AUROC, AUPRC, BRIER, EXPECTED_CALIBRATION_ERROR)
    metrics += (AUC_PER_QUERY, RECALL_AT_1, MEAN_RECIPROCAL_RANK)
    forms = {one.name: one.weighted for one in metrics if one.weighted is not None}
    spread = np.sqrt(2 * (0.6**2 + 0.8**2))
    return {
        "recall@1": (forms["recall_at_1"], lambda r, s: ranked(r, s, clustered=False), None),
        "recall@1, clustered": (
            forms["recall_at_1"],
            lambda r, s: ranked(r, s, clustered=True),
            None,
        ),
        "recall@1 near 1": (
            forms["recall_at_1"],
            lambda r, s: ranked(r, s, clustered=False, ease=4.0),
            None,
        ),
        "AUC per query, clustered": (
            forms["auc_per_query"],
            lambda r, s: lists(r, s, clustered=True),
            None,
        ),
        "mean reciprocal rank, clustered": (
            forms["mean_reciprocal_rank"],
            lambda r, s: ranked(r, s, clustered=True),
            None,
        ),
        "AUROC": (
            forms["auroc"],
            lambda r, s: classified(r, s, clustered=False),
            float(ndtr(1.0 / spread)),
        ),
        "AUROC, clustered": (forms["auroc"], lambda r, s: classified(r, s, clustered=True), None),
        "AUROC near 1": (
            forms["auroc"],
            lambda r, s: classified(r, s, clustered=False, shift=3.0),
            float(ndtr(3.0 / spread)),
        ),
        "AUROC near 1, clustered": (
            forms["auroc"],
            lambda r, s: classified(r, s, clustered=True, shift=3.5),
            None,
        ),
        "AUROC, one in ten": (
            forms["auroc"],
            lambda r, s: classified(r, s, clustered=False, prevalence=0.1),
            float(ndtr(1.0 / spread)),
        ),
        "AUPRC, one in ten": (
            forms["auprc"],
            lambda r, s: classified(r, s, clustered=False, prevalence=0.1),
            None,
        ),
        "expected calibration error": (
            forms["expected_calibration_error"],
            lambda r, s: classified(r, s, clustered=False),
            None,
        ),
        "AUPRC": (forms["auprc"], lambda r, s: classified(r, s, clustered=False), None),
        "Brier score, clustered": (
            forms["brier"],
            lambda r, s: classified(r, s, clustered=True),
            None,
        ),
        "calibration slope": (slope, calibrated, 1.0),
        "difference of AUROC": (
            difference(forms["auroc"]),
            lambda r, s: classified(r, s, clustered=False, models=2),
            0.0,
        ),
        "difference of AUROC, clustered": (
            difference(forms["auroc"]),
            lambda r, s: classified(r, s, clustered=True, models=2),
            0.0,
        ),
        "difference of AUPRC": (
            difference(forms["auprc"]),
            lambda r, s: classified(r, s, clustered=False, models=2),
            0.0,
        ),
    }


def hits(rng: Rng, *, clustered: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each of two runs of equal worth is right; they have much in common."""
    subjects = people(rng, 150, 4) if clustered else np.arange(250)
    own = [
        _own(rng, subjects, clustered=clustered) + rng.normal(0, 0.5, len(subjects))
        for _ in range(2)
    ]
    shared = rng.normal(0, 1, len(subjects))
    one, other = ((shared + each > 0).astype(float) for each in own)
    return one, other, subjects


def p_of_mcnemar(rng: Rng, *, clustered: bool) -> float:
    """Two runs that are right equally often."""
    return mcnemar(*hits(rng, clustered=clustered)).p_value


def p_of_delong(rng: Rng, *, clustered: bool) -> float:
    """Two models of equal AUROC."""
    (label, one, other), subjects = classified(rng, clustered=clustered, models=2)
    return delong(label, one, other, subjects).p_value


def p_of_sign_flips(rng: Rng) -> float:
    """Two runs of equal mean reciprocal rank."""
    subjects = people(rng, 60, 3)
    one, other = (_own(rng, subjects, clustered=True) for _ in range(2))
    return sign_flip(expit(one), expit(other), subjects, rng=rng, permutations=499).p_value


def p_of_margin(rng: Rng) -> float:
    """A loss of exactly the margin, with the standard error of the bootstrap."""
    one, other, subjects = hits(rng, clustered=True)

    def lost(weights: np.ndarray, difference: np.ndarray) -> np.ndarray:
        return weights @ difference / weights.sum(axis=1)

    gone = one - other - 0.05
    values = resample_metric(lost, [gone], subjects, rng=rng, resamples=300)
    return noninferiority_test(float(gone.mean()), float(values.std()), margin=0.05).p_noninferior


def p_of_gap(rng: Rng) -> float:
    """Two groups in which a model does equally well; people have several samples."""
    (label, risk), subjects = classified(rng, clustered=True)
    group = np.where(rng.random(subjects.max() + 1) < 0.4, "a", "b")[subjects].astype(object)
    assert AUROC.weighted is not None
    made = subgroup_estimates(
        AUROC.weighted,
        [label, risk],
        subjects,
        group,
        classes=label,
        higher_is_better=True,
        rng=rng,
    )
    assert made[0].p_value is not None
    return made[0].p_value


SIZES: dict[str, tuple[Callable[[Rng], float], int]] = {
    "DeLong": (lambda r: p_of_delong(r, clustered=False), TESTS),
    "DeLong, clustered": (lambda r: p_of_delong(r, clustered=True), TESTS),
    "McNemar, mid-p": (lambda r: p_of_mcnemar(r, clustered=False), TESTS),
    "McNemar, clustered": (lambda r: p_of_mcnemar(r, clustered=True), TESTS),
    "sign flips": (p_of_sign_flips, TESTS),
    "non-inferiority at the margin": (p_of_margin, TESTS),
    "gap of a subgroup": (p_of_gap, 2000),
}


def size(p_value: Callable[[Rng], float], studies: int) -> float:
    """How often a test at 5 % rejects what is true."""
    rng = np.random.default_rng(11)
    return float(np.mean([p_value(rng) < 0.05 for _ in range(studies)]))


def main() -> None:
    """Simulate everything and write the table."""
    rows: list[dict[str, Any]] = []
    for name, (form, draw, known) in coverages().items():
        found = coverage(form, draw, true=truth(form, draw) if known is None else known)
        rows += [
            {"what": f"95 % {kind} interval of {name}", "studies": STUDIES, "share": share}
            for kind, share in found.items()
        ]
    for name, (p_value, studies) in SIZES.items():
        what = f"rejected at 5 %, nothing there: {name}"
        rows.append({"what": what, "studies": studies, "share": size(p_value, studies)})
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["what", "studies", "share"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(f"{row['share']:.3f}  {row['what']}")


if __name__ == "__main__":
    main()

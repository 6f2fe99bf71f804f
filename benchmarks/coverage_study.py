"""Measure how often intervals hold the truth and tests reject a true null, on a grid of studies.

Subjects 12, 30, 60 and 300; one sample per subject, one to five, or one heavy subject; values from
0.03 to 0.97; 5 to 200 events. Each cell has 2,000 simulated studies or more whose truth is known.
The study calls the package's own functions. `bars` lists the cells that miss the stated bars.

Run from a checkout: `.venv/bin/python benchmarks/coverage_study.py`; it takes about 15 minutes on
one core and writes `benchmarks/results/coverage_study.csv`.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, ndtr, ndtri

from clinical_symile.metrics.conformal import conformal_threshold, covered, prediction_sets
from clinical_symile.metrics.decision_curve import net_benefit_estimate
from clinical_symile.stats.area_intervals import (
    AreaMoments,
    area_moments,
    difference_limits,
    score_limits,
)
from clinical_symile.stats.bootstrap import Resampled
from clinical_symile.stats.estimate import Interval, StudentEstimate, weighted_sum
from clinical_symile.stats.hypothesis_tests import (
    auroc_difference,
    mcnemar,
    sign_flip,
)
from clinical_symile.stats.proportions import mean_estimate, paired_difference

OUT = Path(__file__).parent / "results" / "coverage_study.csv"
STUDIES, RESAMPLES = 2000, 1000
SUBJECTS = (12, 30, 60, 300)
CLUSTERS = ("one", "several", "heavy")
VALUES = (0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97)
EVENTS = (5, 10, 20, 50, 200)
ICC = 0.3  # correlation of two samples of a subject
LEVEL_95 = np.array([1.959964])
LEAST_STUDIES = 50  # with an interval or a test; a share over fewer is not judged
MOST_COVERAGE = 0.97  # on average over the grid
LEAST_SIZE, ENOUGH = 0.03, 20  # on average over the cells with this many events
_FEW_ABOVE = 5  # of successes and of failures, for the share of studies with an interval

Rng = np.random.Generator
Ends = tuple[float, float] | None


@dataclass(frozen=True)
class Cell:
    """One line of the grid.

    Attributes:
        family: the interval or test.
        subjects: their number.
        cluster: samples per subject: `one`, `several` (one to five) or `heavy` (one subject has a
            fifth of all samples).
        value: the true value.
        events: number of events, of discordant pairs, or of samples above the threshold; of a gap,
            in both groups together.
        kind: `coverage` of a 95 % interval, `size` of a test at 5 % (or 2.5 % for non-inferiority).
        share: the measured share.
        given: share of the studies with an interval or a test, among those with at least five
            successes and failures.
        studies: number of studies that `share` is over.
    """

    family: str
    subjects: int
    cluster: str
    value: float
    events: float
    kind: str
    share: float
    given: float
    studies: int


def cluster_of(rng: Rng, n: int, cluster: str) -> np.ndarray:
    """Return the subject of each sample."""
    sizes = np.ones(n, dtype=int)
    if cluster == "several":
        sizes = rng.integers(1, 6, n)
    elif cluster == "heavy":
        sizes[0] = max(3, n // 4)
    return np.repeat(np.arange(n), sizes)


def binary(rng: Rng, subjects: np.ndarray, p: float, studies: int) -> np.ndarray:
    """Draw 0 or 1 with mean p; two samples of a subject correlate by `ICC` (beta-binomial)."""
    scale = (1 - ICC) / ICC
    own = rng.beta(p * scale, (1 - p) * scale, (studies, subjects.max() + 1))
    return (rng.random((studies, len(subjects))) < own[:, subjects]).astype(float)


def normal(rng: Rng, subjects: np.ndarray, studies: int) -> np.ndarray:
    """Draw standard normal values; two samples of a subject correlate by `ICC`."""
    person = rng.normal(0, np.sqrt(ICC), (studies, subjects.max() + 1))
    return person[:, subjects] + rng.normal(0, np.sqrt(1 - ICC), (studies, len(subjects)))


def mean_intervals(values: np.ndarray, subjects: np.ndarray, rng: Rng) -> list[Ends]:
    """Return the interval of each study's mean as results have it: own, or BCa of the bootstrap."""
    found: list[Ends] = []
    large = []
    for study, row in enumerate(values):
        estimate = mean_estimate(row, subjects)
        if not estimate.is_preferred:
            large.append(study)
        found.append(estimate.interval()[1:3])
    if large:
        for study, ends in zip(large, _bca(values[large], subjects, rng), strict=True):
            if ends[1] > ends[0]:  # pyright: ignore[reportOptionalSubscript]
                found[study] = ends
    return found


def _bca(values: np.ndarray, subjects: np.ndarray, rng: Rng) -> list[Ends]:
    """Return BCa intervals of means; all studies share the drawn subjects."""
    sizes = np.bincount(subjects).astype(float)
    n = len(sizes)
    sums = np.stack([np.bincount(subjects, row) for row in values])
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    means = (sums @ drawn.T) / (drawn @ sizes)
    left_out = (sums.sum(axis=1, keepdims=True) - sums) / (sizes.sum() - sizes)
    observed = sums.sum(axis=1) / sizes.sum()
    return [
        Resampled(float(value), row).bca_interval(jack)[1:3]
        for value, row, jack in zip(observed, means, left_out, strict=True)
    ]


def coverage(
    ends: Iterable[Ends], truth: float | np.ndarray, given: np.ndarray | None = None
) -> tuple[float, float, int]:
    """Return the share of intervals that hold the truth, the share given, and their number."""
    ends = list(ends)
    truths = np.broadcast_to(truth, len(ends))
    inside = [e[0] <= t <= e[1] for e, t in zip(ends, truths, strict=True) if e is not None]
    asked = np.ones(len(ends), dtype=bool) if given is None else given
    have = np.array([e is not None for e in ends])
    return (
        float(np.mean(inside)) if inside else float("nan"),
        float(have[asked].mean()) if asked.any() else 1.0,
        len(inside),
    )


def proportions(rng: Rng, studies: int) -> Iterator[Cell]:
    """Intervals of proportions such as recall@1, and of graded means such as the Brier score."""
    for n, cluster in _designs():
        subjects = cluster_of(rng, n, cluster)
        for p in VALUES:
            values = binary(rng, subjects, p, studies)
            few = np.minimum(values.sum(axis=1), (1 - values).sum(axis=1)) >= _FEW_ABOVE
            found = coverage(mean_intervals(values, subjects, rng), p, few)
            yield Cell("proportion", n, cluster, p, p * len(subjects), "coverage", *found)
        for spread in (0.5, 1.5, 3.0):
            risk = expit(spread * normal(rng, subjects, studies) - 1.0)
            label = rng.random(risk.shape) < risk
            truth = _expected(lambda x, s=spread: expit(s * x - 1) * (1 - expit(s * x - 1)))
            found = coverage(mean_intervals((risk - label) ** 2, subjects, rng), truth)
            yield Cell("Brier score", n, cluster, truth, float("nan"), "coverage", *found)


def _expected(function: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the expectation of a function of a standard normal variable."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    return float((weights * function(points)).sum() / weights.sum())


def labels(rng: Rng, subjects: np.ndarray, events: int) -> np.ndarray:
    """Place a number of events on samples, in at least two subjects of each class."""
    while True:
        label = np.zeros(len(subjects), dtype=int)
        label[rng.choice(len(subjects), events, replace=False)] = 1
        if all(len(np.unique(subjects[label == kind])) > 1 for kind in (0, 1)):
            return label


def area_truth(subjects: np.ndarray, label: np.ndarray, shift: float) -> float:
    """Return the expected AUROC: pairs of one subject do not differ by the subject's effect."""
    counts = [np.bincount(subjects[label == kind], minlength=subjects.max() + 1) for kind in (0, 1)]
    within = float((counts[0] * counts[1]).sum() / (counts[0].sum() * counts[1].sum()))
    apart, same = ndtr(shift / np.sqrt(2)), ndtr(shift / np.sqrt(2 * (1 - ICC)))
    return float((1 - within) * apart + within * same)


def area_cells() -> Iterator[tuple[int, str, int]]:
    """Yield subjects, cluster and events; both classes have five samples or more."""
    for n, cluster in _designs():
        for events in EVENTS:
            if events <= n - 5:
                yield n, cluster, events


def areas(rng: Rng, studies: int) -> Iterator[Cell]:
    """Intervals of AUROC."""
    for n, cluster, events in area_cells():
        subjects = cluster_of(rng, n, cluster)
        label = labels(rng, subjects, events)
        for value in (0.03, 0.3, 0.5, 0.7, 0.9, 0.97):
            shift = float(np.sqrt(2) * ndtri(value))
            scores = normal(rng, subjects, studies) + shift * label
            ends = area_intervals(scores, label, subjects)
            found = coverage(ends, area_truth(subjects, label, shift))
            yield Cell("AUROC", n, cluster, value, events, "coverage", *found)


def area_intervals(scores: np.ndarray, label: np.ndarray, subjects: np.ndarray) -> list[Ends]:
    """Return the interval of each study's AUROC as results have it."""
    starts = np.flatnonzero(np.diff(subjects, prepend=-1))
    moments = area_moments(scores, np.broadcast_to(label, scores.shape), starts)
    low, high = score_limits(moments, LEVEL_95)
    ends: list[Ends] = [
        None if np.isnan(v) else (float(a), float(b))
        for v, a, b in zip(moments.variance, low[:, 0], high[:, 0], strict=True)
    ]
    return ends


def _designs() -> Iterator[tuple[int, str]]:
    for n in SUBJECTS:
        for cluster in CLUSTERS:
            yield n, cluster


def gaps(rng: Rng, studies: int) -> Iterator[Cell]:
    """Tests of a subgroup's gap in a proportion, without a gap."""
    for one, other in ((12, 18), (12, 48), (30, 30), (30, 270), (150, 150)):
        for cluster in CLUSTERS:
            groups = [cluster_of(rng, size, cluster) for size in (one, other)]
            for p in VALUES:
                rejected = [
                    _excludes_0(weighted_sum(*pair).interval())
                    for pair in zip(
                        *(
                            [mean_estimate(row, who) for row in binary(rng, who, p, studies)]
                            for who in groups
                        ),
                        strict=True,
                    )
                ]
                events = min(p, 1 - p) * (one + other)
                yield _size("gap of a proportion", one + other, cluster, p, events, rejected)


def area_gaps(rng: Rng, studies: int) -> Iterator[Cell]:
    """Tests of a subgroup's gap in AUROC without a gap, and its interval with one."""
    for (one, other), events in (((30, 30), 10), ((30, 270), 10), ((60, 240), 30)):
        for cluster in CLUSTERS:
            whose = [cluster_of(rng, size, cluster) for size in (one, other)]
            marked = [labels(rng, who, events) for who in whose]
            for value in (0.5, 0.7, 0.9, 0.97):
                moments = _group_moments(rng, whose, marked, (value, value), studies)
                low, high = difference_limits(*moments, LEVEL_95)
                rejected = ((low > 0) | (high < 0))[:, 0].tolist()
                yield _size("gap of AUROC", one + other, cluster, value, 2 * events, rejected)
            for value in (0.5, 0.9, 0.97):  # against 0.7 in the other group
                moments = _group_moments(rng, whose, marked, (value, 0.7), studies)
                low, high = difference_limits(*moments, LEVEL_95)
                truths = [
                    area_truth(who, label, float(np.sqrt(2) * ndtri(area)))
                    for who, label, area in zip(whose, marked, (value, 0.7), strict=True)
                ]
                ends: list[Ends] = list(zip(low[:, 0].tolist(), high[:, 0].tolist(), strict=True))
                found = coverage(ends, truths[0] - truths[1])
                where = one + other, cluster, value, 2 * events
                yield Cell("gap of AUROC", *where, "coverage", *found)


def _group_moments(
    rng: Rng,
    whose: list[np.ndarray],
    marked: list[np.ndarray],
    areas: tuple[float, float],
    studies: int,
) -> tuple[AreaMoments, AreaMoments]:
    """Draw scores of two groups and return the moments of their AUROCs."""
    found: list[AreaMoments] = []
    for who, label, area in zip(whose, marked, areas, strict=True):
        scores = normal(rng, who, studies) + float(np.sqrt(2) * ndtri(area)) * label
        starts = np.flatnonzero(np.diff(who, prepend=-1))
        found.append(area_moments(scores, np.broadcast_to(label, scores.shape), starts))
    return found[0], found[1]


def _excludes_0(interval: Interval) -> bool:
    """Return whether the test at 5 % rejects: its interval excludes 0."""
    return interval.low > 0 or interval.high < 0


def _size(
    family: str,
    n: int,
    cluster: str,
    value: float,
    events: float,
    rejected: list[bool],
    given: float = 1.0,
) -> Cell:
    share = float(np.mean(rejected)) if rejected else float("nan")
    return Cell(family, n, cluster, value, events, "size", share, given, len(rejected))


def benefits(rng: Rng, studies: int) -> Iterator[Cell]:
    """Intervals of net benefit and of its gain over treating everyone or no one."""
    for n, cluster in _designs():
        subjects = cluster_of(rng, n, cluster)
        for threshold, centre in ((0.1, -2.0), (0.2, -2.0), (0.5, -1.0), (0.5, -2.0), (0.8, 0.0)):
            weight = threshold / (1 - threshold)

            def benefit(x: np.ndarray, c: float = centre, t: float = threshold, w: float = weight):
                risk = expit(c + x)
                return (risk >= t) * (risk - (1 - risk) * w)

            truth = _fine(benefit)
            everyone = _fine(lambda x, c=centre, w=weight: expit(c + x) - (1 - expit(c + x)) * w)
            above = _fine(lambda x, c=centre, t=threshold: (expit(c + x) >= t).astype(float))
            gain = truth - max(everyone, 0.0)
            found: list[list[Ends]] = [[], []]
            risks = expit(centre + normal(rng, subjects, studies))
            drawn = (rng.random(risks.shape) < risks).astype(int)
            for risk, label in zip(risks, drawn, strict=True):
                try:
                    pair = net_benefit_estimate(label, risk, subjects, threshold=threshold)
                except ValueError:
                    pair = None, None
                for ends, one in zip(found, pair, strict=True):
                    ends.append(None if one is None else one.interval()[1:3])
            enough = (risks >= threshold).sum(axis=1) >= _FEW_ABOVE
            for name, ends, true in zip(
                ("net benefit", "gain of net benefit"), found, (truth, gain), strict=True
            ):
                where = n, cluster, threshold, above * len(subjects)
                yield Cell(name, *where, "coverage", *coverage(ends, true, enough))


def _fine(function: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the expectation of a function with a step, of a standard normal variable."""
    points = ndtri((np.arange(200_000) + 0.5) / 200_000)
    return float(function(points).mean())


def pairs(rng: Rng, studies: int) -> Iterator[Cell]:
    """Paired differences of proportions: interval, McNemar, sign flips, non-inferiority."""
    margin = 0.1
    for n, cluster in _designs():
        subjects = cluster_of(rng, n, cluster)
        for rate in (0.1, 0.3, 0.6):  # share of discordant pairs
            events = rate * len(subjects)
            changed = binary(rng, subjects, rate, studies)
            favour = binary(rng, subjects, 0.5, studies)
            difference = changed * (2 * favour - 1)
            zero = np.zeros(len(subjects))
            tests = [mcnemar(row, zero, subjects).p_value < 0.05 for row in difference]
            yield _size("McNemar", n, cluster, rate, events, tests)
            flips = [
                sign_flip(row, zero, subjects, rng=rng, permutations=199).p_value < 0.05
                for row in difference
            ]
            yield _size("sign flips", n, cluster, rate, events, flips)
            ends: list[Ends] = []
            for row in difference:
                try:
                    ends.append(paired_difference(row, subjects).interval()[1:3])
                except ValueError:
                    ends.append(None)
            discordant = np.abs(difference).sum(axis=1) >= _FEW_ABOVE
            where = n, cluster, rate, events
            found = coverage(ends, 0.0, discordant)
            yield Cell("paired difference", *where, "coverage", *found)
            yield _noninferiority(rng, n, cluster, subjects, rate, margin, studies)


def _noninferiority(
    rng: Rng, n: int, cluster: str, subjects: np.ndarray, rate: float, margin: float, studies: int
) -> Cell:
    """Test non-inferiority where the loss is exactly the margin."""
    changed = binary(rng, subjects, max(rate, margin), studies)
    share = (1 - margin / max(rate, margin)) / 2
    favour = binary(rng, subjects, share, studies) if share > 0 else np.zeros_like(changed)
    rejected = []
    for row in changed * (2 * favour - 1):
        try:
            own = paired_difference(row, subjects)
        except ValueError:
            continue
        # The one-sided test at 2.5 % rejects where the 95 % interval is above -margin.
        rejected.append(own.interval().low > -margin)
    given = len(rejected) / studies
    return _size("non-inferiority", n, cluster, rate, rate * len(subjects), rejected, given)


def area_pairs(rng: Rng, studies: int) -> Iterator[Cell]:
    """Tests and intervals of the difference of two AUROCs (DeLong), without a difference."""
    for n, cluster, events in area_cells():
        subjects = cluster_of(rng, n, cluster)
        label = labels(rng, subjects, events)
        for value in (0.6, 0.9):
            shift = float(np.sqrt(2) * ndtri(value))
            shared = normal(rng, subjects, studies)
            scores = [
                np.sqrt(0.5) * shared
                + np.sqrt(0.5) * normal(rng, subjects, studies)
                + shift * label
                for _ in range(2)
            ]
            rejected, ends = [], []
            for one, other in zip(*scores, strict=True):
                try:
                    found = auroc_difference(label, one, other, subjects)
                except ValueError:
                    ends.append(None)
                    continue
                ends.append(found.interval()[1:3])
                rejected.append(delong_p_value(found) < 0.05)
            given = len(rejected) / studies
            yield _size("DeLong", n, cluster, value, events, rejected, given)
            where = n, cluster, value, events
            yield Cell("difference of AUROC", *where, "coverage", *coverage(ends, 0.0))


def delong_p_value(found: StudentEstimate) -> float:
    """Return the p-value of `delong`, without computing the variance again."""
    if found.is_preferred:
        return found.p_value()
    return float(2 * ndtr(-abs(found.value) / found.standard_error))


def conformal(rng: Rng, studies: int) -> Iterator[Cell]:
    """Share of outcomes outside conformal sets that may miss one in ten."""
    for n, cluster in _designs():
        subjects = cluster_of(rng, n, cluster)
        for spread in (0.5, 2.0):
            missed = []
            for _ in range(studies):
                risk = expit(spread * normal(rng, subjects, 1)[0])
                label = (rng.random(len(risk)) < risk).astype(int)
                threshold = conformal_threshold(label, risk, subjects)
                new = expit(spread * rng.normal(size=20))
                outcome = (rng.random(20) < new).astype(int)
                hit = covered(prediction_sets(new, threshold=threshold), outcome)
                missed.append(1 - float(hit.mean()))
            share = float(np.mean(missed))
            yield Cell(
                "conformal miss", n, cluster, spread, np.nan, "miss", share, 1.0, 20 * studies
            )


FAMILIES: dict[str, Callable[[Rng, int], Iterator[Cell]]] = {
    "proportions": proportions,
    "areas": areas,
    "gaps": gaps,
    "benefits": benefits,
    "pairs": pairs,
    "area_pairs": area_pairs,
    "conformal": conformal,
    "area_gaps": area_gaps,
}


def is_measured(cell: Cell) -> bool:
    """Return whether a share is over enough studies: an interval may hardly ever be given."""
    return cell.studies >= LEAST_STUDIES and not np.isnan(cell.share)


def below_bar(cell: Cell) -> str | None:
    """Return how a cell misses its bar; None if it keeps it."""
    if not is_measured(cell):
        return None
    error = 3 / np.sqrt(max(cell.studies, 1))
    if cell.kind == "coverage":
        bar = 0.90 if cell.subjects < 30 else 0.93
        least = bar - error * np.sqrt(bar * (1 - bar))
        if cell.share < least:
            return f"covers {cell.share:.3f}, bar {least:.3f}"
        if cell.subjects >= 30 and cell.given < 0.9:
            return f"given in {cell.given:.2f} of studies"
        return None
    if cell.kind == "miss":
        most = 0.1 + error * 0.3
        return f"misses {cell.share:.3f}, bar {most:.3f}" if cell.share > most else None
    bar = 0.03 if cell.family == "non-inferiority" else 0.06
    most = bar + error * np.sqrt(bar * (1 - bar))
    if cell.subjects >= 30 and cell.share > most:
        return f"rejects {cell.share:.3f}, bar {most:.3f}"
    return None


def bars(cells: Iterable[Cell]) -> list[str]:
    """Return one line for each bar that is missed."""
    cells = list(cells)
    lines = [f"{asdict(cell)}: {why}" for cell in cells if (why := below_bar(cell)) is not None]
    mean = mean_coverage(cells)
    if mean > MOST_COVERAGE:
        lines.append(f"all intervals: mean coverage {mean:.4f}, above {MOST_COVERAGE}")
    for family, size in mean_sizes(cells).items():
        if size < LEAST_SIZE:
            lines.append(f"{family}: mean size {size:.4f} where events are {ENOUGH} or more")
    return lines


def mean_coverage(cells: Iterable[Cell]) -> float:
    """Return the mean coverage over all cells of intervals; NaN without one."""
    shares = [cell.share for cell in cells if cell.kind == "coverage" and is_measured(cell)]
    return float(np.mean(shares)) if shares else float("nan")


def mean_sizes(cells: Iterable[Cell]) -> dict[str, float]:
    """Return the mean size of each test at 5 % over the cells with enough events."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        enough = cell.events >= ENOUGH and is_measured(cell)
        if cell.kind == "size" and cell.family != "non-inferiority" and enough:
            found.setdefault(cell.family, []).append(cell.share)
    return {family: float(np.mean(shares)) for family, shares in found.items()}


def run(
    families: Iterable[str], studies: int, *, seed: int = 1, out: Path | None = None
) -> list[Cell]:
    """Simulate some families of the grid; write the table after each if `out` is given."""
    cells: list[Cell] = []
    for name in families:
        start = time.process_time()
        rng = np.random.default_rng([seed, list(FAMILIES).index(name)])
        made = [replace(cell, share=round(cell.share, 4)) for cell in FAMILIES[name](rng, studies)]
        cells += made
        if out is not None:
            write(cells, out)
        print(f"{name}: {len(made)} cells in {time.process_time() - start:.0f} s", file=sys.stderr)
    return cells


def main() -> None:
    """Simulate the grid, write its table, and print the bars that are missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    cells = run(asked.families, asked.studies, seed=asked.seed, out=asked.out)
    for family in dict.fromkeys(cell.family for cell in cells):
        own = [cell for cell in cells if cell.family == family and is_measured(cell)]
        for n in dict.fromkeys(cell.subjects for cell in own):
            shares = [cell.share for cell in own if cell.subjects == n]
            print(
                f"{family}, {n} subjects: {min(shares):.3f} to {max(shares):.3f}, "
                f"mean {np.mean(shares):.3f}"
            )
    for line in bars(cells):
        print("MISSED", line)


def write(cells: Iterable[Cell], path: Path) -> None:
    """Write the grid as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        names = list(Cell.__dataclass_fields__)
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for cell in cells:
            row: dict[str, Any] = asdict(cell)
            numbers = ("value", "events", "share", "given")
            writer.writerow(row | {name: f"{row[name]:.4g}" for name in numbers})


if __name__ == "__main__":
    main()

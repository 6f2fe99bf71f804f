"""Masks against their documentation: rate, whole share, correlation, slope and dependence.

Every mechanism is drawn on 50,000 complete samples with 2, 3 and 4 query modalities at rates of 10
to 70 %. The documented values are computed here by quadrature or by hand, not by the package. A
value holds if it differs by at most the larger of 2 points and 10 %.

Run with `.venv/bin/python benchmarks/masks.py`; it writes `benchmarks/results/masks.csv`.
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from math import comb
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtr, ndtri

from clinical_symile.missingness.at_least_one import UnreachableError
from clinical_symile.missingness.draw import draw_pattern
from clinical_symile.missingness.mask_statistics import mask_statistics
from clinical_symile.missingness.mechanisms import SLOPE, normal_scores
from clinical_symile.missingness.patterns import is_applicable, parse_pattern

OUT = Path(__file__).parent / "results" / "masks.csv"
SAMPLES, PREVALENCE = 50_000, 0.2
SIZES, RATES = (2, 3, 4), (10, 20, 30, 40, 50, 60, 70)
FORMS = (
    "mcar-{}",
    "mcar-{}-corr-20",
    "mcar-{}-corr-60",
    "mar-age-{}",
    "mnar-{}",
    "mnar-died-{}",
    "mcar-{}@at-least-one",
    "mar-age-{}@at-least-one",
    "mnar-{}@at-least-one",
    "mnar-died-{}@at-least-one",
)
NAMES = ("cxr", "ecg", "labs", "notes")
Z, W = np.polynomial.hermite_e.hermegauss(120)
W = W / W.sum()


@dataclass(frozen=True)
class Line:
    """A statistic of one pattern: its documented and its simulated value."""

    pattern: str
    modalities: int
    statistic: str
    documented: float | None
    simulated: float | None
    holds: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    lines = [
        line for size in SIZES for form in FORMS for r in RATES for line in study(form, size, r)
    ]
    with options.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(field.name for field in fields(Line))
        for line in lines:
            numbers = (None if n is None else round(n, 4) for n in astuple(line)[3:5])
            table.writerow([*astuple(line)[:3], *numbers, int(line.holds)])
    measured = [line for line in lines if line.simulated is not None]
    print(f"{sum(not line.holds for line in measured)} of {len(measured)} values do not hold")
    print(f"{sum(line.statistic == 'refused' for line in lines)} patterns are refused")


def study(form: str, size: int, rate: int, seed: int = 0) -> Iterator[Line]:
    """Yield each statistic of a pattern, or one line that it is refused."""
    pattern, names = parse_pattern(form.format(rate)), NAMES[:size]
    rng = np.random.default_rng([seed, size, rate])
    died = (rng.random(SAMPLES) < PREVALENCE).astype(float)
    x = np.zeros((SAMPLES, size))
    if pattern.mechanism == "mar":
        x += normal_scores(rng.normal(size=SAMPLES))[:, None]
    elif pattern.given:
        x += normal_scores(died)[:, None]
    elif pattern.mechanism == "mnar":
        x = np.stack([normal_scores(rng.normal(size=SAMPLES)) for _ in names], axis=1)
    present, samples = np.ones(x.shape, dtype=bool), [f"s{n}" for n in range(SAMPLES)]
    try:
        if not is_applicable(pattern, names):
            raise UnreachableError
        hidden = draw_pattern(pattern, samples, names, x, present, seed=seed)
    except UnreachableError:
        yield Line(pattern.name, size, "refused", None, None, pattern.at_least_one)
        return
    found = mask_statistics(names, present, ~hidden, x)
    simulated: dict[str, list[float | None]] = {
        "rate": list(hidden.mean(axis=0)),
        "whole share": [found.whole_share],
        "empty share": [found.empty_share],
        "correlation": list(found.correlation.values()),
        "slope": list(found.slope.values()),
        "hidden, died": list(hidden[died == 1].mean(axis=0)),
        "hidden, survived": list(hidden[died == 0].mean(axis=0)),
        "AUROC of the mask": [_auroc(hidden.sum(axis=1), died)],
    }
    for name, value in documented(form, size, rate / 100).items():
        worst = max(simulated[name], key=lambda one: abs((np.inf if one is None else one) - value))
        holds = worst is not None and abs(worst - value) <= max(0.02, 0.1 * abs(value))
        yield Line(pattern.name, size, name, value, worst, holds)


def documented(form: str, size: int, rate: float) -> dict[str, float]:
    """Compute the documented statistics of a pattern."""
    values = {"rate": rate}
    if form.startswith(("mar", "mnar")):
        values["slope"] = SLOPE
    if form.endswith("@at-least-one"):
        values["empty share"] = 0.0
        if form.startswith("mcar"):
            p = _root(lambda p: p - p**size / size - rate)
            both = p**2 - 2 * p**size / size
            values["whole share"] = (1 - p) ** size
            values["correlation"] = _correlation(both, rate)
        return values
    # Given z, modalities are hidden independently, each with probability p(z).
    p, weights = _given_common_cause(form, rate)
    values["whole share"] = float(weights @ (1 - p) ** size)
    values["empty share"] = float(weights @ p**size)
    values["correlation"] = _correlation(float(weights @ p**2), rate)
    died, survived = (p[1], p[0]) if form.startswith("mnar-died") else (rate, rate)
    values["hidden, died"], values["hidden, survived"] = float(died), float(survived)
    if form.startswith("mnar-died"):
        values["AUROC of the mask"] = _coins_auroc(size, p[1], p[0])
    else:
        values["AUROC of the mask"] = 0.5
    return values


def _given_common_cause(form: str, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the chance to be hidden at each value of what modalities share, and its weights."""
    if form.startswith("mar"):
        a = _root(lambda a: W @ expit(a + SLOPE * Z) - rate, -20, 20)
        return expit(a + SLOPE * Z), W
    if form.startswith("mnar-died"):
        x = (np.array([0, 1]) - PREVALENCE) / np.sqrt(PREVALENCE * (1 - PREVALENCE))
        weights = np.array([1 - PREVALENCE, PREVALENCE])
        a = _root(lambda a: weights @ expit(a + SLOPE * x) - rate, -20, 20)
        return expit(a + SLOPE * x), weights
    if "corr" in form:
        wanted = rate**2 + int(form.rpartition("-")[2]) / 100 * rate * (1 - rate)

        def p(latent: float) -> np.ndarray:
            return ndtr((ndtri(rate) - np.sqrt(latent) * Z) / np.sqrt(1 - latent))

        return p(_root(lambda latent: W @ p(latent) ** 2 - wanted, 0, 0.99)), W  # pyright: ignore[reportArgumentType]
    return np.array([rate]), np.array([1.0])


def _root(excess: Callable[[float], float], low: float = 0.0, high: float = 1.0) -> float:
    return float(brentq(excess, low, high))  # pyright: ignore[reportArgumentType]


def _correlation(both: float, rate: float) -> float:
    return (both - rate**2) / (rate * (1 - rate))


def _coins_auroc(size: int, first: float, second: float) -> float:
    """Compute how often a sample with chance `first` has more hidden than one with `second`."""
    k = np.arange(size + 1)
    ways = np.array([comb(size, int(n)) for n in k])
    a, b = (ways * p**k * (1 - p) ** (size - k) for p in (first, second))
    return float(a @ (np.cumsum(b) - b / 2))


def _auroc(score: np.ndarray, label: np.ndarray) -> float:
    """Compute the AUROC of a whole number; ties count half."""
    counts = [np.bincount(score[label == y], minlength=score.max() + 1) for y in (1, 0)]
    a, b = (count / count.sum() for count in counts)
    return float(a @ (np.cumsum(b) - b / 2))


if __name__ == "__main__":
    main()

"""Masks against their documentation: rate, whole share, correlation, slope and dependence.

Every mechanism is drawn on 50,000 complete samples with 2, 3 and 4 query modalities at rates of 10
to 70 %. The documented values are computed here by quadrature or by hand, not by the package. A
value holds if it differs by at most the larger of 2 points and 10 %.

Run with `.venv/bin/python benchmarks/masks.py`; it takes about two minutes on one core and writes
`benchmarks/results/masks.csv`. With `--table` it prints the tables of
`docs/explanation/missingness.md` from this file instead.
"""

import argparse
import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import brentq, root
from scipy.special import expit, ndtr, ndtri, softmax

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
    "mcar-cxr-{}-ecg-20",
    "mcar-{}-corr-20",
    "mcar-{}-corr-60",
    "mar-age-{}",
    "mar-age-cxr-{}-ecg-20",
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
# An outcome with mean 0 and variance 1, and the shares of survivors and deaths.
OUTCOME = (np.array([0, 1]) - PREVALENCE) / np.sqrt(PREVALENCE * (1 - PREVALENCE))
SHARES = np.array([1 - PREVALENCE, PREVALENCE])


# The statistics of the docs' tables.
DOCUMENTED = {
    "whole share": "whole",
    "empty share": "empty",
    "correlation": "correlation",
    "slope": "slope",
    "hidden, died": "hidden with the outcome",
    "AUROC of the mask": "AUROC of the mask",
}
Key = tuple[str, int, str]


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
    parser.add_argument("--table", action="store_true", help="print the tables of the docs")
    options = parser.parse_args()
    if options.table:
        print(docs_tables(read(options.out)))
        return
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


def read(path: Path) -> list[Line]:
    """Read the lines of a finished study."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Line(
                row["pattern"],
                int(row["modalities"]),
                row["statistic"],
                float(row["documented"]) if row["documented"] else None,
                float(row["simulated"]) if row["simulated"] else None,
                row["holds"] == "1",
            )
            for row in csv.DictReader(file)
        ]


def docs_tables(lines: list[Line]) -> str:
    """Return Markdown: what patterns are at 30 %, and the largest differences over the grid."""
    found = {(line.pattern, line.modalities, line.statistic): line for line in lines}
    first = _markdown(
        ["pattern", "modalities", *DOCUMENTED.values()],
        [
            [f"`{form.format(30)}`", str(size), *cells]
            for form in FORMS
            for size in (2, 4)
            if (cells := _values(found, form.format(30), size))
        ],
    )
    second = _markdown(
        ["pattern", "rates with 2, 3, 4 modalities", *DOCUMENTED.values()],
        [
            [f"`{form.replace('{}', 'R')}`", _reached(found, form), *_differences(found, form)]
            for form in FORMS
        ],
    )
    return f"{first}\n\n{second}"


def _values(found: Mapping[Key, Line], pattern: str, size: int) -> list[str]:
    """Return the documented and the simulated value of each statistic; nothing if refused."""
    if (pattern, size, "refused") in found:
        return []
    cells = []
    for name in DOCUMENTED:
        line = found.get((pattern, size, name))
        if line is None or line.documented is None or line.simulated is None:
            cells.append("\N{EN DASH}")
        else:
            cells.append(f"{line.documented:.3f} / {line.simulated:.3f}".replace("-0.000", "0.000"))
    return cells


def _reached(found: Mapping[Key, Line], form: str) -> str:
    """Return the rates that are not refused, for each number of modalities."""
    drawn = [
        [rate for rate in RATES if (form.format(rate), size, "refused") not in found]
        for size in SIZES
    ]
    ranges = ["\N{EN DASH}".join(map(str, dict.fromkeys([r[0], r[-1]]))) for r in drawn]
    return ", ".join(f"{ends} %" for ends in ranges)


def _differences(found: Mapping[Key, Line], form: str) -> list[str]:
    """Return the largest difference of each statistic over sizes and rates."""
    names = [form.format(rate) for rate in RATES]
    cells = []
    for statistic in DOCUMENTED:
        apart = [
            abs(line.documented - line.simulated)
            for (name, _, what), line in found.items()
            if name in names and what == statistic
            if line.documented is not None and line.simulated is not None
        ]
        cells.append(f"{max(apart):.3f}" if apart else "\N{EN DASH}")
    return cells


def _markdown(head: list[str], body: list[list[str]]) -> str:
    rows = [head, ["---", "--:", *["--:"] * (len(head) - 2)], *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("| --- |", "|---|")


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
    for name, values in documented(form, pattern.rates_of(names)).items():
        pairs = list(zip(simulated[name], values, strict=True))
        worst, value = max(pairs, key=lambda pair: _difference(*pair))
        yield Line(pattern.name, size, name, value, worst, _difference(worst, value) <= 1)


def _difference(simulated: float | None, expected: float | None) -> float:
    """Return the distance in units of what is allowed: the larger of 2 points and 10 %."""
    if simulated is None or expected is None:
        return 0.0 if simulated is expected else np.inf
    return abs(simulated - expected) / max(0.02, 0.1 * abs(expected))


def documented(form: str, rates: np.ndarray) -> dict[str, list[float | None]]:
    """Compute the documented statistics of a pattern, one for each modality or pair.

    A modality that is never hidden has no slope, and its hiding correlates with nothing: None.
    """
    mechanism = "mnar-died" if form.startswith("mnar-died") else form.partition("-")[0]
    hiding = _at_least_one(mechanism, rates) if "@" in form else _independent(form, rates)
    pairs = list(combinations(range(len(rates)), 2))
    values: dict[str, list[float | None]] = {
        "rate": rates.tolist(),
        "whole share": [float(hiding.weights @ hiding.of_none)],
        "empty share": [float(hiding.weights @ hiding.of_all)],
        "correlation": [
            _correlation(float(hiding.weights @ hiding.of_pairs[pair]), *rates[list(pair)])
            for pair in pairs
        ],
        "hidden, died": rates.tolist(),
        "hidden, survived": rates.tolist(),
        "AUROC of the mask": [0.5],
    }
    if mechanism != "mcar":
        values["slope"] = [SLOPE if rate else None for rate in rates]
    if mechanism == "mnar-died":
        survived, died = hiding.of_one
        values["hidden, died"], values["hidden, survived"] = died.tolist(), survived.tolist()
        values["AUROC of the mask"] = [_counts_auroc(hiding.counts[1], hiding.counts[0])]
    return values


@dataclass(frozen=True)
class Hiding:
    """Chances given the values z of what modalities depend on, and the weight of each value.

    Attributes:
        weights: the weight of each z.
        of_one: the chance of each modality to be hidden, `[z, modality]`.
        of_pairs: the chance of each pair to be hidden together, `[z]`.
        of_none: the chance that nothing is hidden, `[z]`.
        of_all: the chance that everything is hidden, `[z]`.
        counts: the chance that 0, 1, … modalities are hidden, `[z, count]`.
    """

    weights: np.ndarray
    of_one: np.ndarray
    of_pairs: dict[tuple[int, int], np.ndarray]
    of_none: np.ndarray
    of_all: np.ndarray
    counts: np.ndarray


def _independent(form: str, rates: np.ndarray) -> Hiding:
    """Compute chances if modalities are hidden independently given z."""
    columns = [_given_common_cause(form, rate) for rate in rates]
    p, weights = np.stack([p for p, _ in columns], axis=1), columns[0][1]
    pairs = {(i, j): p[:, i] * p[:, j] for i, j in combinations(range(len(rates)), 2)}
    counts = _count_chances(p)
    return Hiding(weights, p, pairs, counts[:, 0], counts[:, -1], counts)


def _at_least_one(mechanism: str, rates: np.ndarray) -> Hiding:
    """Compute chances if everything would be hidden with p each, but one modality is then kept.

    All rates are equal, so that one intercept and one slope of p are those of all modalities.
    """
    n, rate = len(rates), float(rates[0])
    z, weights = _nodes(mechanism, n)
    usual = _root(lambda a: weights @ expit(a + SLOPE * z[:, 0]) - rate, -20, 20)
    moment = weights @ (z[:, 0] * expit(usual + SLOPE * z[:, 0]))

    def chances(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
        p = expit(a + b * z)
        return p, softmax(-(a + b * z), axis=1) * p.prod(axis=1, keepdims=True)

    def excess(unknown: np.ndarray) -> list[float]:
        p, spared = chances(unknown[0], unknown[1] if moment else 0.0)
        q = (p - spared)[:, 0]
        second = weights @ (z[:, 0] * q) - moment if moment else unknown[1]
        return [float(weights @ q - rate), float(second)]

    found = root(excess, [usual + 0.1, SLOPE], tol=1e-12)
    assert np.abs(excess(found.x)).max() < 1e-6, (mechanism, rates)
    p, spared = chances(*found.x)
    pairs = {
        (i, j): p[:, i] * p[:, j] - spared[:, i] - spared[:, j]
        for i, j in combinations(range(n), 2)
    }
    counts = _count_chances(p)
    counts[:, -2] += counts[:, -1]
    counts[:, -1] = 0.0
    return Hiding(weights, p - spared, pairs, counts[:, 0], counts[:, -1], counts)


def _nodes(mechanism: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values of what each modality depends on, `[z, modality]`, and their weights."""
    if mechanism == "mcar":
        return np.zeros((1, size)), np.ones(1)
    if mechanism == "mar":
        return np.repeat(Z[:, None], size, axis=1), W
    if mechanism == "mnar-died":
        return np.repeat(OUTCOME[:, None], size, axis=1), SHARES
    few, few_weights = np.polynomial.hermite_e.hermegauss(16)
    grid = np.stack(np.meshgrid(*[few] * size, indexing="ij"), axis=-1).reshape(-1, size)
    weights = np.prod(np.meshgrid(*[few_weights] * size, indexing="ij"), axis=0).reshape(-1)
    return grid, weights / weights.sum()


def _count_chances(p: np.ndarray) -> np.ndarray:
    """Return the chance that 0, 1, … of some coins with chances p fall on the hidden side."""
    counts = np.ones((len(p), 1))
    for chance in p.T[:, :, None]:
        counts = np.pad(counts * (1 - chance), ((0, 0), (0, 1))) + np.pad(
            counts * chance, ((0, 0), (1, 0))
        )
    return counts


def _given_common_cause(form: str, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the chance to be hidden at each value of what modalities share, and its weights."""
    if not rate and form.startswith("mar"):
        return np.zeros(len(Z)), W
    if form.startswith("mar"):
        a = _root(lambda a: W @ expit(a + SLOPE * Z) - rate, -20, 20)
        return expit(a + SLOPE * Z), W
    if form.startswith("mnar-died"):
        a = _root(lambda a: SHARES @ expit(a + SLOPE * OUTCOME) - rate, -20, 20)
        return expit(a + SLOPE * OUTCOME), SHARES
    if "corr" in form:
        wanted = rate**2 + int(form.rpartition("-")[2]) / 100 * rate * (1 - rate)

        def p(latent: float) -> np.ndarray:
            return ndtr((ndtri(rate) - np.sqrt(latent) * Z) / np.sqrt(1 - latent))

        return p(_root(lambda latent: W @ p(latent) ** 2 - wanted, 0, 0.99)), W  # pyright: ignore[reportArgumentType]
    return np.array([rate]), np.array([1.0])


def _root(excess: Callable[[float], float], low: float = 0.0, high: float = 1.0) -> float:
    return float(brentq(excess, low, high))  # pyright: ignore[reportArgumentType]


def _correlation(both: float, first: float, second: float) -> float | None:
    if not first or not second:
        return None
    return (both - first * second) / np.sqrt(first * (1 - first) * second * (1 - second))


def _counts_auroc(died: np.ndarray, survived: np.ndarray) -> float:
    """Compute how often a sample that died has more hidden than one that survived."""
    return float(died @ (np.cumsum(survived) - survived / 2))


def _auroc(score: np.ndarray, label: np.ndarray) -> float:
    """Compute the AUROC of a whole number; ties count half."""
    counts = [np.bincount(score[label == y], minlength=score.max() + 1) for y in (1, 0)]
    a, b = (count / count.sum() for count in counts)
    return float(a @ (np.cumsum(b) - b / 2))


if __name__ == "__main__":
    main()

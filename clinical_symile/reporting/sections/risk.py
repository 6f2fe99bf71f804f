"""Whether risks can be acted on when something is missing: decisions, calibration, sets, silence.

Where a share of each modality was hidden at several rates, a number is drawn against that share;
elsewhere there is a line for each pattern.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from clinical_symile.formatting import DASH
from clinical_symile.reporting.figures.charts import (
    Band,
    Line,
    Mark,
    Row,
    bands,
    curves,
    dots,
    limits,
)
from clinical_symile.reporting.result_lookup import ORACLE, Series
from clinical_symile.reporting.sections.overview import MECHANISMS, Panel, Tasks, rates
from clinical_symile.reporting.text.labels import outcome_label, pattern_label, task_label
from clinical_symile.tracking.analysis_tables import Measure, NetBenefit

WHOLE = "complete"
AT = (0.05, 0.1, 0.2, 0.3, 0.5)  # thresholds of the table; the picture has all of them


@dataclass(frozen=True)
class Quantity:
    """A number of predicted risks under a pattern, and how it is told.

    Attributes:
        measure: its name in `measures.jsonl`.
        words: what it is, at the axis.
        percent: whether it is told in per cent.
        right: what it should be; None where nothing is right or wrong.
        sides: what it means to lie left and right of `right`, where both mean something.
    """

    measure: str
    words: str
    percent: bool = False
    right: float | None = None
    sides: tuple[str, str] | None = None


CALIBRATION = (
    Quantity("calibration/slope", "calibration slope", right=1.0),
    Quantity(
        "calibration/observed_minus_predicted",
        "observed minus predicted, % of patients",
        percent=True,
        right=0.0,
        sides=("risks too high", "risks too low"),
    ),
)
CONFORMAL = (
    Quantity(
        "conformal/coverage", "sets that hold the truth, % of patients", percent=True, right=0.9
    ),
    Quantity("conformal/cannot_tell", "sets of both, “cannot tell”, %", percent=True),
)
SILENCE = (
    Quantity(
        "silent/silence",
        "accuracy falls further than confidence, % of patients",
        percent=True,
        right=0.0,
        sides=("warns more than it errs", "fails silently"),
    ),
)


def decisions(rows: Sequence[NetBenefit], *, tasks: Tasks, series: Sequence[Series]) -> list[Panel]:
    """Net benefit over thresholds, with nothing missing and where most is missing at random."""
    panels = []
    for name, part in dict.fromkeys((row.task, row.part) for row in rows):
        if name not in tasks:
            continue
        of = [row for row in rows if (row.task, row.part) == (name, part)]
        found = list(dict.fromkeys(row.missingness for row in of))
        by_chance = rates(found, "mcar")
        shown = [WHOLE, by_chance[max(by_chance)]] if by_chance else [WHOLE]
        for pattern in dict.fromkeys(pattern for pattern in shown if pattern in found):
            here = [row for row in of if row.missingness == pattern]
            slug = f"decisions-{len(panels)}"
            title = f"{_title(tasks, name, part)}: {pattern_label(pattern)}"
            made = _decisions(here, title=title, slug=slug, series=series)
            panels += [made] if made else []
    return panels


def measured(
    rows: Sequence[Measure],
    quantities: Sequence[Quantity],
    *,
    tasks: Tasks,
    series: Sequence[Series],
    slug: str,
) -> list[Panel]:
    """Some quantities of each task: against how much is missing, and a table of every pattern.

    Args:
        rows: of all runs, also of the oracle.
        quantities: of each a picture for each mechanism.
        tasks: what was asked.
        series: the runs.
        slug: begins the name of each picture, unique in a page.
    """
    panels = []
    for name, part in dict.fromkeys((row.task, row.part) for row in rows):
        if name not in tasks:
            continue
        for quantity in quantities:
            found = {
                (row.run, row.missingness): row
                for row in rows
                if (row.task, row.part, row.measure) == (name, part, quantity.measure)
            }
            title = _title(tasks, name, part)
            own = f"{slug}-{len(panels)}"
            panels += _over_patterns(found, quantity, title=title, slug=own, series=series)
    return panels


def _over_patterns(
    found: Mapping[tuple[str, str], Measure],
    quantity: Quantity,
    *,
    title: str,
    slug: str,
    series: Sequence[Series],
) -> list[Panel]:
    known = [one for one in series if any(run == one.run for run, _ in found)]
    patterns = list(dict.fromkeys(pattern for _, pattern in found))
    table = _table(found, patterns, quantity, known)
    drawn = []
    for mechanism, how in MECHANISMS.items():
        at = rates(patterns, mechanism)
        if known and len(at) > 2:
            lines = [_band(found, one.family, one.run, at) for one in known]
            lines.append(_band(found, None, ORACLE, at))
            picture = bands(
                [line for line in lines if line.x],
                name=f"{slug}-{mechanism}",
                title=f"{title}, missing {how}: {quantity.words}; the table has the numbers",
                x_label="% of each modality missing",
                y_label=quantity.words,
                percent=quantity.percent,
                reference=quantity.right,
            )
            heading = f"{title}, missing {how}: {quantity.words}"
            body = [row for row in table if row[0] in {pattern_label(p) for p in at.values()}]
            drawn.append(Panel(heading, Markup(picture), _head(known), body, across=True))
    if drawn:
        heading = f"{title}, under every pattern: {quantity.words}"
        return [*drawn, Panel(heading, Markup(""), _head(known), table)]
    picture = _dots(found, patterns, quantity, known, title=title, slug=slug)
    if not picture:
        return []
    return [Panel(f"{title}: {quantity.words}", Markup(picture), _head(known), table)]


def _dots(
    found: Mapping[tuple[str, str], Measure],
    patterns: Sequence[str],
    quantity: Quantity,
    known: Sequence[Series],
    *,
    title: str,
    slug: str,
) -> str:
    rows = []
    for pattern in patterns:
        marks = [
            Mark(one.family, row.value, row.low, row.high)
            for one in known
            if (row := found.get((one.run, pattern))) is not None
            and row.low is not None
            and row.high is not None
        ]
        best = found.get((ORACLE, pattern))
        if marks:
            best_value = None if best is None else best.value
            rows.append(Row(pattern_label(pattern), marks, best_value, quantity.right))
    if not rows:
        return ""
    ends = [end for row in rows for mark in row.marks for end in (mark.low, mark.high)]
    ends += [row.best for row in rows if row.best is not None]
    ends += [] if quantity.right is None else [quantity.right]
    low, high = limits(ends)
    if quantity.sides:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return dots(
        rows,
        name=slug,
        title=f"{title}: {quantity.words}; the table has the numbers",
        limits=(low, high),
        percent=quantity.percent,
        sides=quantity.sides,
        x_label=quantity.words,
    )


def _band(
    found: Mapping[tuple[str, str], Measure], family: int | None, run: str, at: Mapping[int, str]
) -> Band:
    rows = {x: found.get((run, pattern)) for x, pattern in at.items()}
    there = [
        (float(x), row.value, row.low, row.high)
        for x, row in rows.items()
        if row is not None and row.low is not None and row.high is not None
    ]
    x, y, low, high = zip(*there, strict=True) if there else ((), (), (), ())
    return Band(family, x, y, low, high)


def _head(known: Sequence[Series]) -> list[str]:
    # These are no more and no less for being possible: a promise may be kept too well.
    return ["modalities", *(one.label for one in known), "whoever knows how the data were made"]


def _table(
    found: Mapping[tuple[str, str], Measure],
    patterns: Sequence[str],
    quantity: Quantity,
    known: Sequence[Series],
) -> list[list[str]]:
    body = []
    for pattern in patterns:
        cells = [_cell(found.get((one.run, pattern)), quantity) for one in known]
        best = found.get((ORACLE, pattern))
        body.append([pattern_label(pattern), *cells, _cell(best, quantity)])
    return body


def _cell(row: Measure | None, quantity: Quantity) -> str:
    if row is None:
        return DASH
    text = _told(row.value, quantity)
    if row.low is None or row.high is None:
        return text
    return f"{text} ({_told(row.low, quantity)} to {_told(row.high, quantity)})"


def _told(value: float, quantity: Quantity) -> str:
    sign = "+" if quantity.sides else ""
    return _written(f"{100 * value:{sign}.1f}" if quantity.percent else f"{value:{sign}.2f}")


def _written(text: str) -> str:
    """With a true minus; 0 without a sign."""
    zero = not text.strip("+-0.")
    return text.lstrip("+-") if zero else text.replace("-", "\N{MINUS SIGN}")


def _decisions(
    rows: Sequence[NetBenefit], *, title: str, slug: str, series: Sequence[Series]
) -> Panel | None:
    by_run: dict[str, list[NetBenefit]] = {}
    for row in rows:
        by_run.setdefault(row.run, []).append(row)
    known = [one for one in series if one.run in by_run]
    if not known:
        return None

    def line(run: str, family: int | None, style: int) -> Line:
        points = sorted(by_run[run], key=lambda row: row.threshold)
        return Line(
            family,
            style,
            [100 * row.threshold for row in points],
            [100 * row.value for row in points],
        )

    lines = [line(one.run, one.family, one.style) for one in known]
    lines += [line(ORACLE, None, 0)] if ORACLE in by_run else []
    every = sorted(by_run[known[0].run], key=lambda row: row.threshold)
    treat_all = [100 * row.treat_all for row in every]
    most = max(y for one in lines for y in one.y)
    picture = curves(
        lines,
        name=slug,
        title=f"{title}: net benefit per 100 patients; the table has the numbers",
        x_label="risk from which one would act, %",
        y_label="net benefit per 100 patients",
        beside=Line(None, 2, [100 * row.threshold for row in every], treat_all),
        ends=(-0.25 * most, 1.15 * max(most, *treat_all)),
    )
    thresholds = [t for t in AT if any(abs(row.threshold - t) < 1e-9 for row in every)]
    body = []
    for run, label in [(one.run, one.label) for one in known] + [(ORACLE, "best possible")]:
        at = {round(row.threshold, 2): row for row in by_run.get(run, ())}
        if at:
            body.append([label, *(_gain(at.get(t)) for t in thresholds)])
    head = ["gain per 100", *(f"acting from {100 * t:.0f} %" for t in thresholds)]
    return Panel(title, Markup(picture), head, body, across=True)


def _gain(row: NetBenefit | None) -> str:
    if row is None:
        return DASH
    ends = (row.gain, row.gain_low, row.gain_high)
    value, low, high = (_written(f"{100 * end:+.1f}") for end in ends)
    return f"{value} ({low} to {high})"


def _title(tasks: Tasks, name: str, part: str | None) -> str:
    title = task_label(name, tasks[name])
    return f"{title} ({outcome_label(part)})" if part else title

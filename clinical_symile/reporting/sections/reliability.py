"""Show whether predicted risks stay reliable with missing modalities.

Where each modality was hidden at several rates, a quantity is drawn against the rate; otherwise
there is one row for each pattern.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clinical_symile.formatting import DASH, format_signed
from clinical_symile.missingness.severities import mechanism_rates
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.figures.line_chart import Band, bands
from clinical_symile.reporting.figures.picture import Picture
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import (
    MECHANISM_LABELS,
    Content,
    ReportPanel,
    Section,
    method_legend,
    picture_name,
    task_title,
)
from clinical_symile.reporting.text.labels import pattern_label
from clinical_symile.tracking.analysis_tables import Measure, RunAnalysis

# The oracle is neither better nor worse here: a coverage can be too high.
_ORACLE_LABEL = "oracle"
_NEEDS = ("analysis", "tasks", "series", "methods", "has_oracle")


@dataclass(frozen=True)
class Quantity:
    """A number that describes predicted risks under a pattern.

    Attributes:
        measure: its name in `measures.jsonl`.
        words: its axis label.
        percent: whether it is given in per cent.
        target: the value of a perfect model; None where no value is right or wrong.
        sides: the meaning of values left and right of `target`, where both have one.
    """

    measure: str
    words: str
    percent: bool = False
    target: float | None = None
    sides: tuple[str, str] | None = None


CALIBRATION_QUANTITIES = (
    Quantity("calibration/slope", "calibration slope", target=1.0),
    Quantity(
        "calibration/observed_minus_predicted",
        "observed minus predicted, % of patients",
        percent=True,
        target=0.0,
        sides=("risks too high", "risks too low"),
    ),
)
CONFORMAL_QUANTITIES = (
    Quantity(
        "conformal/coverage",
        "sets that hold the true outcome, % of patients",
        percent=True,
        target=0.9,
    ),
    Quantity("conformal/cannot_tell", "sets of both outcomes, “cannot tell”, %", percent=True),
)
SELECTIVE_QUANTITIES = (
    Quantity("selective/aurc", "wrong answers averaged over all coverages (AURC), %", percent=True),
    Quantity("selective/risk_at_80", "wrong answers among the surest 80 %, %", percent=True),
    Quantity("selective/risk_at_100", "wrong answers among all patients, %", percent=True),
)
HIGH_CONFIDENCE_QUANTITIES = (
    Quantity(
        "high_confidence_errors/gap",
        "fall in accuracy minus fall in confidence, % of patients",
        percent=True,
        target=0.0,
        sides=("confidence falls more", "accuracy falls more"),
    ),
)


def _drawing(
    quantities: Sequence[Quantity], name: str, *, heading: str, text: str, dotted: str
) -> Callable[..., Content | None]:
    """Return the function that draws some quantities under every pattern.

    Args:
        quantities: what is drawn.
        name: begins the name of each figure.
        heading: of the section.
        text: explains the figures.
        dotted: label of the dotted line.
    """

    def draw(
        *,
        analysis: RunAnalysis,
        tasks: TaskTables,
        series: Sequence[Series],
        methods: Sequence[Series],
        has_oracle: bool,
    ) -> Content | None:
        panels = quantity_panels(
            analysis.measures, quantities, tasks=tasks, series=series, name=name
        )
        if not panels:
            return None
        best = _ORACLE_LABEL * has_oracle
        legend = method_legend(methods, best=best, dotted=dotted, across=panels[0].across)
        return Content(heading=heading, text=text, panels=panels, legend=legend)

    return draw


CALIBRATION_MISSING = Section(
    "calibration_missing",
    _NEEDS,
    _drawing(
        CALIBRATION_QUANTITIES,
        "calibrated",
        heading="Do predicted risks stay correct when modalities are missing?",
        text="A slope of 1 is right. Below 1, high risks are too high and low risks too low; above "
        "1, risks are too close to each other. Observed minus predicted is the number of patients "
        "in a hundred with the outcome, minus the predicted number: above 0, risks are too low.",
        dotted="target",
    ),
    display_name="calibration with missing modalities",
    description=(
        "Shows calibration slope and calibration-in-the-large under every missingness pattern."
    ),
)
HIGH_CONFIDENCE_ERRORS = Section(
    "high_confidence_errors",
    _NEEDS,
    _drawing(
        HIGH_CONFIDENCE_QUANTITIES,
        "high_confidence_errors",
        heading="Does it make errors with high confidence?",
        text="With missing modalities, more risks fall on the wrong side of 50 %: accuracy falls. "
        "The confidence of a reliable run falls by as much. Above 0, the run makes more errors but "
        "stays as confident as before, and a user would not notice.",
        dotted="target",
    ),
    display_name="errors with high confidence",
    description="Shows how much further accuracy falls than confidence under every pattern.",
)
CONFORMAL = Section(
    "conformal",
    _NEEDS,
    _drawing(
        CONFORMAL_QUANTITIES,
        "conformal",
        heading="Can it say “cannot tell”?",
        text="Instead of a risk, each patient gets a prediction set: “yes”, “no”, or both, which "
        "means “cannot tell” (conformal prediction). Nine in ten sets should hold the true outcome "
        "under every pattern. A run with less information must say “cannot tell” more often. The "
        "first figure shows the coverage, the second how often it cannot tell.",
        dotted="target: 90 %",
    ),
    display_name="conformal prediction sets",
    description="Shows coverage and size of conformal prediction sets under every pattern.",
)

SELECTIVE = Section(
    "selective",
    _NEEDS,
    _drawing(
        SELECTIVE_QUANTITIES,
        "selective",
        heading="Does it help to abstain?",
        text="A run answers its surest patients first and abstains for the others. An answer is "
        "wrong if the risk is on the wrong side of 50 %. Lower is better. AURC averages the share "
        "of wrong answers over all shares of patients that are answered. It helps to abstain where "
        "the share is smaller among the surest 80 % than among all.",
        dotted="",
    ),
    display_name="selective prediction",
    description="Shows the share of wrong answers where a run abstains when it is unsure.",
)


def quantity_panels(
    rows: Sequence[Measure],
    quantities: Sequence[Quantity],
    *,
    tasks: TaskTables,
    series: Sequence[Series],
    name: str,
) -> list[ReportPanel]:
    """Draw quantities of each task by rate of missingness, with a table of every pattern.

    Args:
        rows: of all runs, the oracle included.
        quantities: one figure each for every mechanism.
        tasks: definitions.
        series: the runs.
        name: begins the name of each figure.
    """
    panels = []
    for task, part in dict.fromkeys((row.task, row.part) for row in rows):
        if task not in tasks:
            continue
        for quantity in quantities:
            found = {
                (row.run, row.missingness): row
                for row in rows
                if (row.task, row.part, row.measure) == (task, part, quantity.measure)
            }
            title = task_title(tasks, task, part)
            own = picture_name(name, task, part or "", quantity.measure.partition("/")[2])
            panels += _over_patterns(found, quantity, title=title, name=own, series=series)
    return panels


def _over_patterns(
    found: Mapping[tuple[str, str], Measure],
    quantity: Quantity,
    *,
    title: str,
    name: str,
    series: Sequence[Series],
) -> list[ReportPanel]:
    known = [one for one in series if any(run == one.run for run, _ in found)]
    patterns = list(dict.fromkeys(pattern for _, pattern in found))
    table = _table(found, patterns, quantity, known)
    head = ["modalities", *(one.label for one in known), _ORACLE_LABEL]
    drawn = []
    for mechanism, how in MECHANISM_LABELS.items():
        at = mechanism_rates(patterns, mechanism)
        if known and len(at) > 2:
            lines = [_band(found, one.family, one.run, at) for one in known]
            lines.append(_band(found, None, ORACLE, at))
            heading = f"{title}, missing {how}: {quantity.words}"
            picture = bands(
                [line for line in lines if line.x],
                name=picture_name(name, mechanism),
                title=f"{heading}; the table has the numbers",
                x_label="% of each modality missing",
                y_label=quantity.words,
                percent=quantity.percent,
                reference=quantity.target,
            )
            body = [row for row in table if row[0] in {pattern_label(p) for p in at.values()}]
            drawn.append(ReportPanel(heading, picture, head, body, across=True))
    if drawn:
        heading = f"{title}, under every pattern: {quantity.words}"
        return [*drawn, ReportPanel(heading, None, head, table)]
    picture = _dots(found, patterns, quantity, known, title=title, name=name)
    if picture is None:
        return []
    return [ReportPanel(f"{title}: {quantity.words}", picture, head, table)]


def _dots(
    found: Mapping[tuple[str, str], Measure],
    patterns: Sequence[str],
    quantity: Quantity,
    known: Sequence[Series],
    *,
    title: str,
    name: str,
) -> Picture | None:
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
            rows.append(DotRow(pattern_label(pattern), marks, best_value, quantity.target))
    if not rows:
        return None
    ends = [end for row in rows for mark in row.marks for end in mark.ends]
    ends += [row.best for row in rows if row.best is not None]
    ends += [] if quantity.target is None else [quantity.target]
    low, high = axis_limits(ends)
    if quantity.sides:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return dots(
        rows,
        name=name,
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
    known = [
        (float(x), row.value, row.low, row.high)
        for x, row in rows.items()
        if row is not None and row.low is not None and row.high is not None
    ]
    x, y, low, high = zip(*known, strict=True) if known else ((), (), (), ())
    return Band(family, x, y, low, high)


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
    text = _format(row.value, quantity)
    if row.low is None or row.high is None:
        return text
    return f"{text} ({_format(row.low, quantity)} to {_format(row.high, quantity)})"


def _format(value: float, quantity: Quantity) -> str:
    sign = "+" if quantity.sides else ""
    text = f"{100 * value:{sign}.1f}" if quantity.percent else f"{value:{sign}.2f}"
    return format_signed(text)

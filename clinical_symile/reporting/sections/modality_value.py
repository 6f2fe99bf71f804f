"""Show what each modality contributes: Shapley values and interactions."""

from collections.abc import Iterable, Sequence

from clinical_symile.formatting import (
    DASH,
    format_difference,
    format_difference_interval,
    is_percentage,
    join_words,
)
from clinical_symile.registry.families import BASELINES
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    method_legend,
    picture_name,
)
from clinical_symile.reporting.text.labels import (
    ORACLE_LABEL,
    metric_label,
    modality_label,
    task_label,
)
from clinical_symile.tracking.analysis_tables import ModalityValue, RunAnalysis


def draw_modality_value(
    *,
    analysis: RunAnalysis,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    has_oracle: bool,
) -> Content | None:
    """Draw the Shapley values and interactions of the modalities."""
    panels = modality_value_panels(analysis, tasks=tasks, series=series)
    if not panels:
        return None
    return Content(
        heading="What does each modality contribute?",
        text="The gain from adding a modality, averaged over all orders of adding them (its "
        "Shapley value). The values add up to the whole gain above chance level. “Together” is "
        "what several modalities give beyond their single values. Right of zero they complement "
        "each other (synergy), left of zero they repeat each other (redundancy).",
        panels=panels,
        legend=method_legend(methods, best=ORACLE_LABEL * has_oracle),
    )


MODALITY_VALUE = Section(
    "modality_value",
    ("analysis", "tasks", "series", "methods", "has_oracle"),
    draw_modality_value,
    display_name="value of each modality",
    description="Shows Shapley values and interactions of the modalities.",
)


def modality_value_panels(
    analysis: RunAnalysis, *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """Draw one panel for each task, one row for each value, one mark for each run."""
    panels = []
    for name, task in tasks.items():
        rows = [row for row in analysis.modality_value if row.task == name]
        keys = [
            (quantity, which)
            for quantity in ("shapley", "interaction")
            for which in dict.fromkeys(r.modalities for r in rows if r.quantity == quantity)
        ]
        if not keys:
            continue
        metric = rows[0].metric
        # A baseline answers some kinds of task only; any other run without values is shown as such.
        here = {row.run for row in rows}
        expected = [one for one in series if one.run in here or one.run not in BASELINES]
        lines, body = [], []
        for key in keys:
            of = [row for row in rows if (row.quantity, row.modalities) == key]
            best = next((row.value for row in of if row.run == ORACLE), None)
            marks = [
                Mark(one.family, row.value, row.low, row.high)
                for one in expected
                for row in of
                if row.run == one.run
            ]
            lines.append(DotRow(_quantity(*key), marks, best))
            body.append([_quantity(*key), *_values(of, expected, metric), _signed(best, metric)])
        drawn = [line for line in lines if line.marks]
        if not drawn:  # only runs that this report does not show have values
            continue
        ends = [
            end for row in rows for end in (row.low, row.high, row.value, 0.0) if end is not None
        ]
        reach = max(abs(end) for end in axis_limits(ends))
        title = f"{task_label(name, task)}: contribution of each modality"
        picture = dots(
            drawn,
            name=picture_name("modality_value", name),
            title=f"{title}, in {metric_label(metric)}; the table has the numbers",
            limits=(-reach, reach),
            percent=is_percentage(metric),
            sides=("costs", "contributes"),
        )
        head = ["", *(one.label for one in expected), "oracle"]
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def _quantity(quantity: str, which: str) -> str:
    words = join_words([modality_label(name) for name in which.split("+")])
    return words if quantity == "shapley" else f"{words}, together"


def _values(of: Iterable[ModalityValue], series: Sequence[Series], metric: str) -> list[str]:
    by_run = {row.run: row for row in of}
    cells = []
    for one in series:
        row = by_run.get(one.run)
        cells.append(
            "not scored"
            if row is None
            else f"{_signed(row.value, metric)} "
            f"({format_difference_interval(row.low, row.high, metric)})"
        )
    return cells


def _signed(value: float | None, metric: str) -> str:
    return DASH if value is None else format_difference(value, metric)

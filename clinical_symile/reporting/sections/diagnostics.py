"""Show the measures of diagnostics: how each run represents and uses modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_symile.errors import DefinitionError
from clinical_symile.formatting import capitalize_first
from clinical_symile.registry.base import literal_of
from clinical_symile.registry.families import DIAGNOSTICS
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section, result_cell
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label


def draw_diagnostics(
    *, scores: ResultTable, diagnostics: TaskTables, series: Sequence[Series]
) -> Content | None:
    """Draw a table of the measures of each run for each diagnostic and pattern."""
    panels, parts = [], []
    for name, task in diagnostics.items():
        for pattern in scores.patterns(name):
            title = f"{task_label(name, task)}, {pattern_label(pattern)}"
            rows_of = scores.of(task=name, pattern=pattern)
            runs = [one for one in series if any(row.run == one.run for row in rows_of)]
            found = list(dict.fromkeys(row.metric for row in rows_of))
            averages = [metric for metric in found if "/" not in metric]
            body = [
                [one.label, *(result_cell(scores.get(one.run, name, pattern, m)) for m in averages)]
                for one in runs
            ]
            panels.append(ReportPanel(title, None, ["run", *map(metric_label, averages)], body))
            rows = [
                [
                    metric_label(metric),
                    *(result_cell(scores.get(one.run, name, pattern, metric)) for one in runs),
                ]
                for metric in found
                if "/" in metric
            ]
            if rows:
                head = ["measure", *(one.label for one in runs)]
                parts.append(ReportPanel(title, None, head, rows))
    if not panels:
        return None
    return Content(
        heading="How do models represent and use modalities?",
        text=" ".join(_explanations(diagnostics)),
        panels=panels,
        more=parts,
        more_summary="Each pair, modality and part",
        caption="Values describe one model each, with 95 % intervals over subjects. None of them "
        "says by itself which model is better.",
    )


DIAGNOSTIC_RESULTS = Section(
    "diagnostics",
    ("scores", "diagnostics", "series"),
    draw_diagnostics,
    display_name="diagnostics",
    description="Shows what diagnostics measured of each run, such as the modality gap.",
)


def _explanations(diagnostics: TaskTables) -> list[str]:
    """Return a sentence for each measure; those of an unknown diagnostic are left out."""
    sentences: dict[str, None] = {}
    for task in diagnostics.values():
        about = _measures(task["diagnostic"]["name"])
        for metric in task["metrics"]:
            if metric in about:
                sentences[f"{capitalize_first(metric_label(metric))}: {about[metric]}"] = None
    return list(sentences)


def _measures(name: str) -> Mapping[str, Any]:
    try:
        return literal_of(name, DIAGNOSTICS, "measures") or {}
    except DefinitionError:
        return {}  # a report is rendered also where the plug-in is missing

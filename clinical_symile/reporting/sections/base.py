"""Define what a section of a report needs and what it shows."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clinical_symile.formatting import DASH, format_interval, format_value
from clinical_symile.hashing import digest_of
from clinical_symile.reporting.figures.picture import Legend, Picture
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.text.labels import metric_description, outcome_label, task_label
from clinical_symile.tracking.results import Result

# How the drawn patterns of a mechanism hide measurements.
MECHANISM_LABELS = {"mcar": "completely at random", "mnar": "more often by their own values"}
# What the axis of a curve within a modality counts.
PART_AXES = {
    "": "% of values missing",
    "leads": "% of leads missing",
    "segment": "seconds of the signal missing",
    "region": "% of the image covered",
    "noise": "standard deviation of the noise in % of the scale",
    "noise-db": "standard deviation of the noise in % of the signal's",
    "marker": "% by which a marker follows the outcome",
    "marker-shift": "% by which a marker follows the outcome where the probe is fitted",
}


@dataclass(frozen=True)
class ReportPanel:
    """A figure and the table it was drawn from.

    Attributes:
        title: heading of the figure.
        picture: the figure; None where there is only a table.
        head: the table's column names.
        body: the table's rows; the first cell of each is its heading.
        across: True if the oracle and the reference are lines from left to right.
    """

    title: str
    picture: Picture | None
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    across: bool = False

    @property
    def table(self) -> list[list[str]]:
        """Head and body without columns that are empty in every row."""
        filled = [
            place
            for place in range(len(self.head))
            if not place or any(row[place] not in ("", DASH) for row in self.body)
        ]
        return [[row[place] for place in filled] for row in (self.head, *self.body)]


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of a section.

    Attributes:
        heading: the heading of the section.
        text: the paragraph below the heading.
        panels: figures with their tables.
        legend: explains the figures' colours and lines.
        caption: the paragraph below the figures.
        more: further figures or tables.
        more_text: the paragraph above `more`.
        more_summary: if given, `more` is collapsed below these words.
        values: what a template of the section's own reads besides.
    """

    heading: str = ""
    text: str = ""
    panels: Sequence[ReportPanel] = ()
    legend: Legend | None = None
    caption: str = ""
    more: Sequence[ReportPanel] = ()
    more_text: str = ""
    more_summary: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """One section of a report.

    Attributes:
        name: names it in `report.toml`.
        needs: the attributes of `ReportData` that `draw` takes, as keyword arguments.
        draw: returns the content; None where there is nothing to show.
        template: the template of one section, below `reports/`.
        display_name: a short name.
        description: one sentence, for `clinical-symile list sections`.
    """

    name: str
    needs: tuple[str, ...]
    draw: Callable[..., Content | None]
    template: str = "sections/figures.j2"
    display_name: str = ""
    description: str = ""


def method_legend(
    methods: Iterable[Series], *, best: str = "", dotted: str = "", across: bool = False
) -> Legend:
    """Return the legend of some methods, the oracle and a dotted reference."""
    labels = [(one.family, one.method) for one in methods]
    return Legend(labels, best=best, dotted=dotted, across=across)


def picture_name(*words: str) -> str:
    """Return a figure's name: the same on every run, and safe as a file name and an id.

    A word with other signs or letters ends in a digest, so that `lactate<2` and `lactate>2` differ.

    Examples:
        >>> picture_name("degradation", "retrieval/cxr_given_ecg", "mcar")
        'degradation-retrieval-cxr_given_ecg-mcar'
    """
    return "-".join(_picture_word(word) for word in words if word)


def _picture_word(word: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", word).strip("-")
    if re.fullmatch(r"[A-Za-z0-9_/@+: -]*", word):
        return plain
    return "-".join(part for part in (plain, digest_of(word)[:8]) if part)


def task_title(tasks: TaskTables, name: str, part: str | None) -> str:
    """Return the heading of a task, with the outcome of a task of several."""
    title = task_label(name, tasks[name])
    return f"{title} ({outcome_label(part)})" if part else title


def result_cell(row: Result | None) -> str:
    """Return a result with its interval as a table cell."""
    if row is None:
        return "not scored"
    value = format_value(row.value, row.metric, exact=True)
    return f"{value} ({format_interval(row.low, row.high, row.metric, exact=True)})"


def metric_sentences(tasks: TaskTables, kind: str | None = None) -> str:
    """Return one sentence for each primary metric of the tasks."""
    metrics = dict.fromkeys(
        task["primary"] for task in tasks.values() if kind in (None, task["kind"])
    )
    return " ".join(sentence for name in metrics if (sentence := metric_description(name)))

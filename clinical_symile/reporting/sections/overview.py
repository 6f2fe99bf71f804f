"""From results to pictures, each with the table it was drawn from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from clinical_symile.formatting import (
    DASH,
    SMALLEST_COUNT,
    format_count,
    format_interval,
    format_part,
    format_parts,
    format_value,
    is_percentage,
    join_words,
)
from clinical_symile.reporting.figures.charts import Line, Mark, Row, curves, dots, limits
from clinical_symile.reporting.figures.signals import presence
from clinical_symile.reporting.result_lookup import ResultTable, Series
from clinical_symile.reporting.text.labels import (
    SPLIT_LABELS,
    metric_label,
    modality_label,
    pattern_label,
    task_label,
)

Tasks = Mapping[str, Mapping[str, Any]]

MECHANISMS = {"mcar": "by chance alone", "mnar": "more often where they are severe"}


@dataclass(frozen=True)
class Panel:
    """A picture and its table.

    Attributes:
        title: what is shown.
        picture: SVG; empty where there is only a table.
        head: the table's columns.
        body: its rows; the first cell of each is its heading.
        across: whether what is possible, and what is held against it, are lines from left to right.
    """

    title: str
    picture: Markup
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    across: bool = False

    @property
    def table(self) -> list[list[str]]:
        """Head and body, without columns of which no row says anything.

        Such is what is possible, where nobody knows it.
        """
        told = [
            place
            for place in range(len(self.head))
            if not place or any(row[place] not in ("", DASH) for row in self.body)
        ]
        return [[row[place] for place in told] for row in (self.head, *self.body)]


def levels(
    scores: ResultTable, *, tasks: Tasks, series: Sequence[Series], kind: str, whole: bool
) -> list[Panel]:
    """Each task's primary metric with its interval.

    Args:
        scores: all results.
        tasks: definitions, in the order of the report.
        series: the runs.
        kind: of the tasks to show.
        whole: with nothing missing, a line for each run; else a line for each pattern.

    Returns:
        Panels, whose picture is empty where a run was scored by other metrics than the primary one.
    """
    panels = []
    for number_, (name, task) in enumerate(tasks.items()):
        patterns = scores.patterns(name)
        if task["kind"] != kind or not patterns:
            continue
        slug = f"{kind}-{number_}-{'whole' if whole else 'missing'}"
        metric = task["primary"]
        if whole:
            rows = [
                Row(one.label, marks, *_references(scores, name, patterns[0], metric))
                for one in series
                if (marks := _marks(scores, name, patterns[0], metric, [one], labelled=True))
            ]
            table = _metrics_table(scores, name, patterns[0], series)
            if not rows and _scored(scores, name, patterns[0], series):
                panels.append(Panel(task_label(name, task), Markup(""), *table))
        else:
            rows = [
                Row(pattern_label(p), marks, *_references(scores, name, p, metric))
                for p in patterns
                if (marks := _marks(scores, name, p, metric, series))
            ]
            table = _patterns_table(scores, name, metric, series)
        if rows:
            title = task_label(name, task)
            ends = (0.0, 1.0) if is_percentage(metric) else _ends(scores, tasks, kind, metric)
            picture = dots(
                rows,
                name=slug,
                title=f"{title}: {metric_label(metric)}; the table below has the numbers",
                limits=ends,
                percent=is_percentage(metric),
                x_label=metric_label(metric),
            )
            panels.append(Panel(title, Markup(picture), *table))
    return panels


def rates(patterns: Iterable[str], mechanism: str) -> dict[int, str]:
    """The patterns of a mechanism by the per cent of each modality that they hide, 0 first.

    >>> rates(["mcar-50", "complete", "mcar-10", "mnar-30"], "mcar")
    {0: 'complete', 10: 'mcar-10', 50: 'mcar-50'}
    """
    found = {}
    for pattern in patterns:
        word, _, rate = pattern.partition("-")
        if word == mechanism and rate.isdigit():
            found[int(rate)] = pattern
        elif pattern == "complete":
            found[0] = pattern
    return dict(sorted(found.items()))


def training(
    histories: Mapping[str, Sequence[Mapping[str, int | float]]],
    *,
    series: Sequence[Series],
    total_correlation: float | None = None,
) -> list[Panel]:
    """The loss and what was measured on the tuning split, after each epoch.

    Args:
        histories: each run's line per epoch, by its name.
        series: the runs.
        total_correlation: in nats, where an oracle knows it.
    """
    keys = dict.fromkeys(key for lines in histories.values() for line in lines for key in line)
    panels = []
    for place, key in enumerate(k for k in keys if k == "loss" or k.startswith("tuning/")):
        lines, body = [], []
        for one in series:
            points = [(h["epoch"], h[key]) for h in histories.get(one.run, ()) if key in h]
            if points:
                x, y = zip(*points, strict=True)
                lines.append(Line(one.family, one.style, x, y))
                body.append([one.label, str(len(points)), f"{y[0]:.3f}", f"{y[-1]:.3f}"])
        metric = metric_label(key.removeprefix("tuning/"))
        title = "Training loss" if key == "loss" else f"{metric} on tuning samples"
        title = title[:1].upper() + title[1:]
        truth = total_correlation if key == "tuning/tc_estimate" else None
        if truth is not None:
            title += f"; the line across is the true one, {truth:.2f} nats"
        picture = curves(lines, name=f"training-{place}", title=title, x_label="epoch", truth=truth)
        head = ["run", "epochs", "after the first", "after the last"]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def presence_panel(cohort: Mapping[str, Any]) -> Panel:
    """How many samples have which modalities, over all splits."""
    counts: dict[str, int] = {}
    for split in cohort["counts"].values():
        for pattern, n in split["patterns"].items():
            counts[pattern] = counts.get(pattern, 0) + n
    modalities = list(dict.fromkeys(m for s in cohort["counts"].values() for m in s["present"]))
    ordered = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    words = format_parts(ordered)
    rows = [
        (
            [m in name.split("+") for m in modalities],
            n if n >= SMALLEST_COUNT and words[name] == format_count(n) else 0,
            words[name],
        )
        for name, n in ordered.items()
        if n
    ]
    names = [modality_label(m) for m in modalities]
    title = "Which modalities the samples have"
    short = [name.removeprefix("chest ") for name in names]
    picture = presence(rows, modalities=short, name="presence", title=title)
    body = [
        [join_words([n for n, there in zip(names, present, strict=True) if there]) or "none", text]
        for present, _, text in rows
    ]
    return Panel(title, Markup(picture), ["present", "samples"], body)


def cohort_table(cohort: Mapping[str, Any]) -> Panel:
    """Samples and subjects of each split, and how many have each modality."""
    splits = cohort["counts"]
    modalities = list(dict.fromkeys(m for split in splits.values() for m in split["present"]))
    body = [
        [
            SPLIT_LABELS.get(name, name),
            format_count(split["samples"]),
            format_count(split["subjects"]),
            *(format_part(split["present"][m], split["samples"]) for m in modalities),
        ]
        for name, split in splits.items()
    ]
    head = ["split", "samples", "people", *(f"with {modality_label(m)}" for m in modalities)]
    return Panel("Samples and people in each split", Markup(""), head, body)


def _references(
    scores: ResultTable, name: str, pattern: str, metric: str
) -> tuple[float | None, float | None]:
    return scores.best(name, pattern, metric), scores.chance(name, pattern, metric)


def _scored(scores: ResultTable, name: str, pattern: str, series: Sequence[Series]) -> bool:
    """Whether any metric of any of the runs is known."""
    runs = {one.run for one in series}
    return any(row.run in runs for row in scores.of(task=name, pattern=pattern))


def _marks(
    scores: ResultTable,
    name: str,
    pattern: str,
    metric: str,
    series: Sequence[Series],
    *,
    labelled: bool = False,
) -> list[Mark]:
    rows = [(one, scores.get(one.run, name, pattern, metric)) for one in series]
    return [
        Mark(one.family, r.value, r.low, r.high, format_value(r.value, metric) if labelled else "")
        for one, r in rows
        if r is not None
    ]


def _ends(scores: ResultTable, tasks: Tasks, kind: str, metric: str) -> tuple[float, float]:
    """One axis for all panels of a kind, so that they can be compared."""
    values: list[float] = []
    for name, task in tasks.items():
        if task["kind"] == kind and task["primary"] == metric:
            rows = scores.of(task=name, metric=metric)
            values += [end for row in rows for end in (row.low, row.high, row.value)]
            values += [row.chance for row in rows if row.chance is not None]
    return limits(values)


def _cell(scores: ResultTable, run: str, name: str, pattern: str, metric: str) -> str:
    row = scores.get(run, name, pattern, metric)
    if row is None:
        return "not scored"
    value = format_value(row.value, metric, exact=True)
    return f"{value} ({format_interval(row.low, row.high, metric, exact=True)})"


def _metrics_table(
    scores: ResultTable, name: str, pattern: str, series: Sequence[Series]
) -> tuple[list[str], list[list[str]]]:
    """A row for each metric."""
    known = [one for one in series if scores.knows(one.run, name)]
    body = [
        [
            metric_label(metric),
            *(_cell(scores, one.run, name, pattern, metric) for one in known),
            *(
                format_value(x, metric, exact=True)
                for x in _references(scores, name, pattern, metric)
            ),
        ]
        for metric in scores.metrics(name)
    ]
    return ["metric", *(one.label for one in known), "best possible", "chance"], body


def _patterns_table(
    scores: ResultTable, name: str, metric: str, series: Sequence[Series]
) -> tuple[list[str], list[list[str]]]:
    """A row for each pattern."""
    known = [one for one in series if scores.knows(one.run, name)]
    body = [
        [
            pattern_label(pattern),
            *(_cell(scores, one.run, name, pattern, metric) for one in known),
            *(
                format_value(x, metric, exact=True)
                for x in _references(scores, name, pattern, metric)
            ),
            format_count(min(r.n_samples for r in scores.of(task=name, pattern=pattern))),
        ]
        for pattern in scores.patterns(name)
    ]
    head = ["modalities", *(one.label for one in known), "best possible", "chance", "samples"]
    return head, body

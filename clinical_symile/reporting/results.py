"""`Results` and `Comparisons`: rows as data frames, CSV, LaTeX, figures and notebook tables."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from clinical_symile.errors import DataError, warn_renamed
from clinical_symile.files import lock_folder, write_text
from clinical_symile.formatting import format_nested_counts, format_p_value
from clinical_symile.reporting.csv_file import write_csv
from clinical_symile.reporting.figure_files import Plot, draw_figures
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.result_lookup import TaskTables
from clinical_symile.reporting.run_data import costs_frame
from clinical_symile.tracking.benchmark_tables import NetBenefitDifference
from clinical_symile.tracking.disclosure import without_withheld
from clinical_symile.tracking.records import read_json
from clinical_symile.tracking.results import (
    Comparison,
    Result,
    SkippedResult,
    is_significant,
    write_rows,
)

_ABOUT = "about.json"
_ABOUT_TYPES = {"tasks": dict[str, dict[str, Any]] | None, "notes": list[str]}
_RENAMED_KINDS = {"intervals": "performance", "losses": "noninferiority"}  # read until 0.3.0
_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$"}


@dataclass(frozen=True, repr=False)
class Results:
    """The results of an evaluation.

    Attributes:
        rows: one for each run, task, missingness pattern and metric.
        skipped: what could not be scored, and why.
        tasks: the definition of each task, with the metric to look at first under `primary`.
        notes: what else to know, such as tasks that do not apply to the cohort.
        report_data: reads what figures show besides the rows, such as training curves; None where
            there is nothing else.
    """

    rows: tuple[Result, ...]
    skipped: tuple[SkippedResult, ...] = ()
    tasks: TaskTables = field(default_factory=dict[str, Mapping[str, Any]])
    notes: tuple[str, ...] = ()
    report_data: Callable[[], ReportData] | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        runs = len({row.run for row in self.rows})
        return f"Results({len(self.rows)} rows, runs: {runs}, not scored: {len(self.skipped)})"

    @property
    def primary_metrics(self) -> dict[str, str]:
        """For each task the metric to look at first."""
        return {name: task["primary"] for name, task in self.tasks.items()}

    @property
    def shareable(self) -> "Results":
        """The rows that may leave the run's folder; the others are among what was skipped."""
        shown, withheld = without_withheld(self.rows)
        return replace(self, rows=tuple(shown), skipped=(*self.skipped, *withheld))

    @property
    def primary(self) -> "Results":
        """The rows of each task's primary metric."""
        primary = self.primary_metrics
        kept = tuple(r for r in self.rows if r.metric == primary.get(r.task, r.metric))
        return replace(self, rows=kept)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per result.

        `hidden_<modality>` is the share that the pattern hid, and `mask_<name>` a statistic of its
        mask; see `Result`.
        """
        records = []
        for row in self.rows:
            record = asdict(row)
            hidden = record.pop("hidden")
            masks = record.pop("mask_statistics")
            del record["environment"]
            record |= {f"hidden_{name}": share for name, share in hidden.items()}
            records.append(record | {f"mask_{name}": value for name, value in masks.items()})
        nested = ("hidden", "mask_statistics", "environment")
        columns = [one.name for one in fields(Result) if one.name not in nested]
        known = [{k: nan if v is None else v for k, v in record.items()} for record in records]
        return pd.DataFrame(known) if records else pd.DataFrame(columns=columns)

    def costs(self) -> pd.DataFrame:
        """Return what each trained run cost, one row per run: the fields of `RunCosts`."""
        return costs_frame(self.report_data().runs if self.report_data else ())

    def to_csv(self, path: str | Path) -> Path:
        """Write `to_frame` of `shareable` as CSV and return the path."""
        return write_csv(self.shareable.to_frame(), path)

    def to_latex(self, path: str | Path | None = None) -> str:
        """Return a LaTeX table (booktabs): a column per run, cells `value [low, high]`.

        It has the rows of `shareable`.

        Args:
            path: a file to write as well.
        """
        rows = self.shareable.rows
        runs = list(dict.fromkeys(row.run for row in rows))
        cells = {(r.task, r.missingness, r.metric, r.run): r for r in rows}
        lines, sizes = [], format_nested_counts(row.n_samples for row in rows)
        for key in dict.fromkeys((r.task, r.missingness, r.metric) for r in rows):
            found = [cells.get((*key, run)) for run in runs]
            some = next(row for row in found if row is not None)
            chance = "" if some.chance is None else f"{some.chance:.3f}"
            lines.append([*key, sizes[some.n_samples], *map(_result_cell, found), chance])
        head = ["task", "missingness", "metric", "n", *runs, "chance"]
        return _write_latex(head, lines, aligned="lllr" + "r" * len(runs) + "r", path=path)

    def plot(self, kind: str, path: str | Path | None = None) -> Plot:
        """Draw the figures that a report draws of these results.

        Results on too few subjects are left out, as in a report.

        Args:
            kind: such as `performance` (values with intervals), `degradation` (by the rate of
                missing modalities), `retained_share` or `trained_with`; also `calibration`,
                `training` and others, where the results come from a run or a benchmark.
            path: a file to write as well: `.png`, `.svg` or `.pdf`. It holds all figures.

        Returns:
            The figures; a notebook shows them.

        Raises:
            DefinitionError: there is no such kind.
            DataError: the results do not suffice for it, or a task's definition is not known.
            ValueError: the path has another ending.
        """
        return _plot(self.figure_data(), kind, path)

    def figure_data(self) -> ReportData:
        """Return what figures are drawn from.

        Raises:
            DataError: the definition of a task is not known.
        """
        shown, _ = without_withheld(self.rows)
        data = self.report_data() if self.report_data else ReportData(results=(), tasks={})
        return replace(data, results=shown, tasks=_known(self.tasks, self.rows))

    def save(self, folder: str | Path) -> Path:
        """Write `shareable` as JSON lines into a folder, from which `open_results` reads it.

        Args:
            folder: made where it does not exist; earlier results in it are replaced.

        Returns:
            The folder.
        """
        folder = Path(folder)
        about = {"tasks": self.tasks, "notes": list(self.notes)}
        with lock_folder(folder):
            write_rows(folder / "results.jsonl", self.shareable.rows)
            write_rows(folder / "unscored.jsonl", self.shareable.skipped)
            write_text(folder / _ABOUT, json.dumps(about, indent=1) + "\n")
        return folder

    def _repr_html_(self) -> str:
        frame = self.shareable.primary.to_frame()
        shown = [c for c in _SHOWN if c in frame]
        return _html(
            frame.reindex(columns=shown),
            [*self.notes, *(f"not scored: {s}" for s in self.shareable._reasons())],
        )

    def _reasons(self) -> list[str]:
        """Return each reason of a task once, with all patterns that it holds for."""
        patterns: dict[tuple[str, str], dict[str, None]] = {}
        for row in self.skipped:
            patterns.setdefault((row.task, str(row)), {})[row.missingness] = None
        return [f"{task}, {', '.join(of)}: {reason}" for (task, reason), of in patterns.items()]


_SHOWN = ("run", "task", "missingness", "metric", "value", "low", "high", "chance", "n_samples")


@dataclass(frozen=True, repr=False)
class Comparisons:
    """Differences between runs on the same samples, and what each run loses under missingness.

    Attributes:
        rows: a difference for each pair of runs, task and missingness pattern.
        losses: for each run, task and pattern the value minus the value with nothing missing.
        notes: what else to know.
        tasks: the definition of each task.
        report_data: reads what figures show besides the rows, such as the runs' labels; None where
            there is nothing else.
        net_benefit: differences of net benefit, for tasks that predict risks.
    """

    rows: tuple[Comparison, ...]
    losses: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    tasks: TaskTables = field(default_factory=dict[str, Mapping[str, Any]])
    report_data: Callable[[], ReportData] | None = field(default=None, repr=False, compare=False)
    net_benefit: tuple[NetBenefitDifference, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Comparisons({len(self.rows)} differences, {len(self.losses)} losses)"

    def to_frame(self, *, losses: bool = False) -> pd.DataFrame:
        """Return one row per difference.

        Args:
            losses: return the losses under missingness instead.
        """
        rows = self.losses if losses else self.rows
        columns = [one.name for one in fields(Comparison)]
        return pd.DataFrame([asdict(row) for row in rows], columns=columns)

    def to_csv(self, path: str | Path) -> Path:
        """Write `to_frame` as CSV and return the path."""
        return write_csv(self.to_frame(), path)

    def to_latex(self, path: str | Path | None = None) -> str:
        """Return a LaTeX table (booktabs); differences in bold are significant after Holm.

        Args:
            path: a file to write as well.
        """
        head = ["task", "missingness", "metric", "run", "baseline", "difference", "p", "p (Holm)"]
        lines = [
            [
                *(row.task, row.missingness, row.metric, row.run, row.against or row.baseline),
                _difference_cell(row),
                *(format_p_value(p) for p in (row.p_value, row.p_holm)),
            ]
            for row in self.rows
        ]
        return _write_latex(head, lines, aligned="lllllrrr", path=path)

    def plot(self, kind: str = "differences", path: str | Path | None = None) -> Plot:
        """Draw the figures that a report draws of these comparisons.

        Args:
            kind: `differences` between runs, or `noninferiority` for the loss without a modality.
            path: a file to write as well: `.png`, `.svg` or `.pdf`. It holds all figures.

        Returns:
            The figures; a notebook shows them.

        Raises:
            DefinitionError: there is no such kind.
            DataError: the comparisons do not suffice, or a task's definition is not known.
            ValueError: the path has another ending.
        """
        data = self.report_data() if self.report_data else ReportData(results=(), tasks={})
        tasks = _known(self.tasks, (*self.rows, *self.losses))
        return _plot(
            replace(data, comparisons=self.rows, losses=self.losses, tasks=tasks), kind, path
        )

    def save(self, folder: str | Path) -> Path:
        """Write the tables into a folder, as JSON lines, and return the folder.

        They are `comparisons.jsonl`, `losses.jsonl` and `net_benefit_differences.jsonl`.
        """
        folder = Path(folder)
        with lock_folder(folder):
            write_rows(folder / "comparisons.jsonl", self.rows)
            write_rows(folder / "losses.jsonl", self.losses)
            write_rows(folder / "net_benefit_differences.jsonl", self.net_benefit)
        return folder

    def _repr_html_(self) -> str:
        shown = ["run", "baseline", "task", "missingness", "metric", "difference", "low", "high"]
        frame = self.to_frame().reindex(columns=[*shown, "p_value", "p_holm"])
        return _html(frame, self.notes)


def saved_about(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the tasks and notes that `Results.save` wrote; empty without them.

    Raises:
        DataError: the file is not what it wrote.
    """
    path = folder / _ABOUT
    if not path.is_file():
        return {}, ()
    action = "Restore it from a backup, or save the results again."
    about = read_json(path, types=_ABOUT_TYPES, action=action)
    return about.get("tasks") or {}, tuple(about["notes"])


def rows_frame(rows: Sequence[Any]) -> pd.DataFrame:
    """Return a data frame with one line per row of a tidy table; lists become `a + b`."""
    frame = pd.DataFrame([asdict(row) for row in rows])
    for name in frame.columns:
        if any(isinstance(value, list | tuple) for value in frame[name]):
            frame[name] = [" + ".join(map(str, value)) for value in frame[name]]
    return frame


def frame_latex(frame: pd.DataFrame, path: Path) -> None:
    """Write a data frame as a LaTeX table (booktabs); numbers get three digits."""
    numeric = [pd.api.types.is_float_dtype(frame[name]) for name in frame.columns]
    lines = [[_cell(value) for value in line] for line in frame.itertuples(index=False, name=None)]
    aligned = "".join("r" if right else "l" for right in numeric)
    _write_latex(list(map(str, frame.columns)), lines, aligned=aligned, path=path)


def _plot(data: ReportData, kind: str, path: str | Path | None) -> Plot:
    if kind in _RENAMED_KINDS:
        new = _RENAMED_KINDS[kind]
        warn_renamed(f"kind of figure '{kind}'", f"'{new}'", where="plot", since="0.2.1")
        kind = new
    plot = draw_figures(data, kind)
    if path is not None:
        plot.save(path)
    return plot


def _known(tasks: TaskTables, rows: Sequence[Result | Comparison]) -> TaskTables:
    """Return the definitions of the tasks that have rows."""
    names = dict.fromkeys(row.task for row in rows)
    if unknown := [name for name in names if name not in tasks]:
        raise DataError(
            f"{', '.join(unknown)}: the definition is not known; a figure needs it. Name the "
            "folder of your own definitions with `catalog` or --catalog.",
            code="CS-S005",
        )
    return {name: task for name, task in tasks.items() if name in names}


def _write_latex(
    head: Sequence[str], lines: Sequence[Sequence[str]], *, aligned: str, path: str | Path | None
) -> str:
    body = [" & ".join(map(_escape, line)) + r" \\" for line in (head, *lines)]
    text = "\n".join(
        [
            rf"\begin{{tabular}}{{{aligned}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
    if path is not None:
        write_text(Path(path), text)
    return text


def _escape(text: str) -> str:
    if text.startswith(r"\textbf{"):
        return text
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or value != value:  # NaN differs from itself
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _ends(low: float | None, high: float | None, *, sign: str = "") -> str:
    if low is None or high is None:
        return "[no interval]"
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def _result_cell(row: Result | None) -> str:
    return "not scored" if row is None else f"{row.value:.3f} {_ends(row.low, row.high)}"


def _difference_cell(row: Comparison) -> str:
    text = f"{row.difference:+.3f} {_ends(row.low, row.high, sign='+')}"
    return rf"\textbf{{{text}}}" if is_significant(row) else text


def _html(frame: pd.DataFrame, notes: Sequence[str]) -> str:
    from html import escape

    table = frame.to_html(index=False, float_format=lambda value: f"{value:.3f}", border=0)
    return table + "".join(f"<p>{escape(note)}</p>" for note in notes)

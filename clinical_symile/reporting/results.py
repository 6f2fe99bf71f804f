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
from clinical_symile.reporting.latex_table import write_latex
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
from clinical_symile.tracking.rounding import rounded_rows

_ABOUT = "about.json"
_ABOUT_TYPES = {
    "tasks": dict[str, dict[str, Any]] | None,
    "notes": list[str],
    "synthetic": bool | None,
}
_RENAMED_KINDS = {"intervals": "performance", "losses": "noninferiority"}  # read until 0.3.0


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
        synthetic: True if no subject is real; numbers on real ones are rounded in files, figures
            and notebooks.
    """

    rows: tuple[Result, ...]
    skipped: tuple[SkippedResult, ...] = ()
    tasks: TaskTables = field(default_factory=dict[str, Mapping[str, Any]])
    notes: tuple[str, ...] = ()
    report_data: Callable[[], ReportData] | None = field(default=None, repr=False, compare=False)
    synthetic: bool = False

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
        """The rows as they may leave the run's folder; the others are among what was skipped."""
        shown, withheld = without_withheld(self.rows)
        skipped = [*self.skipped, *withheld]
        if not self.synthetic:
            shown, skipped = rounded_rows(shown), rounded_rows(skipped)
        return replace(self, rows=tuple(shown), skipped=tuple(skipped))

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
        """Write `to_frame` of `shareable` as CSV and return the path.

        The column `rounded` says whether numbers were rounded.
        """
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
        aligned, note = "lllr" + "r" * len(runs) + "r", any(row.rounded for row in rows)
        return write_latex(head, lines, aligned=aligned, path=path, rounded=note)

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
        data = self.report_data() if self.report_data else ReportData(results=(), tasks={})
        return replace(data, results=self.shareable.rows, tasks=_known(self.tasks, self.rows))

    def save(self, folder: str | Path) -> Path:
        """Write `shareable` as JSON lines into a folder, from which `open_results` reads it.

        Args:
            folder: made where it does not exist; earlier results in it are replaced.

        Returns:
            The folder.
        """
        folder = Path(folder)
        about = {"tasks": self.tasks, "notes": list(self.notes), "synthetic": self.synthetic}
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
        synthetic: True if no subject is real; numbers on real ones are rounded in files, figures
            and notebooks.
    """

    rows: tuple[Comparison, ...]
    losses: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    tasks: TaskTables = field(default_factory=dict[str, Mapping[str, Any]])
    report_data: Callable[[], ReportData] | None = field(default=None, repr=False, compare=False)
    net_benefit: tuple[NetBenefitDifference, ...] = ()
    synthetic: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Comparisons({len(self.rows)} differences, {len(self.losses)} losses)"

    @property
    def shareable(self) -> "Comparisons":
        """The same as it may leave the machine: rounded, unless no subject is real."""
        if self.synthetic:
            return self
        return replace(
            self,
            rows=tuple(rounded_rows(self.rows)),
            losses=tuple(rounded_rows(self.losses)),
            net_benefit=tuple(rounded_rows(self.net_benefit)),
        )

    def to_frame(self, *, losses: bool = False) -> pd.DataFrame:
        """Return one row per difference.

        Args:
            losses: return the losses under missingness instead.
        """
        rows = self.losses if losses else self.rows
        columns = [one.name for one in fields(Comparison)]
        return pd.DataFrame([asdict(row) for row in rows], columns=columns)

    def to_csv(self, path: str | Path) -> Path:
        """Write `to_frame` of `shareable` as CSV and return the path.

        The column `rounded` says whether numbers were rounded.
        """
        frame = self.shareable.to_frame().assign(rounded=not self.synthetic)
        return write_csv(frame, path)

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
            for row in self.shareable.rows
        ]
        return write_latex(head, lines, aligned="lllllrrr", path=path, rounded=not self.synthetic)

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
        tasks, shown = _known(self.tasks, (*self.rows, *self.losses)), self.shareable
        return _plot(
            replace(data, comparisons=shown.rows, losses=shown.losses, tasks=tasks), kind, path
        )

    def save(self, folder: str | Path) -> Path:
        """Write the tables of `shareable` into a folder, as JSON lines, and return the folder.

        They are `comparisons.jsonl`, `losses.jsonl` and `net_benefit_differences.jsonl`.
        """
        folder, shown = Path(folder), self.shareable
        with lock_folder(folder):
            write_rows(folder / "comparisons.jsonl", shown.rows)
            write_rows(folder / "losses.jsonl", shown.losses)
            write_rows(folder / "net_benefit_differences.jsonl", shown.net_benefit)
        return folder

    def _repr_html_(self) -> str:
        shown = ["run", "baseline", "task", "missingness", "metric", "difference", "low", "high"]
        frame = self.shareable.to_frame().reindex(columns=[*shown, "p_value", "p_holm"])
        return _html(frame, self.notes)


def saved_about(folder: Path) -> tuple[dict[str, Any], tuple[str, ...], bool]:
    """Read the tasks and notes that `Results.save` wrote, and whether no subject is real.

    They are empty, and False, without them.

    Raises:
        DataError: the file is not what it wrote.
    """
    path = folder / _ABOUT
    if not path.is_file():
        return {}, (), False
    action = "Restore it from a backup, or save the results again."
    about = read_json(path, types=_ABOUT_TYPES, action=action)
    return about.get("tasks") or {}, tuple(about["notes"]), about.get("synthetic") is True


def rows_frame(rows: Sequence[Any]) -> pd.DataFrame:
    """Return a data frame with one line per row of a tidy table; lists become `a + b`."""
    frame = pd.DataFrame([asdict(row) for row in rows])
    for name in frame.columns:
        if any(isinstance(value, list | tuple) for value in frame[name]):
            frame[name] = [" + ".join(map(str, value)) for value in frame[name]]
    return frame


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

"""Print tables of stores, results and comparisons."""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from clinical_symile.cli.result_tables import comparison_tables, result_tables
from clinical_symile.data.ingest.samples import SelectedSamples
from clinical_symile.data.store import CohortStore
from clinical_symile.data.store_manifest import is_synthetic
from clinical_symile.evaluation.task_selection import NOT_APPLICABLE
from clinical_symile.formatting import (
    format_count,
    format_part,
    format_parts,
    format_total,
    format_within,
    mask_small_counts,
    mask_subject_counts,
)
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.reporting.results import Comparisons, Results
from clinical_symile.reporting.sections.decision_curve import net_benefit_sentence
from clinical_symile.reporting.summary import report_summary
from clinical_symile.tracking.dashboard import DATABASE
from clinical_symile.tracking.mlflow import SyncResult
from clinical_symile.tracking.results import (
    Comparison,
    SkippedResult,
    is_significant,
)
from clinical_symile.tracking.rounding import ROUNDED, rounded_rows
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import read_dataset, sqlite_path, with_rounded_tuning

# Where output goes to a file or a pipe, tables keep a width at which no number is cut.
CONSOLE = Console(width=None if sys.stdout.isatty() else 160)
# More differences are not read here.
MOST_DIFFERENCES = 60
# What is skipped since a run cannot read what the task or the pattern leaves.
_UNFIT_CODE = "CS-S009"


def show_comparisons(found: Comparisons, console: Console, *, verbose: bool = False) -> None:
    """Differences between runs, what is lost under patterns, and what p values are adjusted for."""
    found = found.shareable
    for rows in (found.rows, found.losses):
        if rows is found.rows or rows:
            _print_all(comparison_tables(rows), console)
        for family in dict.fromkeys(row.family for row in rows if row.family):
            console.print(f"Holm: adjusted for {family}; bold where it is below 0.05")
    if sentence := net_benefit_sentence(found.net_benefit):
        console.print(sentence)
    if not found.synthetic:
        console.print(ROUNDED)
    show_unscored([], found.notes, console, verbose=verbose)


def show_store(store: CohortStore, console: Console) -> None:
    """Print the counts of a store, and what was left out and why."""
    manifest = store.manifest
    counts, layout = manifest["counts"], manifest.get("layout")
    splits = {name: split["samples"] for name, split in counts.items()}
    left_out, implausible = manifest["left_out"], manifest.get("implausible", {})
    words = _add_up(manifest["rows"], splits, left_out)
    console.print(
        f"{store.path}: {words.samples} samples of cohort '{store.cohort}'"
        + (f", read as layout '{layout}'" if layout else "")
    )
    table = Table()
    for heading in ("split", "samples", "subjects", *(f"with {name}" for name in store.modalities)):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for name, split in counts.items():
        numbers = [split["subjects"], *(split["present"][m] for m in store.modalities)]
        shown = words.splits[name]
        table.add_row(name, shown, *format_within(numbers, split["samples"], shown))
    console.print(table)
    for reason in left_out:
        console.print(f"left out: {words.left_out[reason]} ({reason})")
    for what in ("rejected", "noted"):
        for modality, reasons in manifest[what].items():
            for reason, count in reasons.items():
                console.print(f"{modality} {what}: {format_count(count)} ({reason})")
    _show_coverage(manifest.get("coverage", ()), console)
    for modality, parts in implausible.items():
        for part, count in parts.items():
            number = format_count(count)
            console.print(f"{modality}: {number} implausible values of {part} not taken")
    rejected = manifest["rejected"].values()
    if not left_out and not any(rejected) and not any(implausible.values()):
        console.print("Nothing was left out and no recording was rejected.")


def show_selected(selected: SelectedSamples, console: Console) -> None:
    """Print the rows that would be read and left out, before any recording is opened."""
    splits = {name: samples for name, (samples, _) in selected.splits.items()}
    words = _add_up(selected.rows, splits, selected.left_out)
    rest = selected.rows - sum(selected.recorded.values())
    patterns = format_parts({**selected.recorded, "rest": rest})
    console.print(f"{words.rows} rows in the tables, {words.samples} would be read")
    table = Table()
    table.add_column("recorded")
    table.add_column("rows", justify="right")
    for pattern in selected.recorded:
        table.add_row(pattern.replace("+", " + ") or "nothing", patterns[pattern])
    console.print(table)
    for reason in selected.left_out:
        console.print(f"left out: {words.left_out[reason]} ({reason})")
    for split, (count, subjects) in selected.splits.items():
        (number,) = format_within([subjects], count, words.splits[split])
        console.print(f"{split}: {words.splits[split]} samples of {number} subjects")
    _show_coverage(selected.problems, console)
    console.print("No recording was opened: some may prove unusable.")


class _Sums(NamedTuple):
    """Numbers of rows as words from which no withheld number follows.

    Attributes:
        rows: all rows.
        samples: those that are samples.
        splits: the samples of each split.
        left_out: the other rows, by reason.
    """

    rows: str
    samples: str
    splits: Mapping[str, str]
    left_out: Mapping[str, str]


def _add_up(rows: int, splits: Mapping[str, int], left_out: Mapping[str, int]) -> _Sums:
    """Format numbers of rows: samples and the others add up to them, splits to the samples."""
    samples = sum(splits.values())
    again = max(rows - samples - sum(left_out.values()), 0)  # rows that repeat another
    others = {**left_out, "": again}
    parts = format_parts({**others, "samples": samples})
    total = format_total(rows, [*others.values(), samples])
    if parts["samples"] == format_count(samples):
        return _Sums(total, format_total(samples, splits.values()), format_parts(splits), parts)
    shown = format_parts({**splits, "": rows - samples})
    return _Sums(total, format_part(samples, rows), shown, parts)


def _show_coverage(problems: Sequence[Mapping[str, str]], console: Console) -> None:
    """Print what no sample has, and values in another unit."""
    for problem in problems:
        sentence = mask_subject_counts(problem["sentence"])
        console.print(f"warning: {sentence}", markup=False, highlight=False)


def show_training(run: Run, console: Console) -> None:
    """Print the epoch that was kept, and the run's folder."""
    record, history = run.metadata, run.history
    key = f"tuning/{record['definition']['selection']['metric']}"
    best = max(history, key=lambda epoch: epoch[key])
    (shown,) = with_rounded_tuning([best], read_dataset(run.path))
    console.print(
        f"{run.path}: {len(history)} epochs in {sum(e['seconds'] for e in history):.0f} s; kept "
        f"epoch {best['epoch']} with {key} = {shown[key]:.4f}",
        soft_wrap=True,
    )
    if "deterministic_cost" in record:
        console.print(
            f"With deterministic algorithms a step took {record['deterministic_cost']} times as "
            "long as without, measured before training.",
            soft_wrap=True,
        )


def show_results(results: Results, console: Console, *, verbose: bool = False) -> None:
    """Print the results of an evaluation, and what could not be scored."""
    primary, width = dict(results.primary_metrics), console.width
    is_real = not results.synthetic
    rows = rounded_rows(results.rows) if is_real else results.rows
    skipped = rounded_rows(results.skipped) if is_real else results.skipped
    _print_all(result_tables(rows, skipped, primary=primary, width=width), console)
    show_unscored(skipped, results.notes, console, verbose=verbose)


def show_benchmark(made: Benchmark, console: Console, *, verbose: bool = False) -> None:
    """Print the answer of the report, results, missing results and the next commands."""
    answer = report_summary(made.report)
    if answer:
        console.print(answer, markup=False, highlight=False, style="bold")
        console.print()
    primary = {task.name: task.primary for task in made.tasks}
    is_real = not is_synthetic(made.store.manifest)
    results = rounded_rows(made.results) if is_real else made.results
    comparisons = rounded_rows(made.comparisons) if is_real else made.comparisons
    tables = partial(result_tables, primary=primary, width=console.width, beside=results)
    beside = {run.name for run in made.runs if run.is_baseline}
    learned = [row for row in results if row.run not in beside]
    reasons = rounded_rows(made.unscored) if is_real else made.unscored
    unscored = [row for row in reasons if row.run not in beside]
    _print_all(tables(learned, unscored), console)
    if beside:
        baselines = [row for row in results if row.run in beside]
        console.print("Baselines")
        _print_all(tables(baselines, []), console)
    compared = [row for row in comparisons if not {row.run, row.baseline} & beside]
    if len(compared) > MOST_DIFFERENCES:
        show_settled(compared, console)
    elif compared:
        _print_all(comparison_tables(compared), console)
    show_unscored(reasons, made.notes, console, verbose=verbose)
    console.print(f"Results     {made.out / 'results.jsonl'}", soft_wrap=True)
    console.print(f"Report      {made.report}   (open it in any browser)", soft_wrap=True)
    show_synced(made.synced, console)


def _print_all(parts: Iterable[Table | str], console: Console) -> None:
    for part in parts:
        console.print(part)


def show_settled(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print for each task how many of many differences are significant."""
    console.print("Differences of each two runs on the same queries, all in comparisons.jsonl:")
    for task in dict.fromkeys(row.task for row in comparisons):
        of = [row for row in comparisons if row.task == task]
        settled = sum(is_significant(row) for row in of)
        console.print(f"{task}: {settled} of {len(of)} are significant (Holm, below 0.05)")


def show_unscored(
    unscored: Sequence[SkippedResult],
    notes: Sequence[str],
    console: Console,
    *,
    verbose: bool = False,
) -> None:
    """Print what could not be evaluated, once for each reason.

    Tasks, patterns and runs that do not fit each other are counted, and listed if `verbose`.
    """
    rows: dict[tuple[str, str], list[SkippedResult]] = {}
    for row in unscored:
        if verbose or row.code != _UNFIT_CODE:
            rows.setdefault((row.task, str(row)), []).append(row)
    for (task, reason), alike in rows.items():
        patterns = ", ".join(dict.fromkeys(row.missingness for row in alike))
        runs = ", ".join(dict.fromkeys(row.run for row in alike))
        words = mask_small_counts(reason)
        console.print(f"not scored: {task}, {patterns} ({runs}): {words}", markup=False)
    unfit = [note for note in notes if any(words in note for words in NOT_APPLICABLE)]
    for note in notes if verbose else [note for note in notes if note not in unfit]:
        console.print(mask_subject_counts(note), markup=False)
    number = len(unfit) + sum(row.code == _UNFIT_CODE for row in unscored)
    if number and not verbose:
        console.print(
            f"{number} tasks or patterns do not apply to the cohort or to a run; --verbose lists "
            "them.",
            highlight=False,
        )


def show_synced(synced: SyncResult, console: Console) -> None:
    """Print where MLflow has the runs, or why it does not."""
    if synced.note:
        console.print(f"MLflow      {synced.note}", markup=False, soft_wrap=True)
    if synced.problem:
        words = "not synced: " if synced.run_id is None else ""
        console.print(f"MLflow      {words}{synced.problem}", markup=False, soft_wrap=True)
    elif (database := sqlite_path(synced.uri)) is not None and database.name == DATABASE:
        command = shlex.join(["clinical-symile", "dashboard", str(database.parent)])
        console.print(f"MLflow      {command}   (opens its page of all runs)", soft_wrap=True)
    elif synced.uri.startswith("sqlite:"):
        command = f"mlflow ui --backend-store-uri {synced.uri}"
        console.print(f"MLflow      {command}", soft_wrap=True)
    else:
        console.print(f"MLflow      {synced.url or synced.uri}", soft_wrap=True)


def show_sent(synced: SyncResult, console: Console) -> None:
    """Print what of a run was sent to MLflow, or why it was not."""
    words = f"sent {', '.join(synced.sent)}" if synced.sent else "all of it was there"
    if synced.problem:
        words = f"not synced: {synced.problem}" if synced.run_id is None else synced.problem
    console.print(f"{synced.run}: {words}", markup=False, soft_wrap=True, highlight=False)

"""Print tables of stores, results and comparisons."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from clinical_symile.data.ingest.samples import SelectedSamples
from clinical_symile.data.store import CohortStore
from clinical_symile.formatting import (
    SMALLEST_COUNT,
    format_count,
    format_nested_counts,
    format_p_value,
    format_part,
    format_parts,
    format_total,
    format_within,
    mask_small_counts,
    mask_subject_counts,
)
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.reporting.results import Results
from clinical_symile.tracking.dashboard import DATABASE
from clinical_symile.tracking.mlflow import SyncResult
from clinical_symile.tracking.results import (
    Comparison,
    Result,
    SkippedResult,
    is_significant,
    is_withheld,
)
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import sqlite_path

# Where output goes to a file or a pipe, tables keep a width at which no number is cut.
CONSOLE = Console(width=None if sys.stdout.isatty() else 160)
# More runs leave no room for intervals beside each other; more differences are not read here.
MOST_RUNS, MOST_DIFFERENCES = 5, 60
_WITHHELD = "withheld (<10)"


def results_table(
    results: Sequence[Result], unscored: Sequence[SkippedResult], *, primary: dict[str, str]
) -> Table:
    """Build the table of primary metrics by task, pattern and run, with interval and chance.

    Args:
        results: of any runs, on one cohort.
        unscored: what could not be scored; the table says so in its place.
        primary: for each task its primary metric.
    """
    rows = [row for row in results if row.metric == primary.get(row.task)]
    runs = list(dict.fromkeys(row.run for row in rows))
    few, names = len(runs) <= MOST_RUNS, _short(runs)
    title = "95 % intervals in brackets, by bootstrap over subjects"
    if not few:
        title = f"{len(runs)} runs; their intervals are in results.jsonl and in the report"
    table = Table(title=title, title_justify="left")
    table.add_column("task", overflow="fold")
    for heading in ("missingness", "metric", "n"):
        table.add_column(heading, justify="right" if heading == "n" else "left", no_wrap=True)
    for run in runs:
        words = "oracle (ceiling)" if run == ORACLE else names[run]
        table.add_column(words if few else words.replace("_", "_\n"), justify="right")
    table.add_column("chance", justify="right")
    sizes = format_nested_counts(row.n_samples for row in rows)
    cells = {(row.task, row.missingness, row.run): row for row in rows}
    lines = dict.fromkeys((row.task, row.missingness) for row in (*rows, *unscored))
    last = None
    for task, missingness in lines:
        if last not in (None, task):
            table.add_section()
        found = [cells.get((task, missingness, run)) for run in runs]
        some = next((row for row in found if row), None)
        table.add_row(
            task if task != last else "",
            missingness,
            primary.get(task, ""),
            sizes[some.n_samples] if some else "",
            *(_cell(row) if few else _value(row) for row in found),
            _chance(some),
        )
        last = task
    return table


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    """Return a table of the difference of each pair of runs, with its paired interval."""
    table = Table(
        title="Differences on the same queries, 95 % intervals by paired bootstrap over subjects",
        title_justify="left",
    )
    with_margin = any(row.margin is not None for row in comparisons)
    headings = ["task", "missingness", "metric", "difference", "p", "Holm", "test"]
    for heading in headings + ["within margin"] * with_margin:
        right = heading in ("difference", "p", "Holm")
        table.add_column(heading, justify="right" if right else "left")
    for row in comparisons:
        is_small = min(row.n_samples, row.n_subjects) < SMALLEST_COUNT
        difference = f"{row.difference:+.3f} {_ends(row.low, row.high, sign='+')}"
        if is_small:
            difference = _WITHHELD
        table.add_row(
            row.task,
            row.missingness,
            f"{row.metric}: {_pair(row)}",
            f"[bold]{difference}[/bold]" if is_significant(row) and not is_small else difference,
            *(format_p_value(None if is_small else p) for p in (row.p_value, row.p_holm)),
            row.test or "none",
            *([_verdict(row, is_small=is_small)] if with_margin else []),
        )
    return table


def show_comparisons(
    comparisons: Sequence[Comparison],
    lost: Sequence[Comparison],
    notes: Sequence[str],
    console: Console,
) -> None:
    """Differences between runs, what is lost under patterns, and what p values are adjusted for."""
    console.print(comparisons_table(comparisons))
    for rows in (comparisons, lost):
        if rows is lost and lost:
            console.print(comparisons_table(lost))
        for family in dict.fromkeys(row.family for row in rows if row.family):
            console.print(f"Holm: adjusted for {family}; bold where it is below 0.05")
    for note in notes:
        console.print(mask_subject_counts(note), markup=False)


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
    console.print(
        f"{run.path}: {len(history)} epochs in {sum(e['seconds'] for e in history):.0f} s; kept "
        f"epoch {best['epoch']} with {key} = {best[key]:.4f}",
        soft_wrap=True,
    )
    if "deterministic_cost" in record:
        console.print(
            f"With deterministic algorithms a step took {record['deterministic_cost']} times as "
            "long as without, measured before training.",
            soft_wrap=True,
        )


def show_results(results: Results, console: Console) -> None:
    """Print the results of an evaluation, and what could not be scored."""
    primary = dict(results.primary_metrics)
    console.print(results_table(results.rows, results.skipped, primary=primary))
    show_unscored(results.skipped, results.notes, console)


def show_benchmark(made: Benchmark, console: Console) -> None:
    """Print results, missing results and the next commands."""
    primary = {task.name: task.primary for task in made.tasks}
    beside = {run.name for run in made.runs if run.is_baseline}
    learned = [row for row in made.results if row.run not in beside]
    console.print(results_table(learned, made.unscored, primary=primary))
    if beside:
        baselines = [row for row in made.results if row.run in beside]
        console.print(results_table(baselines, [], primary=primary))
    compared = [row for row in made.comparisons if not {row.run, row.baseline} & beside]
    if len(compared) > MOST_DIFFERENCES:
        show_settled(compared, console)
    elif compared:
        console.print(comparisons_table(compared))
    show_unscored(made.unscored, made.notes, console)
    console.print(f"Results     {made.out / 'results.jsonl'}", soft_wrap=True)
    console.print(f"Report      {made.report}   (open it in any browser)", soft_wrap=True)
    show_synced(made.synced, console)


def show_settled(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print for each task how many of many differences are significant."""
    console.print("Differences of each two runs on the same queries, all in comparisons.jsonl:")
    for task in dict.fromkeys(row.task for row in comparisons):
        of = [row for row in comparisons if row.task == task]
        settled = sum(is_significant(row) for row in of)
        console.print(f"{task}: {settled} of {len(of)} are told apart (Holm, below 0.05)")


def show_unscored(
    unscored: Sequence[SkippedResult], notes: Sequence[str], console: Console
) -> None:
    """Print what could not be evaluated, once for each reason."""
    rows: dict[tuple[str, str], list[SkippedResult]] = {}
    for row in unscored:
        rows.setdefault((row.task, str(row)), []).append(row)
    for (task, reason), alike in rows.items():
        patterns = ", ".join(dict.fromkeys(row.missingness for row in alike))
        runs = ", ".join(dict.fromkeys(row.run for row in alike))
        words = mask_small_counts(reason)
        console.print(f"not scored: {task}, {patterns} ({runs}): {words}", markup=False)
    for note in notes:
        console.print(mask_subject_counts(note), markup=False)


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


def _pair(row: Comparison) -> str:
    if row.against is not None:
        return f"{row.run}, minus {row.against}"
    return f"{row.run} - {row.baseline}"


def _verdict(row: Comparison, *, is_small: bool) -> str:
    if row.margin is None:
        return ""
    return f"{_WITHHELD if is_small else row.verdict} ({row.margin:g})"


def _ends(low: float | None, high: float | None, *, sign: str = "") -> str:
    if low is None or high is None:
        return "[no interval]"
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def _cell(row: Result | None) -> str:
    if row is None or is_withheld(row):
        return "not scored" if row is None else _WITHHELD
    return f"{row.value:.3f} {_ends(row.low, row.high)}".replace("[", r"\[")


def _value(row: Result | None) -> str:
    if row is None or is_withheld(row):
        return "not scored" if row is None else _WITHHELD
    return f"{row.value:.3f}"


def _short(runs: Sequence[str]) -> dict[str, str]:
    """The words of names in which trained runs differ, where there are too many for whole names."""
    some = {run: run.split("-") for run in runs if run != ORACLE}
    if len(some) > MOST_RUNS:
        for end in (0, -1):
            if len({words[end] for words in some.values()}) == 1:
                some = {run: words[1:] if end == 0 else words[:-1] for run, words in some.items()}
            if not all(some.values()):
                return {run: run for run in some}
    return {run: "-".join(words) for run, words in some.items()}


def _chance(row: Result | None) -> str:
    if row is None or row.chance is None or is_withheld(row):
        return ""
    return f"{row.chance:.3f}"

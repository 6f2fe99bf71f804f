"""Read what a report shows of runs from their folders: results, curves and analyses."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import pandas as pd

from clinical_symile.config.deprecated import PRETRAINING_WORDS
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.evaluation.task_metrics import primary_metric
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.formatting import bound_subject_counts
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.result_lookup import TaskTables
from clinical_symile.tracking.analysis_tables import (
    RunAnalysis,
    merge_analyses,
    read_analysis,
    select_tasks,
)
from clinical_symile.tracking.costs import RunCosts
from clinical_symile.tracking.disclosure import shareable, withheld_patterns, without_withheld
from clinical_symile.tracking.results import Result, is_withheld
from clinical_symile.tracking.rounding import rounded_rows
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.snapshot import (
    has_synthetic_subjects,
    read_dataset,
    tuning_step,
    with_rounded_tuning,
)

# The fields of `ReportData` that are tables of numbers on samples.
_ROUNDED_TABLES = (
    *("results", "comparisons", "losses", "seeds", "ranks", "methods_compared"),
    *("net_benefit_differences", "robustness", "masks", "results_by_rule", "above_best"),
)


def read_runs(runs: Sequence[Run], tasks: TaskTables) -> ReportData:
    """Read the results of runs on some tasks, and what else their folders hold for a report.

    Results on too few subjects are withheld, and the others rounded, as in every report.

    Args:
        runs: evaluated runs.
        tasks: the tables of the tasks, by name; see `task_table`.
    """
    data = read_exact_runs(runs, tasks)
    return data if of_synthetic_subjects(runs) else with_rounded_data(data, runs)


def of_synthetic_subjects(runs: Sequence[Run]) -> bool:
    """Return True if the folders of all runs say that their subjects are synthetic."""
    return bool(runs) and all(has_synthetic_subjects(run.path) for run in runs)


def with_rounded_data(data: ReportData, runs: Sequence[Run]) -> ReportData:
    """Return the data of a report on real subjects with rounded sizes and numbers.

    Args:
        data: the data.
        runs: the runs, whose folders say how many samples the tuning split has.
    """
    datasets = {run.name: read_dataset(run.path) for run in runs}
    step = max(map(tuning_step, datasets.values()), default=tuning_step({}))
    analysis = {name: rounded_rows(rows) for name, rows in vars(data.analysis).items()}
    return replace(
        data,
        **{name: rounded_rows(getattr(data, name)) for name in _ROUNDED_TABLES},
        settings=rounded_rows(data.settings, step=step),
        unscored=rounded_rows(data.unscored),
        notes=[bound_subject_counts(note) for note in data.notes],
        analysis=RunAnalysis(**analysis),
        histories={
            name: with_rounded_tuning(lines, datasets.get(name, {}))
            for name, lines in data.histories.items()
        },
    )


def read_exact_runs(runs: Sequence[Run], tasks: TaskTables) -> ReportData:
    """Read the same as `read_runs`, but do not round; for what is rounded later."""
    trained = [run for run in runs if run.is_trained]
    every = [row for run in runs for row in run.results if row.task in tasks]
    results, withheld = without_withheld(every)
    analysis = merge_analyses(read_analysis(run.path) for run in runs)
    return ReportData(
        results=results,
        tasks=tasks,
        analysis=_shareable(select_tasks(analysis, tasks.__contains__), every),
        results_by_rule=[
            row
            for run in runs
            for row in run.results_by_rule
            if row.task in tasks and not is_withheld(row)
        ],
        unscored=[*(row for run in runs for row in run.unscored if row.task in tasks), *withheld],
        baselines={r.name: r.metadata["definition"]["description"] for r in runs if r.is_baseline},
        runs=[_with_current_words(run) for run in trained],
        histories={run.name: run.history for run in trained},
    )


def _shareable(analysis: RunAnalysis, results: Sequence[Result]) -> RunAnalysis:
    """Leave out the analysis of what is withheld."""
    hidden = withheld_patterns(results)
    return RunAnalysis(**{name: shareable(rows, hidden) for name, rows in vars(analysis).items()})


def costs_frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return what runs cost, one row per run; what is not recorded is missing.

    Args:
        records: the `run.toml` of each run.
    """
    rows = [asdict(RunCosts.from_record(record)) for record in records]
    return pd.DataFrame(rows, columns=[one.name for one in fields(RunCosts)])


def task_table(task: EvaluationTask) -> dict[str, Any]:
    """Return a task as a report reads it: its fields, and the direction of its primary metric.

    The measures of a diagnostic have no direction by which models are compared.
    """
    table = task.model_dump(mode="json")
    if isinstance(task, DiagnosticTask):
        return table
    return {**table, "higher_is_better": primary_metric(task).higher_is_better}


def _with_current_words(run: Run) -> dict[str, Any]:
    """Return a run's record with its definition in today's words."""
    record = run.metadata
    if "definition" not in record:
        return record
    definition = PRETRAINING_WORDS.update(record["definition"], where=str(run.path / "run.toml"))
    return {**record, "definition": definition}

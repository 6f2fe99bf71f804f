"""Analyze the outcomes of a run beyond its metrics: calibration, subgroups, modality values.

Nothing is predicted here: saved outcomes are read, and resampled by subject.
"""

from collections.abc import Sequence

import numpy as np

from clinical_symile import __version__
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.analysis.modality_contribution import modality_contributions
from clinical_symile.evaluation.analysis.risk_predictions import risk_measures
from clinical_symile.evaluation.analysis.sample_outcomes import (
    SampleOutcomes,
    load_outcomes,
    split_by_outcome,
)
from clinical_symile.evaluation.analysis.selective_prediction import selective_measures
from clinical_symile.evaluation.analysis.subgroups import subgroup_results
from clinical_symile.evaluation.task_selection import (
    EvaluationTask,
    ScoredTask,
    scored_tasks,
)
from clinical_symile.files import lock_folder
from clinical_symile.hashing import digest_of
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.analysis_tables import (
    ANALYSIS_TABLES,
    RunAnalysis,
    merge_analyses,
    read_analysis,
    select_tasks,
    write_analysis,
)
from clinical_symile.tracking.checksums import check_folder, missing_files
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.run import Run


def analyze_run(
    run: Run,
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    progress: Progress = lambda done, total: None,
) -> RunAnalysis:
    """Analyze a run on some tasks and save the tables in the run's folder.

    A task whose results have not changed since its last analysis is read instead. The analysis of
    other tasks is kept.

    Args:
        run: a run that was evaluated on the tasks.
        tasks: the tasks to analyze; diagnostics are left out.
        store: the cohort of the evaluation.
        progress: called with tasks done and all tasks.

    Returns:
        The analysis of these tasks.
    """
    with lock_folder(run.path):
        check_folder(run.path)
        analyzed = scored_tasks(tasks)
        digests = {task.name: _digest(run, task.name) for task in analyzed}
        saved = _saved_analysis(run)
        due = [task for task in analyzed if run.analysis_digest(task.name) != digests[task.name]]
        if due:
            made = []
            for number, task in enumerate(due, start=1):
                made.append(_analyze_task(run, task, store))
                progress(number, len(due))
            names = {task.name for task in due}
            saved = merge_analyses([select_tasks(saved, lambda name: name not in names), *made])
            write_analysis(run.path, saved)
            for name in names:
                run.write_analysis_digest(name, digests[name])
        return select_tasks(saved, lambda name: name in digests)


def _saved_analysis(run: Run) -> RunAnalysis:
    """Return the saved analysis; an empty one if tables are missing or of another version."""
    if missing_files(run.path) & {f"{name}.jsonl" for name in ANALYSIS_TABLES}:
        run.remove_analysis_digests()
        return RunAnalysis()
    try:
        return read_analysis(run.path)
    except DataError:
        run.remove_analysis_digests()
        return RunAnalysis()


def _digest(run: Run, task: str) -> str:
    """Return a digest of a task's results and outcomes, and of the package's version."""
    rows = sorted(repr(row) for row in run.results if row.task == task)
    tables = sorted(
        path
        for name in ("outcomes", "tuning")
        for path in path_in(run.path / name, task).glob("*.parquet")
    )
    named = [
        part
        for path in tables
        for part in (path.relative_to(run.path).as_posix(), path.read_bytes())
    ]
    return digest_of(__version__, *rows, *named)


def _analyze_task(run: Run, task: ScoredTask, store: CohortStore) -> RunAnalysis:
    scored = load_outcomes(run, task, store)
    risks = merge_analyses(
        made
        for several in scored.values()
        for part, one in split_by_outcome(several).items()
        for made in (
            risk_measures(one, complete=_complete(part, one, scored), part=part),
            selective_measures(one, part=part),
        )
    )
    return RunAnalysis(
        measures=risks.measures,
        calibration=risks.calibration,
        net_benefit=risks.net_benefit,
        modality_value=modality_contributions(scored),
        subgroups=subgroup_results(scored, store),
    )


def _complete(
    part: str | None, one: SampleOutcomes, scored: dict[str, SampleOutcomes]
) -> SampleOutcomes | None:
    """Return the outcomes of the same samples under `complete`; None if there are none."""
    if "complete" not in scored or one.about["missingness"] == "complete":
        return None
    complete = split_by_outcome(scored["complete"]).get(part)
    same = complete is not None and np.array_equal(complete.rows, one.rows)
    return complete if same else None

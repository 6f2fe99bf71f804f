"""From what became of each sample to all that is told besides metrics: `RunAnalysis` of a run.

Nothing is predicted here: the rows of `outcomes/` and `tuning/` are read, and resampled by subject.
"""

import shutil
from collections.abc import Sequence

import numpy as np

from clinical_symile import __version__
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.analysis.modality_contribution import modality_contributions
from clinical_symile.evaluation.analysis.risk_predictions import risk_measures
from clinical_symile.evaluation.analysis.sample_outcomes import (
    SampleOutcomes,
    load_outcomes,
    split_by_outcome,
)
from clinical_symile.evaluation.analysis.subgroups import subgroup_results
from clinical_symile.hashing import digest_of
from clinical_symile.tracking.analysis_tables import (
    RunAnalysis,
    merge_analyses,
    read_analysis,
    select_tasks,
    write_analysis,
)
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.run import Run


def analyze_run(
    run: Run,
    tasks: Sequence[Retrieval | Classification],
    *,
    store: CohortStore,
    progress: Progress = lambda done, total: None,
) -> RunAnalysis:
    """Tell of a run what it was scored on, and keep it in the run's folder.

    What was told of the same results before is read instead, and what was told of other tasks
    stays.

    Args:
        run: evaluated on the tasks.
        tasks: what to tell of.
        store: what it was evaluated on.
        progress: called with tasks done and all tasks.

    Returns:
        What is told of these tasks.
    """
    digests = {task.name: _digest(run, task.name) for task in tasks}
    before = _told_before(run)
    due = [task for task in tasks if _marked(run, task.name) != digests[task.name]]
    if due:
        told = []
        for number, task in enumerate(due, start=1):
            told.append(_of_task(run, task, store))
            progress(number, len(due))
        new, names = merge_analyses(told), {task.name for task in due}
        before = merge_analyses([select_tasks(before, lambda name: name not in names), new])
        write_analysis(run.path, before)
        for name in names:
            run.mark(name).parent.mkdir(parents=True, exist_ok=True)
            run.mark(name).write_text(digests[name], encoding="utf-8")
    return select_tasks(before, lambda name: name in digests)


def _told_before(run: Run) -> RunAnalysis:
    """What the run's folder has; nothing, of any task, where another version's rows are in it."""
    try:
        return read_analysis(run.path)
    except DataError:
        shutil.rmtree(run.path / "told", ignore_errors=True)
        return RunAnalysis()


def _marked(run: Run, task: str) -> str | None:
    """The digest of what was told of when a task was told of."""
    mark = run.mark(task)
    return mark.read_text(encoding="utf-8") if mark.is_file() else None


def _digest(run: Run, task: str) -> str:
    """Of the results and the tables that are told of, and of who tells."""
    rows = sorted(repr(row) for row in run.results if row.task == task)
    tables = sorted(
        path
        for name in ("outcomes", "tuning")
        for path in (run.path / name / task).glob("*.parquet")
    )
    named = [
        part
        for path in tables
        for part in (path.relative_to(run.path).as_posix(), path.read_bytes())
    ]
    return digest_of(__version__, *rows, *named)


def _of_task(run: Run, task: Retrieval | Classification, store: CohortStore) -> RunAnalysis:
    scored = load_outcomes(run, task, store)
    risks = merge_analyses(
        risk_measures(one, whole=_whole(part, one, scored), part=part)
        for several in scored.values()
        for part, one in split_by_outcome(several).items()
    )
    return RunAnalysis(
        measures=risks.measures,
        calibration=risks.calibration,
        net_benefit=risks.net_benefit,
        modality_value=modality_contributions(scored),
        subgroups=subgroup_results(scored, store),
    )


def _whole(
    part: str | None, one: SampleOutcomes, scored: dict[str, SampleOutcomes]
) -> SampleOutcomes | None:
    """The same samples with nothing hidden, where they were scored."""
    if "complete" not in scored or one.about["missingness"] == "complete":
        return None
    whole = split_by_outcome(scored["complete"]).get(part)
    return whole if whole is not None and np.array_equal(whole.rows, one.rows) else None

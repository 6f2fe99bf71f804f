"""From what became of each sample to all that is told besides metrics: `Measures` of a run.

Nothing is predicted here: the rows of `outcomes/` and `tuning/` are read, and resampled by subject.
"""

from collections.abc import Sequence

import numpy as np

from clinical_symile import __version__
from clinical_symile.assess_groups import subgroup_results
from clinical_symile.assess_modalities import modality_values
from clinical_symile.assess_risks import risk_measures
from clinical_symile.catalog import digest
from clinical_symile.measures import Measures, read_measures, together, write_measures
from clinical_symile.run import Run
from clinical_symile.scored import Scored, by_part, scored_patterns
from clinical_symile.store import CohortStore
from clinical_symile.task import Classification, Retrieval

MARK = "measures.digest"


def assess(
    run: Run, tasks: Sequence[Retrieval | Classification], *, store: CohortStore
) -> Measures:
    """Tell of a run what it was scored on, and keep it in the run's folder.

    What was told of the same results before is read instead.

    Args:
        run: evaluated on the tasks.
        tasks: what to tell of.
        store: what it was evaluated on.
    """
    mark, of = run.path / MARK, _digest(run, tasks)
    if mark.is_file() and mark.read_text(encoding="utf-8") == of:
        return read_measures(run.path)
    told = together(_of_task(run, task, store) for task in tasks)
    write_measures(run.path, told)
    mark.write_text(of, encoding="utf-8")
    return told


def _digest(run: Run, tasks: Sequence[Retrieval | Classification]) -> str:
    """Of the results that are told of, and of who tells."""
    names = {task.name for task in tasks}
    rows = sorted(repr(row) for row in run.results if row.task in names)
    return digest(__version__, *rows)


def _of_task(run: Run, task: Retrieval | Classification, store: CohortStore) -> Measures:
    scored = scored_patterns(run, task, store)
    risks = together(
        risk_measures(one, whole=_whole(part, one, scored), part=part)
        for several in scored.values()
        for part, one in by_part(several).items()
    )
    return Measures(
        measures=risks.measures,
        calibration=risks.calibration,
        net_benefit=risks.net_benefit,
        modality_value=modality_values(scored),
        subgroups=subgroup_results(scored, store),
    )


def _whole(part: str | None, one: Scored, scored: dict[str, Scored]) -> Scored | None:
    """The same samples with nothing hidden, where they were scored."""
    if "complete" not in scored or one.about["missingness"] == "complete":
        return None
    whole = by_part(scored["complete"]).get(part)
    return whole if whole is not None and np.array_equal(whole.rows, one.rows) else None

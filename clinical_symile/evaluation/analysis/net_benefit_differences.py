"""Compare the net benefit of two runs on the same samples."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.sample_outcomes import (
    SampleOutcomes,
    load_outcomes,
    split_by_outcome,
)
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.metrics.decision_curve import net_benefit, net_benefit_difference
from clinical_symile.stats.multiple_testing import holm
from clinical_symile.tracking.benchmark_tables import NetBenefitDifference
from clinical_symile.tracking.run import Run

COMPARED_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)


def net_benefit_differences(
    pairs: Sequence[tuple[Run, Run]],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    thresholds: Sequence[float] = COMPARED_THRESHOLDS,
) -> list[NetBenefitDifference]:
    """Compare the net benefit of each two runs under every pattern that both have.

    Results of other samples, or with another fingerprint, are left out. The p-values of all rows
    are one family, adjusted by Holm's method.

    Args:
        pairs: the run in question and the run that it is compared with.
        tasks: the tasks; those that predict no risk are left out.
        store: the cohort of all.
        thresholds: the risks from which a clinician would treat.

    Returns:
        One row for each pair, task, pattern, outcome and threshold.
    """
    runs = list({run.name: run for pair in pairs for run in pair}.values())
    made: list[NetBenefitDifference] = []
    for task in tasks:
        if not isinstance(task, Classification):
            continue
        scored = {run.name: load_outcomes(run, task, store) for run in runs}
        for run, baseline in pairs:
            for one, other, part in _matched(scored[run.name], scored[baseline.name]):
                made += [_difference(one, other, part, threshold) for threshold in thresholds]
    tested = [row.p_value for row in made if row.p_value is not None]
    adjusted = iter(holm(tested))
    return [
        row if row.p_value is None else replace(row, p_holm=float(next(adjusted))) for row in made
    ]


def _matched(
    scored: dict[str, SampleOutcomes], against: dict[str, SampleOutcomes]
) -> Iterator[tuple[SampleOutcomes, SampleOutcomes, str | None]]:
    """Yield the outcomes of two runs on the same samples, with the part of the task."""
    for pattern in (name for name in scored if name in against):
        one, other = scored[pattern], against[pattern]
        if one.about["digest"] != other.about["digest"]:
            continue
        others = split_by_outcome(other)
        for part, mine in split_by_outcome(one).items():
            theirs = others.get(part)
            if theirs is not None and np.array_equal(mine.rows, theirs.rows):
                yield mine, theirs, part


def _difference(
    one: SampleOutcomes, other: SampleOutcomes, part: str | None, threshold: float
) -> NetBenefitDifference:
    label = one.outcome["label"].to_numpy()
    risks = [each.outcome["probability"].to_numpy() for each in (one, other)]
    about = {name: one.about[name] for name in ("run", "cohort", "task", "missingness", "digest")}
    weights = np.ones((1, len(label)))
    values = [
        float(net_benefit(weights, label, risk, thresholds=[threshold])[0, 0]) for risk in risks
    ]
    row = NetBenefitDifference(
        **about,
        baseline=other.about["run"],
        part=part,
        threshold=threshold,
        difference=values[0] - values[1],
        n_samples=len(label),
        n_subjects=len(np.unique(one.subjects)),
    )
    try:
        found = net_benefit_difference(label, risks[0], risks[1], one.subjects, threshold=threshold)
    except ValueError as error:  # too few samples on which the decisions differ
        return replace(row, no_interval=str(error))
    interval = found.interval()
    return replace(row, low=interval.low, high=interval.high, p_value=found.p_value())

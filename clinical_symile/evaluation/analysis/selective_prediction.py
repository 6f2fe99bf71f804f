"""Measure what a run gains if it abstains where it is least confident: risk against coverage."""

from contextlib import suppress

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from clinical_symile.evaluation.analysis.sample_outcomes import SampleOutcomes
from clinical_symile.metrics.high_confidence_errors import confidence
from clinical_symile.metrics.selective import prepare_risk_coverage
from clinical_symile.metrics.small_cells import SMALLEST
from clinical_symile.stats.estimate import LEVEL
from clinical_symile.stats.resampling import resample_metric
from clinical_symile.tracking.analysis_tables import Measure, RunAnalysis

COVERAGES = (50, 60, 70, 80, 90, 100)
"""Coverages at which the risk is reported, in per cent."""


def selective_measures(one: SampleOutcomes, *, part: str | None) -> RunAnalysis:
    """Compute AURC, its excess, and the risk at some coverages, with intervals.

    Args:
        one: the outcomes of a run under a pattern.
        part: the part of a task of several parts; else None.

    Returns:
        The measures; empty for a task that predicts no risk.
    """
    if not {"label", "probability"} <= {*one.outcome.columns}:
        return RunAnalysis()
    label, probability = one.outcome["label"].to_numpy(), one.outcome["probability"].to_numpy()
    of_weights = prepare_risk_coverage(label, probability)
    coverages = reported_coverages(probability, one.subjects)
    names = ["aurc", "excess_aurc", *(f"risk_at_{coverage}" for coverage in coverages)]

    def numbers(
        weights: Real[np.ndarray, "resample sample"], row: Int[np.ndarray, " sample"]
    ) -> Float[np.ndarray, "resample number"]:
        del row
        curve = of_weights(weights)
        risks = [curve.risk(coverage / 100) for coverage in coverages]
        return np.stack([curve.area, curve.area - curve.least_area, *risks], axis=1)

    (values,) = numbers(np.ones((1, len(label))), one.rows)
    low = high = np.full(len(names), np.nan)
    with suppress(ValueError):  # one subject only
        drawn = resample_metric(numbers, [one.rows], one.subjects, rng=one.rng)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return RunAnalysis(
        measures=[
            Measure(
                **one.about,
                part=part,
                measure=f"selective/{name}",
                value=float(value),
                low=float(start) if end > start else None,  # without a width, they say nothing
                high=float(end) if end > start else None,
                n_samples=len(label),
            )
            for name, value, start, end in zip(names, values, low, high, strict=True)
        ]
    )


def reported_coverages(
    probability: Float[np.ndarray, " sample"], subjects: Shaped[np.ndarray, " sample"]
) -> list[int]:
    """Return the coverages whose risk may be reported, rising.

    The errors between two coverages follow from the risks at both. Coverages are left out until at
    least ten subjects are between each two, and below the lowest.

    Args:
        probability: predicted.
        subjects: the subject of each sample.
    """
    order = np.argsort(-confidence(probability), kind="stable")
    ends = {at: int(np.floor(len(order) * at / 100)) for at in COVERAGES}
    kept, last = [], len(order)

    def few(start: int, end: int) -> bool:
        return len(np.unique(subjects[order[start:end]])) < SMALLEST

    for coverage in reversed(COVERAGES):
        end = ends[coverage]
        if coverage == max(COVERAGES) or not (few(0, end) or few(end, last)):
            kept.append(coverage)
            last = end
    return kept[::-1]

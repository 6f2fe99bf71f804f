"""Whether a run's risks can be believed: calibration, net benefit, conformal sets, silence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.evaluation.analysis.sample_outcomes import SampleOutcomes
from clinical_symile.metrics.calibration import (
    calibration_in_the_large,
    curve_bins,
    recalibrate,
    slope_and_intercept,
    weighted_decomposition,
)
from clinical_symile.metrics.classification import BRIER, EXPECTED_CALIBRATION_ERROR
from clinical_symile.metrics.conformal import conformal_threshold, covered, prediction_sets
from clinical_symile.metrics.decision_curve import THRESHOLDS, net_benefit, treat_all
from clinical_symile.metrics.high_confidence_errors import (
    confidence,
    high_confidence_error_gap,
    is_correct,
)
from clinical_symile.metrics.small_cells import SMALLEST, withheld_cells
from clinical_symile.stats.bootstrap import LEVEL, UNDEFINED_SHARE, resample_metric
from clinical_symile.tracking.analysis_tables import (
    CalibrationBin,
    Measure,
    NetBenefit,
    RunAnalysis,
)

PARTS = ("miscalibration", "discrimination", "uncertainty")
# What is of the samples of one class alone.
OF_CLASS = {"conformal/coverage_positive": 1, "conformal/coverage_negative": 0}

Weights = Int[np.ndarray, "resample sample"]
Numbers = Mapping[str, Float[np.ndarray, " resample"]]


@dataclass(frozen=True, eq=False)
class _Risks:
    """What is known of the scored samples, and what tuning samples say of them."""

    label: Int[np.ndarray, " sample"]
    probability: Float[np.ndarray, " sample"]
    whole: Float[np.ndarray, " sample"] | None
    recalibrated: Float[np.ndarray, " sample"] | None
    threshold: float | None


def risk_measures(
    one: SampleOutcomes, *, whole: SampleOutcomes | None, part: str | None
) -> RunAnalysis:
    """All that is told of predicted risks; nothing of tasks that predict none.

    Args:
        one: a run under a pattern.
        whole: the same samples with nothing hidden; None where there is no such.
        part: which one these samples are of, of a task of several.
    """
    if not {"label", "probability"} <= {*one.outcome.columns}:
        return RunAnalysis()
    risks, about = _risks(one, whole), {**one.about, "part": part}
    names = list(_numbers(np.ones((1, len(risks.label)), dtype=np.int64), risks))
    of_class = {name: risks.label == label for name, label in OF_CLASS.items()}
    # Of few people of one class nothing is told, nor of the other, from which it would follow.
    few = min(_people(one, cell) for cell in of_class.values()) < SMALLEST

    def numbers(weights: Weights, row: np.ndarray) -> Float[np.ndarray, "resample number"]:
        del row
        return np.stack([*_numbers(weights, risks).values()], axis=1)

    value, low, high = _resampled(numbers, one)
    rows = [
        Measure(
            **about,
            measure=name,
            value=float(value[place]),
            low=_known(low[place]),
            high=_known(high[place]),
            n_samples=int(of_class[name].sum()) if name in of_class else len(risks.label),
        )
        for place, name in enumerate(names)
        if not np.isnan(value[place]) and not (few and name in of_class)
    ]
    curves = _curve(one, about, risks.label, risks.probability, recalibrated=False)
    if risks.recalibrated is not None:
        curves += _curve(one, about, risks.label, risks.recalibrated, recalibrated=True)
    return RunAnalysis(measures=rows, calibration=curves, net_benefit=_decisions(one, about, risks))


def _risks(one: SampleOutcomes, whole: SampleOutcomes | None) -> _Risks:
    label, probability = one.outcome["label"].to_numpy(), one.outcome["probability"].to_numpy()
    mended = threshold = None
    if one.tuning is not None and len(one.tuning):
        tuned = one.tuning["label"].to_numpy(), one.tuning["probability"].to_numpy()
        threshold = conformal_threshold(*tuned)
        try:
            mended = recalibrate(*tuned, other=probability)
        except ValueError:  # tuning samples of one class, say: there is no such thing then
            mended = None
    full = None if whole is None else whole.outcome["probability"].to_numpy()
    return _Risks(label, probability, full, mended, threshold)


def _numbers(weights: Weights, risks: _Risks) -> Numbers:
    """Every number of the measures, for each row of weights."""
    label, probability = risks.label, risks.probability
    total = weights.sum(axis=1)

    def mean(values: np.ndarray) -> Float[np.ndarray, " resample"]:
        return weights @ values.astype(float) / total

    told = _calibration("calibration", weights, label, probability)
    parts = weighted_decomposition(weights, label, probability)
    told |= {f"calibration/{name}": parts[:, place] for place, name in enumerate(PARTS)}
    if risks.recalibrated is not None:
        told |= _calibration("recalibrated", weights, label, risks.recalibrated)
    if risks.threshold is not None:
        sets = prediction_sets(probability, threshold=risks.threshold)
        hit, size = covered(sets, label), sets.sum(axis=1)
        told |= {
            "conformal/coverage": mean(hit),
            "conformal/coverage_positive": _share(weights, hit, label == 1),
            "conformal/coverage_negative": _share(weights, hit, label == 0),
            "conformal/set_size": mean(size),
            "conformal/cannot_tell": mean(size == 2),
            "conformal/empty": mean(size == 0),
        }
    told |= {
        "high_confidence_errors/accuracy": mean(is_correct(label, probability)),
        "high_confidence_errors/confidence": mean(confidence(probability)),
    }
    if risks.whole is not None:
        falls = high_confidence_error_gap(label, probability, risks.whole)
        names = (
            "high_confidence_errors/accuracy_fall",
            "high_confidence_errors/confidence_fall",
            "high_confidence_errors/gap",
        )
        told |= {name: mean(falls[:, place]) for place, name in enumerate(names)}
    return told


def _calibration(
    prefix: str,
    weights: Weights,
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
) -> dict[str, Float[np.ndarray, " resample"]]:
    assert EXPECTED_CALIBRATION_ERROR.weighted is not None
    assert BRIER.weighted is not None
    both = slope_and_intercept(weights, label, probability)
    return {
        f"{prefix}/slope": both[:, 0],
        f"{prefix}/intercept": both[:, 1],
        f"{prefix}/observed_minus_predicted": calibration_in_the_large(weights, label, probability),
        f"{prefix}/expected_error": EXPECTED_CALIBRATION_ERROR.weighted(
            weights, label, probability
        ),
        f"{prefix}/brier": BRIER.weighted(weights, label, probability),
    }


def _share(weights: Weights, hit: np.ndarray, of: np.ndarray) -> Float[np.ndarray, " resample"]:
    held = weights @ of.astype(float)
    return np.divide(
        weights @ (hit & of).astype(float), held, out=np.full(len(weights), np.nan), where=held > 0
    )


def _curve(
    one: SampleOutcomes,
    about: Mapping[str, Any],
    label: Int[np.ndarray, " sample"],
    probability: Float[np.ndarray, " sample"],
    *,
    recalibrated: bool,
) -> list[CalibrationBin]:
    bins = curve_bins(probability)
    held = bins[:, None] == np.arange(bins.max() + 1)

    def observed(weights: Weights, row: np.ndarray) -> Float[np.ndarray, "resample bin"]:
        del row
        counts = weights @ held.astype(float)
        rate = weights @ (held * label[:, None]).astype(float)
        return np.divide(rate, counts, out=np.full_like(counts, np.nan), where=counts > 0)

    value, low, high = _resampled(observed, one)
    withheld = withheld_cells([*held.T], lambda cell: _people(one, cell))
    return [
        CalibrationBin(
            **about,
            recalibrated=recalibrated,
            bin=number,
            predicted=float(probability[bins == number].mean()) if told else None,
            observed=float(value[number]) if told else None,
            low=_known(low[number]) if told else None,
            high=_known(high[number]) if told else None,
            n_samples=int(held[:, number].sum()) if told else None,
        )
        for number in range(held.shape[1])
        for told in [number not in withheld]
    ]


def _people(one: SampleOutcomes, cell: Bool[np.ndarray, " sample"]) -> int:
    return len(np.unique(one.subjects[cell]))


def _decisions(one: SampleOutcomes, about: Mapping[str, Any], risks: _Risks) -> list[NetBenefit]:
    def benefits(weights: Weights, row: np.ndarray) -> Float[np.ndarray, "resample number"]:
        del row
        value = net_benefit(weights, risks.label, risks.probability)
        everyone = treat_all(weights, risks.label)
        return np.concatenate([value, everyone, value - np.maximum(everyone, 0)], axis=1)

    value, low, high = _resampled(benefits, one)
    several = len(THRESHOLDS)
    return [
        NetBenefit(
            **about,
            threshold=threshold,
            value=float(value[place]),
            low=float(low[place]),
            high=float(high[place]),
            treat_all=float(value[several + place]),
            gain=float(value[2 * several + place]),
            gain_low=float(low[2 * several + place]),
            gain_high=float(high[2 * several + place]),
            n_samples=len(risks.label),
        )
        for place, threshold in enumerate(THRESHOLDS)
    ]


def _resampled(numbers: Any, one: SampleOutcomes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values and ends of intervals; NaN where a number is undefined too often."""
    value = numbers(np.ones((1, len(one.rows)), dtype=np.int64), one.rows)[0]
    drawn = resample_metric(numbers, [one.rows], one.subjects, rng=one.rng)
    enough = np.isnan(drawn).mean(axis=0) <= UNDEFINED_SHARE
    ends = np.full((2, drawn.shape[1]), np.nan)
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    ends[:, enough] = np.nanquantile(drawn[:, enough], levels, axis=0)
    return value, ends[0], ends[1]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

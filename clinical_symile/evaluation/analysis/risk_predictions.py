"""Measure how reliable predicted risks are: calibration, net benefit, conformal sets."""

from collections.abc import Mapping
from contextlib import suppress
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
from clinical_symile.metrics.decision_curve import (
    THRESHOLDS,
    net_benefit,
    net_benefit_estimate,
    treat_all,
)
from clinical_symile.metrics.high_confidence_errors import (
    confidence,
    high_confidence_error_gap,
    is_correct,
)
from clinical_symile.metrics.small_cells import SMALLEST, withheld_cells
from clinical_symile.stats.bootstrap import LEVEL, UNDEFINED_SHARE, resample_metric
from clinical_symile.stats.estimate import Estimate, StudentEstimate, shift
from clinical_symile.stats.proportions import mean_estimate, paired_difference
from clinical_symile.tracking.analysis_tables import (
    CalibrationBin,
    Measure,
    NetBenefit,
    RunAnalysis,
)

_DECOMPOSITION = ("miscalibration", "discrimination", "uncertainty")
# Measures computed from the samples of one class, with that class.
_OF_CLASS = {"conformal/coverage_positive": 1, "conformal/coverage_negative": 0}

_Weights = Int[np.ndarray, "resample sample"]
_Values = Mapping[str, Float[np.ndarray, " resample"]]


@dataclass(frozen=True, eq=False)
class _Risks:
    """Predicted risks of the scored samples, with what the tuning samples add.

    Attributes:
        label: 1 where the outcome is positive, else 0.
        probability: the predicted risk.
        complete: the risk of the same samples under `complete`; None if unknown.
        recalibrated: the risk after recalibration on the tuning samples; None if impossible.
        threshold: the conformal threshold; None without tuning samples.
    """

    label: Int[np.ndarray, " sample"]
    probability: Float[np.ndarray, " sample"]
    complete: Float[np.ndarray, " sample"] | None
    recalibrated: Float[np.ndarray, " sample"] | None
    threshold: float | None


def risk_measures(
    one: SampleOutcomes, *, complete: SampleOutcomes | None, part: str | None
) -> RunAnalysis:
    """Compute calibration, net benefit, conformal and confidence measures of predicted risks.

    Args:
        one: the outcomes of a run under a pattern.
        complete: the outcomes of the same samples under `complete`; None if there are none.
        part: the part of a task of several parts; else None.

    Returns:
        The tables; empty for a task that predicts no risk.
    """
    if not {"label", "probability"} <= {*one.outcome.columns}:
        return RunAnalysis()
    risks, about = _risks(one, complete), {**one.about, "part": part}
    names = list(_measures(np.ones((1, len(risks.label)), dtype=np.int64), risks))
    of_class = {name: risks.label == label for name, label in _OF_CLASS.items()}
    # If a class has few subjects, neither class is reported: one would follow from the other.
    few = min(_subject_count(one, cell) for cell in of_class.values()) < SMALLEST

    def numbers(weights: _Weights, row: np.ndarray) -> Float[np.ndarray, "resample number"]:
        del row
        return np.stack([*_measures(weights, risks).values()], axis=1)

    value, low, high = _resampled(numbers, one)
    for name, (start, end) in _small_sample_ends(one, risks).items():
        low[names.index(name)], high[names.index(name)] = start, end
    rows = [
        Measure(
            **about,
            measure=name,
            value=float(value[place]),
            low=_or_none(low[place]),
            high=_or_none(high[place]),
            n_samples=int(of_class[name].sum()) if name in of_class else len(risks.label),
        )
        for place, name in enumerate(names)
        if not np.isnan(value[place]) and not (few and name in of_class)
    ]
    curves = _curve(one, about, risks.label, risks.probability, recalibrated=False)
    if risks.recalibrated is not None:
        curves += _curve(one, about, risks.label, risks.recalibrated, recalibrated=True)
    return RunAnalysis(
        measures=rows, calibration=curves, net_benefit=_net_benefit(one, about, risks)
    )


def _small_sample_ends(one: SampleOutcomes, risks: _Risks) -> dict[str, tuple[float, float]]:
    """Return the intervals of those measures whose subjects or events are few."""
    label, probability, subjects = risks.label, risks.probability, one.subjects
    everyone = np.ones(len(label), dtype=bool)
    means = {
        "calibration/brier": ((probability - label) ** 2, everyone),
        "high_confidence_errors/accuracy": (is_correct(label, probability), everyone),
        "high_confidence_errors/confidence": (confidence(probability), everyone),
    }
    if risks.threshold is not None:
        sets = prediction_sets(probability, threshold=risks.threshold)
        hit, size = covered(sets, label), sets.sum(axis=1)
        means |= {
            "conformal/coverage": (hit, everyone),
            "conformal/coverage_positive": (hit, label == 1),
            "conformal/coverage_negative": (hit, label == 0),
            "conformal/cannot_tell": (size == 2, everyone),
            "conformal/empty": (size == 0, everyone),
        }
    found: dict[str, Estimate | StudentEstimate] = {}
    for name, (values, which) in means.items():
        with suppress(ValueError):  # one subject only
            found[name] = mean_estimate(values[which].astype(float), subjects[which])
    with suppress(ValueError):
        prevalence = mean_estimate(label.astype(float), subjects)
        found["calibration/observed_minus_predicted"] = shift(prevalence, -probability.mean())
        if risks.recalibrated is not None:
            found["recalibrated/observed_minus_predicted"] = shift(
                prevalence, -risks.recalibrated.mean()
            )
    if risks.complete is not None:
        falls = high_confidence_error_gap(label, probability, risks.complete)
        for place, name in enumerate(("accuracy_fall", "confidence_fall", "gap")):
            with suppress(ValueError):  # no fall on any sample
                found[f"high_confidence_errors/{name}"] = paired_difference(
                    falls[:, place], subjects, reach=2.0 if name == "gap" else 1.0
                )
    intervals = {name: each.interval() for name, each in found.items() if each.is_preferred}
    return {name: (interval.low, interval.high) for name, interval in intervals.items()}


def _risks(one: SampleOutcomes, complete: SampleOutcomes | None) -> _Risks:
    label, probability = one.outcome["label"].to_numpy(), one.outcome["probability"].to_numpy()
    recalibrated = threshold = None
    if one.tuning is not None and len(one.tuning):
        tuned = one.tuning["label"].to_numpy(), one.tuning["probability"].to_numpy()
        threshold = conformal_threshold(*tuned, one.tuning["subject"].to_numpy())
        try:
            recalibrated = recalibrate(*tuned, other=probability)
        except ValueError:  # for example, all tuning samples are of one class
            recalibrated = None
    risk = None if complete is None else complete.outcome["probability"].to_numpy()
    return _Risks(label, probability, risk, recalibrated, threshold)


def _measures(weights: _Weights, risks: _Risks) -> _Values:
    """Compute every measure for each row of weights."""
    label, probability = risks.label, risks.probability
    total = weights.sum(axis=1)

    def mean(per_sample: np.ndarray) -> Float[np.ndarray, " resample"]:
        return weights @ per_sample.astype(float) / total

    values = _calibration("calibration", weights, label, probability)
    parts = weighted_decomposition(weights, label, probability)
    values |= {f"calibration/{name}": parts[:, place] for place, name in enumerate(_DECOMPOSITION)}
    if risks.recalibrated is not None:
        values |= _calibration("recalibrated", weights, label, risks.recalibrated)
    if risks.threshold is not None:
        sets = prediction_sets(probability, threshold=risks.threshold)
        hit, size = covered(sets, label), sets.sum(axis=1)
        values |= {
            "conformal/coverage": mean(hit),
            "conformal/coverage_positive": _share(weights, hit, label == 1),
            "conformal/coverage_negative": _share(weights, hit, label == 0),
            "conformal/set_size": mean(size),
            "conformal/cannot_tell": mean(size == 2),
            "conformal/empty": mean(size == 0),
        }
    values |= {
        "high_confidence_errors/accuracy": mean(is_correct(label, probability)),
        "high_confidence_errors/confidence": mean(confidence(probability)),
    }
    if risks.complete is not None:
        falls = high_confidence_error_gap(label, probability, risks.complete)
        names = (
            "high_confidence_errors/accuracy_fall",
            "high_confidence_errors/confidence_fall",
            "high_confidence_errors/gap",
        )
        values |= {name: mean(falls[:, place]) for place, name in enumerate(names)}
    return values


def _calibration(
    prefix: str,
    weights: _Weights,
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


def _share(weights: _Weights, hit: np.ndarray, of: np.ndarray) -> Float[np.ndarray, " resample"]:
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
    code = 2 * bins + label

    def observed(weights: _Weights, row: np.ndarray) -> Float[np.ndarray, "resample bin"]:
        del row
        several = held.shape[1]
        summed = np.stack([np.bincount(code, drawn, 2 * several) for drawn in weights])
        negative, rate = summed.reshape(len(weights), several, 2).transpose(2, 0, 1)
        counts = negative + rate
        return np.divide(rate, counts, out=np.full_like(counts, np.nan), where=counts > 0)

    value, low, high = _resampled(observed, one)
    for number in range(held.shape[1]):
        with suppress(ValueError):
            cell = held[:, number]
            own = mean_estimate(label[cell].astype(float), one.subjects[cell])
            if own.is_preferred:
                low[number], high[number] = own.interval()[1:3]
    withheld = withheld_cells([*held.T], lambda cell: _subject_count(one, cell))
    return [
        CalibrationBin(
            **about,
            recalibrated=recalibrated,
            bin=number,
            predicted=float(probability[bins == number].mean()) if is_reported else None,
            observed=float(value[number]) if is_reported else None,
            low=_or_none(low[number]) if is_reported else None,
            high=_or_none(high[number]) if is_reported else None,
            n_samples=int(held[:, number].sum()) if is_reported else None,
        )
        for number in range(held.shape[1])
        for is_reported in [number not in withheld]
    ]


def _subject_count(one: SampleOutcomes, cell: Bool[np.ndarray, " sample"]) -> int:
    return len(np.unique(one.subjects[cell]))


def _net_benefit(one: SampleOutcomes, about: Mapping[str, Any], risks: _Risks) -> list[NetBenefit]:
    def benefits(weights: _Weights, row: np.ndarray) -> Float[np.ndarray, "resample number"]:
        del row
        value = net_benefit(weights, risks.label, risks.probability)
        everyone = treat_all(weights, risks.label)
        return np.concatenate([value, everyone, value - np.maximum(everyone, 0)], axis=1)

    value, low, high = _resampled(benefits, one)
    several = len(THRESHOLDS)
    reasons: list[str | None] = [None] * several
    for place, threshold in enumerate(THRESHOLDS):
        ends = [(place, None), (2 * several + place, None)]
        try:
            both = net_benefit_estimate(
                risks.label, risks.probability, one.subjects, threshold=threshold
            )
            ends = [(at, own) for (at, _), own in zip(ends, both, strict=True)]
        except ValueError as error:  # too few above the threshold, or one subject only
            reasons[place] = str(error)
        for at, own in ends:
            if own is None:
                low[at] = high[at] = np.nan
            elif own.is_preferred:
                low[at], high[at] = own.interval()[1:3]
    return [
        NetBenefit(
            **about,
            threshold=threshold,
            value=float(value[place]),
            low=_or_none(low[place]),
            high=_or_none(high[place]),
            treat_all=float(value[several + place]),
            gain=float(value[2 * several + place]),
            gain_low=_or_none(low[2 * several + place]),
            gain_high=_or_none(high[2 * several + place]),
            no_interval=reasons[place],
            n_samples=len(risks.label),
        )
        for place, threshold in enumerate(THRESHOLDS)
    ]


def _resampled(numbers: Any, one: SampleOutcomes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values and interval ends; NaN where undefined too often, or without a width."""
    value = numbers(np.ones((1, len(one.rows)), dtype=np.int64), one.rows)[0]
    drawn = resample_metric(numbers, [one.rows], one.subjects, rng=one.rng)
    enough = np.isnan(drawn).mean(axis=0) <= UNDEFINED_SHARE
    ends = np.full((2, drawn.shape[1]), np.nan)
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    ends[:, enough] = np.nanquantile(drawn[:, enough], levels, axis=0)
    ends[:, ends[0] >= ends[1]] = np.nan  # without a width, resamples say nothing
    return value, ends[0], ends[1]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

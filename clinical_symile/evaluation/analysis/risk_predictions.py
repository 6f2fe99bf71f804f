"""Measure how reliable predicted risks are: calibration, net benefit, conformal sets."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from clinical_symile.evaluation.analysis.sample_outcomes import SampleOutcomes
from clinical_symile.metrics.calibration import (
    calibration_in_the_large,
    curve_bins,
    prepare_decomposition,
    prepare_slopes,
    recalibrate,
)
from clinical_symile.metrics.classification import (
    BRIER,
    EXPECTED_CALIBRATION_ERROR,
    calibration_error_by_chance,
)
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
from clinical_symile.stats.estimate import LEVEL, Estimate, shift
from clinical_symile.stats.proportions import mean_estimate, paired_difference
from clinical_symile.stats.required_subjects import lasting_columns
from clinical_symile.stats.resampling import resample_metric
from clinical_symile.tracking.analysis_tables import (
    CalibrationBin,
    Measure,
    NetBenefit,
    RunAnalysis,
)

_DECOMPOSITION = ("miscalibration", "discrimination", "uncertainty")
# Measures computed from the samples of one class, with that class.
_OF_CLASS = {"conformal/coverage_positive": 1, "conformal/coverage_negative": 0}

_Weights = Real[np.ndarray, "resample sample"]
_Values = Mapping[str, Float[np.ndarray, " resample"]]
# Maps weights to one or several numbers for each row.
_Numbers = Callable[[_Weights], Float[np.ndarray, "resample number"]]
# Values, and lower and upper ends of their intervals.
_Ends = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
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

    @cached_property
    def decomposition(self) -> _Numbers:
        return prepare_decomposition(self.label, self.probability)

    @cached_property
    def slopes(self) -> _Numbers:
        return prepare_slopes(self.label, self.probability)

    @cached_property
    def recalibrated_slopes(self) -> _Numbers:
        assert self.recalibrated is not None
        return prepare_slopes(self.label, self.recalibrated)


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
    names = list(_measures(np.ones((1, len(risks.label))), risks))
    of_class = {name: risks.label == label for name, label in _OF_CLASS.items()}
    # If a class has few subjects, neither class is reported: one would follow from the other.
    few = min(_subject_count(one, cell) for cell in of_class.values()) < SMALLEST

    def numbers(weights: _Weights) -> Float[np.ndarray, "resample number"]:
        return np.stack([*_measures(weights, risks).values()], axis=1)

    curves = [_Curve.of(risks.label, risks.probability, is_recalibrated=False)]
    if risks.recalibrated is not None:
        curves.append(_Curve.of(risks.label, risks.recalibrated, is_recalibrated=True))
    # All of them share one set of resamples.
    together = [numbers, partial(_benefits, risks=risks), *(curve.observed for curve in curves)]
    (value, low, high), benefits, *observed = _resampled(together, one)
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
    return RunAnalysis(
        measures=rows,
        calibration=[
            line
            for curve, ends in zip(curves, observed, strict=True)
            for line in _curve_bins(one, about, curve, ends)
        ],
        net_benefit=_net_benefit(one, about, risks, benefits),
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
    found: dict[str, Estimate] = {}
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
                    falls[:, place], subjects
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

    values = _calibration("calibration", weights, label, probability, risks.slopes)
    parts = risks.decomposition(weights)
    values |= {f"calibration/{name}": parts[:, place] for place, name in enumerate(_DECOMPOSITION)}
    if risks.recalibrated is not None:
        again = risks.recalibrated
        values |= _calibration("recalibrated", weights, label, again, risks.recalibrated_slopes)
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
    slopes: _Numbers,
) -> dict[str, Float[np.ndarray, " resample"]]:
    assert EXPECTED_CALIBRATION_ERROR.weighted is not None
    assert BRIER.weighted is not None
    both = slopes(weights)
    return {
        f"{prefix}/slope": both[:, 0],
        f"{prefix}/intercept": both[:, 1],
        f"{prefix}/observed_minus_predicted": calibration_in_the_large(weights, label, probability),
        f"{prefix}/expected_error": EXPECTED_CALIBRATION_ERROR.weighted(
            weights, label, probability
        ),
        f"{prefix}/expected_error_by_chance": calibration_error_by_chance(weights, probability),
        f"{prefix}/brier": BRIER.weighted(weights, label, probability),
    }


def _share(weights: _Weights, hit: np.ndarray, of: np.ndarray) -> Float[np.ndarray, " resample"]:
    held = weights @ of.astype(float)
    return np.divide(
        weights @ (hit & of).astype(float), held, out=np.full(len(weights), np.nan), where=held > 0
    )


@dataclass(frozen=True, eq=False, repr=False)
class _Curve:
    """A calibration curve.

    Attributes:
        label: 0 or 1.
        probability: predicted.
        is_recalibrated: whether they are recalibrated.
        bins: the bin of each sample.
    """

    label: Int[np.ndarray, " sample"]
    probability: Float[np.ndarray, " sample"]
    is_recalibrated: bool
    bins: Int[np.ndarray, " sample"]

    @classmethod
    def of(cls, label: np.ndarray, probability: np.ndarray, *, is_recalibrated: bool) -> "_Curve":
        return cls(label, probability, is_recalibrated, curve_bins(probability))

    def observed(self, weights: _Weights) -> Float[np.ndarray, "resample bin"]:
        """Return the observed frequency of each bin; NaN where it is empty."""
        several, code = self.bins.max() + 1, 2 * self.bins + self.label
        summed = np.stack([np.bincount(code, drawn, 2 * several) for drawn in weights])
        negative, rate = summed.reshape(len(weights), several, 2).transpose(2, 0, 1)
        counts = negative + rate
        return np.divide(rate, counts, out=np.full_like(counts, np.nan), where=counts > 0)


def _curve_bins(
    one: SampleOutcomes, about: Mapping[str, Any], curve: _Curve, ends: _Ends
) -> list[CalibrationBin]:
    label, probability, bins = curve.label, curve.probability, curve.bins
    held = bins[:, None] == np.arange(bins.max() + 1)
    value, low, high = ends
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
            recalibrated=curve.is_recalibrated,
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


def _benefits(weights: _Weights, risks: _Risks) -> Float[np.ndarray, "resample number"]:
    """Return net benefit, that of treating everyone, and the gain, each at every threshold."""
    value = net_benefit(weights, risks.label, risks.probability)
    everyone = treat_all(weights, risks.label)
    return np.concatenate([value, everyone, value - np.maximum(everyone, 0)], axis=1)


def _net_benefit(
    one: SampleOutcomes, about: Mapping[str, Any], risks: _Risks, resampled: _Ends
) -> list[NetBenefit]:
    value, low, high = resampled
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


def _resampled(several: Sequence[_Numbers], one: SampleOutcomes) -> list[_Ends]:
    """Return values and interval ends; NaN if undefined without two subjects, or without width."""

    def together(weights: _Weights, row: np.ndarray) -> Float[np.ndarray, "resample number"]:
        del row
        as_floats = weights.astype(np.float64)  # converted once for all; products are fast
        return np.concatenate([numbers(as_floats) for numbers in several], axis=1)

    whole = [numbers(np.ones((1, len(one.rows)))) for numbers in several]
    drawn = resample_metric(together, [one.rows], one.subjects, rng=one.rng)
    enough = lasting_columns(drawn, lambda rows: together(rows, one.rows), one.subjects)
    ends = np.full((2, drawn.shape[1]), np.nan)
    levels = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    ends[:, enough] = np.nanquantile(drawn[:, enough], levels, axis=0)
    ends[:, ends[0] >= ends[1]] = np.nan  # without a width, resamples say nothing
    stops = np.cumsum([each.shape[1] for each in whole])[:-1]
    lows, highs = np.split(ends[0], stops), np.split(ends[1], stops)
    return [(each[0], low, high) for each, low, high in zip(whole, lows, highs, strict=True)]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

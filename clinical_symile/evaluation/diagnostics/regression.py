"""Measure how well a number, such as an age, follows from embeddings.

Source: Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
Technometrics 12, 1970, https://doi.org/10.1080/00401706.1970.10488634.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Real
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from clinical_symile.data.side_information import kept_number
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs, DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.measures import ByWeights, joint_measure, sample_mean
from clinical_symile.evaluation.probes.base import EmbeddedSamples

_Values = Float[np.ndarray, " sample"]


class Regression:
    """A ridge regression of a number on the available embeddings, and on which are available.

    It learns from train samples whose number is known; the penalty with the least mean absolute
    error on tuning samples is used.

    Args:
        number: a kept column of the cohort with numbers.
        penalties: the penalties to choose from, for standardized embeddings.

    Raises:
        ValueError: there is no penalty, or one is not above 0.
    """

    display_name = "regression of a number"
    description = "How well a number, such as an age, follows from embeddings."
    source = "Hoerl and Kennard, 1970"
    measures: ClassVar[dict[str, str]] = {
        "correlation": "Correlation of the predicted with the true number; 0 by chance.",
        "mean_absolute_error": "Mean absolute error of the prediction, in units of the number.",
        "error_of_median": "The same where the train median is predicted for every sample.",
    }

    def __init__(
        self, *, number: str, penalties: Sequence[float] = (1.0, 10.0, 100.0, 1000.0, 10000.0)
    ):
        if not penalties or min(penalties) <= 0:
            raise ValueError(f"penalties are {list(penalties)}; expected numbers above 0.")
        self._number, self._penalties = number, penalties

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure the prediction from all modalities together; see `Diagnostic`."""
        samples = inputs.samples
        true = _numbers(inputs, samples, self._number)
        train, tuning = (inputs.of_split(split) for split in ("train", "tuning"))
        of_train, of_tuning = (
            _numbers(inputs, some, self._number, train=True) for some in (train, tuning)
        )
        known, tuned = ~np.isnan(of_train), ~np.isnan(of_tuning)
        if len(np.unique(of_train[known])) < 2 or not tuned.any():
            raise CannotScore(
                f"no regression of '{self._number}' can be fitted: the train split needs samples "
                "with two different numbers, and the tuning split at least one with a number.",
                code="CS-S008",
            )
        x, y = train.features()[known], of_train[known]
        fitted = [_fit(penalty, x, y) for penalty in self._penalties]
        wanted, seen = of_tuning[tuned], tuning.features()[tuned]
        errors = [np.abs(one.predict(seen) - wanted).mean() for one in fitted]
        predicted = fitted[int(np.argmin(errors))].predict(samples.features())
        used = ~np.isnan(true)
        return [
            joint_measure(
                "correlation",
                used,
                lambda at: _correlation(predicted[at], true[at]),
                low=-1.0,
                high=1.0,
                chance=0.0,
            ),
            _error("mean_absolute_error", predicted - true),
            _error("error_of_median", float(np.median(y)) - true),
        ]


def _numbers(
    inputs: DiagnosticInputs, samples: EmbeddedSamples, name: str, *, train: bool = False
) -> _Values:
    """Return the number of each sample; NaN where unknown.

    Raises:
        CannotScore: the cohort keeps no such column of numbers.
    """
    store = inputs.train_store if train else inputs.store
    numbers = kept_number(store, name)
    if numbers is None:
        raise CannotScore(
            f"cohort '{store.cohort}' keeps no column of numbers '{name}'. Name another one in "
            "diagnostic.number, or add it to `keep` of the cohort's file and prepare again.",
            code="CS-S008",
        )
    return numbers[samples.rows]


def _fit(penalty: float, x: Float[np.ndarray, "sample feature"], y: _Values) -> Pipeline:
    return make_pipeline(StandardScaler(), Ridge(alpha=penalty)).fit(x, y)


def _error(name: str, difference: _Values) -> DiagnosticMeasure:
    return sample_mean(name, np.abs(difference), low=0.0, high=np.inf, higher_is_better=False)


def _correlation(one: _Values, other: _Values) -> ByWeights:
    """Return the correlation of two numbers of samples; 0 where either is constant."""

    def form(weights: Real[np.ndarray, "resample sample"]) -> Float[np.ndarray, " resample"]:
        total = weights.sum(axis=1).astype(np.float64)
        share = np.divide(
            weights, total[:, None], where=total[:, None] > 0, out=np.zeros(weights.shape)
        )
        first, second = (values - (share @ values)[:, None] for values in (one, other))
        spread = np.sqrt((share * first**2).sum(axis=1) * (share * second**2).sum(axis=1))
        both = (share * first * second).sum(axis=1)
        return np.divide(both, spread, out=np.zeros(len(total)), where=spread > 0)

    return form

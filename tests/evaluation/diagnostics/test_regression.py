"""A number that is planted in embeddings is found, and one that is not is not."""

import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs
from clinical_symile.evaluation.diagnostics.regression import Regression
from tests.helpers.examined import examined, values

SAMPLES = 150
AGE = np.linspace(20, 80, SAMPLES)


def _planted(
    rng: np.random.Generator, *, strength: float, number: np.ndarray | None = AGE
) -> DiagnosticInputs:
    def drawn() -> np.ndarray:
        z = rng.normal(size=(SAMPLES, 2, 3))
        z[:, 0, 0] += strength * (AGE - 50) / 20
        return z

    table = {
        "diagnostic": {"name": "regression", "number": "age"},
        "metrics": ["correlation"],
        "primary": "correlation",
    }
    return examined(drawn(), train=drawn(), number=number, table=table)


def test_a_planted_number_is_predicted_better_than_by_its_median(rng) -> None:
    found = values(Regression(number="age"), _planted(rng, strength=6.0))
    assert found["correlation"] > 0.8
    assert found["mean_absolute_error"] < 0.6 * found["error_of_median"]
    assert found["error_of_median"] == pytest.approx(np.abs(AGE - np.median(AGE)).mean())


def test_a_number_that_is_independent_of_embeddings_is_at_chance(rng) -> None:
    found = values(Regression(number="age"), _planted(rng, strength=0.0))
    assert abs(found["correlation"]) < 3 / np.sqrt(SAMPLES)
    assert found["mean_absolute_error"] > 0.95 * found["error_of_median"]


def test_the_correlation_is_that_of_numpy_and_unknown_numbers_take_no_part(rng) -> None:
    number = AGE.copy()
    number[::3] = np.nan
    inputs = _planted(rng, strength=2.0, number=number)
    correlation, error, _ = Regression(number="age").measure(inputs)
    absolute = error.columns["mean_absolute_error"]
    assert np.isnan(absolute[::3]).all()
    assert np.isfinite(absolute).sum() == SAMPLES - len(number[::3])
    weighted = correlation.metric.weighted
    assert weighted is not None
    counts = rng.integers(0, 3, SAMPLES).astype(float)
    place = correlation.columns["correlation"]
    found = weighted(np.stack([np.ones(SAMPLES), counts]), place)
    repeated = np.where(counts > 0, counts, 0).astype(int)
    whole = correlation.metric.compute(place)
    assert found[0] == pytest.approx(whole)
    assert found[1] == pytest.approx(correlation.metric.compute(np.repeat(place, repeated)))
    assert -1 <= found[1] <= 1


def test_a_cohort_without_the_number_or_with_one_number_cannot_be_scored(rng) -> None:
    with pytest.raises(CannotScore, match="keeps no column of numbers 'age'"):
        values(Regression(number="age"), _planted(rng, strength=1.0, number=None))
    names = np.array(["old"] * SAMPLES)
    with pytest.raises(CannotScore, match="keeps no column of numbers 'age'"):
        values(Regression(number="age"), _planted(rng, strength=1.0, number=names))
    with pytest.raises(CannotScore, match="no regression of 'age' can be fitted"):
        values(Regression(number="age"), _planted(rng, strength=1.0, number=0 * AGE + 50))
    with pytest.raises(ValueError, match=r"penalties are \[0\.0\]; expected numbers above 0"):
        Regression(number="age", penalties=[0.0])

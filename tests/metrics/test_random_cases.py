"""Every metric on a thousand random cases: a reference, and the form for many resamples."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from clinical_symile.metrics.base import Metric
from clinical_symile.metrics.retrieval import expected_ranks
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import CLASSIFICATION_METRICS, RETRIEVAL_METRICS

FEW_CASES, CASES = 200, 1000


def recall_in_loops(scores: np.ndarray, positive: np.ndarray, k: int) -> float:
    """The share of places within the first k, of all places that the right one may take."""
    total = 0.0
    for row, right in zip(scores.tolist(), positive.tolist(), strict=True):
        places = places_of(row, right)
        total += sum(place <= k for place in places) / len(places)
    return total / len(scores)


def reciprocal_rank_in_loops(scores: np.ndarray, positive: np.ndarray) -> float:
    total = 0.0
    for row, right in zip(scores.tolist(), positive.tolist(), strict=True):
        places = places_of(row, right)
        total += sum(1 / place for place in places) / len(places)
    return total / len(scores)


def discounted_gain_in_loops(scores: np.ndarray, positive: np.ndarray) -> float:
    total = 0.0
    for row, right in zip(scores.tolist(), positive.tolist(), strict=True):
        places = places_of(row, right)
        total += sum(1 / math.log2(1 + place) for place in places if place <= 10) / len(places)
    return total / len(scores)


def median_rank_in_loops(scores: np.ndarray, positive: np.ndarray) -> float:
    """The median of all places, those of a query that ties counting as one query together."""
    places = [places_of(row, right) for row, right in zip(scores.tolist(), positive, strict=True)]
    times = np.lcm.reduce([len(several) for several in places])
    every = [place for several in places for place in several * (times // len(several))]
    return float(np.median(every))


def auc_per_query_in_loops(scores: np.ndarray, positive: np.ndarray) -> float:
    total = 0.0
    for row, right in zip(scores.tolist(), positive.tolist(), strict=True):
        wrong = [score for place, score in enumerate(row) if place != right]
        won = sum((row[right] > score) + (row[right] == score) / 2 for score in wrong)
        total += won / len(wrong)
    return total / len(scores)


def places_of(scores: list[float], right: int) -> list[int]:
    first = 1 + sum(score > scores[right] for score in scores)
    return list(range(first, first + sum(score == scores[right] for score in scores)))


def aurc_in_loops(label: np.ndarray, probability: np.ndarray) -> float:
    """The mean risk over all coverages; what is answered at random is answered in expectation."""
    pairs = [
        (max(p, 1 - p), abs(y - (p > 0.5) - (p == 0.5) / 2))
        for y, p in zip(label, probability, strict=True)
    ]
    total = 0.0
    for answered in range(1, len(pairs) + 1):
        least = sorted((sure for sure, _ in pairs), reverse=True)[answered - 1]
        above = [wrong for sure, wrong in pairs if sure > least]
        level = [wrong for sure, wrong in pairs if sure == least]
        errors = sum(above) + (answered - len(above)) * sum(level) / len(level)
        total += errors / answered
    return total / len(pairs)


def calibration_error_in_loops(label: np.ndarray, probability: np.ndarray) -> float:
    total = 0.0
    for number in range(10):
        held = [
            (y, p)
            for y, p in zip(label.tolist(), probability.tolist(), strict=True)
            if min(int(p * 10), 9) == number
        ]
        if held:
            observed = sum(y for y, _ in held) / len(held)
            predicted = sum(p for _, p in held) / len(held)
            total += abs(observed - predicted) * len(held) / len(label)
    return total


RETRIEVAL_REFERENCES: dict[str, Callable[..., float]] = {
    "recall_at_1": lambda scores, positive: recall_in_loops(scores, positive, 1),
    "recall_at_5": lambda scores, positive: recall_in_loops(scores, positive, 5),
    "recall_at_10": lambda scores, positive: recall_in_loops(scores, positive, 10),
    "mean_reciprocal_rank": reciprocal_rank_in_loops,
    "ndcg_at_10": discounted_gain_in_loops,
    "median_rank": median_rank_in_loops,
    "auc_per_query": auc_per_query_in_loops,
}
# Not of ranks: it has 1,000 cases of its own in tests/test_separation.py.
OF_SCORES = {"auc_over_scores"}
CLASSIFICATION_REFERENCES: dict[str, Callable[..., float]] = {
    "aurc": aurc_in_loops,
    "auroc": roc_auc_score,
    "auprc": average_precision_score,
    "brier": brier_score_loss,
    "expected_calibration_error": calibration_error_in_loops,
}
NO_MEANS = ("aurc", "auroc", "auprc", "expected_calibration_error", "median_rank")
ONE_CLASS_IS_ENOUGH = ("aurc", "brier", "expected_calibration_error")


def retrieval_case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """From one query of one candidate up; scores of few values tie, and some are constant."""
    shape = (int(rng.integers(1, 9)), int(rng.integers(1, 14)))
    values = int(rng.integers(1, 12))
    return rng.integers(values, size=shape) / values, rng.integers(shape[1], size=shape[0])


def classification_case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """From one sample up; probabilities of few values tie, and 0 and 1 are among them."""
    n, values = int(rng.integers(1, 40)), int(rng.integers(1, 25))
    label = (rng.random(n) < rng.random()).astype(int)
    return label, rng.integers(values + 1, size=n) / values


def arrays_of(metric: Metric, scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, ...]:
    above, tied = expected_ranks(scores, positive)
    columns = {"above": above, "tied": tied, "candidates": np.full(len(scores), scores.shape[1])}
    return tuple(columns[name] for name in metric.columns)


def test_every_metric_has_a_reference():
    assert set(RETRIEVAL_REFERENCES) | OF_SCORES == set(RETRIEVAL_METRICS)
    assert set(CLASSIFICATION_REFERENCES) == set(CLASSIFICATION_METRICS)


@pytest.fixture(params=[FEW_CASES, pytest.param(CASES, marks=pytest.mark.slow)])
def cases(request: pytest.FixtureRequest) -> int:
    """The number of random cases: some, and many where a test may take longer."""
    return request.param


def metric_of(name: str) -> Metric:
    names = RETRIEVAL_METRICS if name in RETRIEVAL_METRICS else CLASSIFICATION_METRICS
    return resolve(name, names)


@pytest.mark.parametrize("name", sorted(RETRIEVAL_REFERENCES))
def test_a_retrieval_metric_is_its_definition_in_loops(
    name: str, cases: int, rng: np.random.Generator
):
    for _ in range(cases):
        scores, positive = retrieval_case(rng)
        arrays = arrays_of(metric_of(name), scores, positive)
        if name == "auc_per_query" and scores.shape[1] == 1:
            with pytest.raises(ValueError, match="have no wrong candidate"):
                metric_of(name).compute(*arrays)
            continue
        expected = RETRIEVAL_REFERENCES[name](scores, positive)
        assert metric_of(name).compute(*arrays) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(CLASSIFICATION_REFERENCES))
def test_a_classification_metric_is_that_of_scikit_learn_or_of_loops(
    name: str, cases: int, rng: np.random.Generator
):
    available = {"refused": 0, "one sample": 0, "tied": 0}
    for _ in range(cases):
        label, probability = classification_case(rng)
        available["one sample"] += len(label) == 1
        available["tied"] += len(np.unique(probability)) < len(probability)
        if name not in ONE_CLASS_IS_ENOUGH and len(set(label.tolist())) < 2:
            available["refused"] += 1
            with pytest.raises(ValueError, match="needs both classes"):
                metric_of(name).compute(label, probability)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn on one class
            expected = CLASSIFICATION_REFERENCES[name](label, probability)
        assert metric_of(name).compute(label, probability) == pytest.approx(expected, abs=1e-12)
    assert available["one sample"]
    assert available["tied"]
    assert bool(available["refused"]) == (name not in ONE_CLASS_IS_ENOUGH)


@pytest.mark.parametrize("name", sorted(RETRIEVAL_REFERENCES | CLASSIFICATION_REFERENCES))
def test_the_form_for_many_resamples_is_the_metric_of_each(
    name: str, cases: int, rng: np.random.Generator
):
    metric = metric_of(name)
    if metric.weighted is None:
        assert name == "median_rank"
        return
    for _ in range(cases):
        if name in RETRIEVAL_METRICS:
            scores, positive = retrieval_case(rng)
            scores = np.column_stack([scores, scores[:, 0]])  # some wrong candidate
            arrays = arrays_of(metric, scores, positive)
        else:
            arrays = classification_case(rng)
        weights = rng.integers(3, size=(4, len(arrays[0])))
        weights[0] = 1
        weights[weights.sum(axis=1) == 0] = 1
        found = metric.weighted(weights, *arrays)
        for value, row in zip(found, weights, strict=True):
            drawn = np.repeat(np.arange(len(row)), row)
            try:
                expected = metric.compute(*(array[drawn] for array in arrays))
            except ValueError:
                expected = np.nan
            assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", sorted(RETRIEVAL_REFERENCES | CLASSIFICATION_REFERENCES))
def test_a_metric_that_gives_each_sample_a_value_is_their_mean(name, rng):
    metric = metric_of(name)
    assert (metric.each is None) == (name in NO_MEANS)
    if metric.each is not None:
        if name in RETRIEVAL_METRICS:
            scores, positive = retrieval_case(rng)
            arrays = arrays_of(metric, np.column_stack([scores, scores[:, 0]]), positive)
        else:
            arrays = classification_case(rng)
        assert metric.each(*arrays).mean() == pytest.approx(metric.compute(*arrays), abs=1e-12)


def test_nan_is_refused_before_any_metric_sees_it(cases: int, rng: np.random.Generator):
    for _ in range(cases):
        scores, positive = retrieval_case(rng)
        scores[rng.integers(len(scores)), rng.integers(scores.shape[1])] = np.nan
        with pytest.raises(ValueError, match="have a NaN score"):
            expected_ranks(scores, positive)
        label, probability = classification_case(rng)
        probability[rng.integers(len(label))] = np.nan
        for name in CLASSIFICATION_REFERENCES:
            with pytest.raises(ValueError, match="or NaN; expected predicted probabilities"):
                metric_of(name).compute(label, probability)


@pytest.mark.parametrize("name", sorted(CLASSIFICATION_REFERENCES))
def test_a_classification_metric_refuses_nan(name: str, cases: int, rng: np.random.Generator):
    for _ in range(cases):
        label, probability = classification_case(rng)
        probability[rng.integers(len(probability))] = np.nan
        with pytest.raises(ValueError, match="probabilities outside 0 … 1 or NaN"):
            metric_of(name).compute(label, probability)

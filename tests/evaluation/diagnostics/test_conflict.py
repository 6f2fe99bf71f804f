"""Whom a model follows when a modality is another subject's."""

import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.conflict import Conflict, whom_followed
from tests.helpers.examined import value_of, values
from tests.helpers.predicted import planted

METRICS = ("follows_exchanged", "follows_others", "follows_neither")


def test_the_nearer_prediction_is_followed_and_the_middle_or_far_out_follows_neither() -> None:
    mixed = np.array([0.9, 0.1, 0.5, 1.4, 1.6, -0.6, 2.0])
    exchanged = np.array([1.0, 1, 1, 1, 1, 1, 2.0])
    others = np.array([0.0, 0, 0, 0, 0, 0, 2.0])
    found = whom_followed(mixed, exchanged, others)
    assert found.argmax(axis=1).tolist() == [0, 1, 2, 0, 2, 2, 2]
    np.testing.assert_array_equal(found.sum(axis=1), 1)


def test_rates_sum_to_1_for_each_exchanged_modality(rng: np.random.Generator) -> None:
    found = values(Conflict(), planted("conflict", (2.0, 1.0, 0.5), rng, metrics=METRICS))
    for part in ("", "/a", "/b", "/c"):
        assert sum(found[f"{name}{part}"] for name in METRICS) == pytest.approx(1, abs=1e-12)


def test_a_model_follows_the_modality_that_it_reads(rng: np.random.Generator) -> None:
    found = values(Conflict(), planted("conflict", (9.0, 0.0, 0.0), rng, metrics=METRICS))
    assert found["follows_exchanged/a"] > 0.9
    assert found["follows_others/b"] > 0.9
    assert found["follows_others/c"] > 0.9


def test_the_exchanged_modality_is_of_another_subject_with_the_other_outcome(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = planted("conflict", (1.0, 1.0, 1.0), rng, metrics=METRICS)
    seen = []
    original = type(inputs).risk

    def noted(self, available, *, pattern, predictor=None):
        if predictor is not None:
            seen.append(predictor.embeddings.z.numpy())
            assert predictor.source() is inputs.model
        return original(self, available, pattern=pattern, predictor=predictor)

    monkeypatch.setattr(type(inputs), "risk", noted)
    Conflict().measure(inputs)
    before, rows = inputs.model.embeddings.z.numpy(), inputs.request.rows
    outcome = inputs.store.outcome("event")
    for column, after in enumerate(seen):
        others = [place for place in range(3) if place != column]
        np.testing.assert_array_equal(after[:, others], before[:, others])
        np.testing.assert_array_equal(after[: rows[0]], before[: rows[0]])
        for row in rows:
            (donor,) = np.flatnonzero((before[:, column] == after[row, column]).all(axis=1))
            assert donor in rows
            assert outcome[donor] == 1 - outcome[row]


def test_a_draw_depends_on_the_sample_alone(rng: np.random.Generator) -> None:
    inputs = planted("conflict", (1.0, 1.0, 1.0), rng, metrics=METRICS)
    order = rng.permutation(len(inputs.request.rows))
    shuffled = type(inputs)(inputs.request.take(order), inputs.predictor, inputs.store)
    for one, other in zip(Conflict().measure(inputs), Conflict().measure(shuffled), strict=True):
        assert value_of(one) == value_of(other)
        name = one.metric.columns[0]
        np.testing.assert_array_equal(one.columns[name][order], other.columns[name])


def test_without_the_other_outcome_there_is_nothing_to_exchange(rng: np.random.Generator) -> None:
    inputs = planted("conflict", (1.0, 1.0, 1.0), rng, metrics=METRICS)
    inputs.store.samples.loc[inputs.request.rows, "outcome_event"] = 0.0
    with pytest.raises(CannotScore, match="a subject with the other outcome"):
        Conflict().measure(inputs)

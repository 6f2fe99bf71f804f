"""Neighbours, recall within a modality and blind pairs: known values and what must hold."""

import numpy as np
import pytest

from clinical_symile.evaluation.diagnostics.structure import (
    Structure,
    blind_pairs,
    neighbours_shared,
)
from tests.helpers.examined import examined, fixture_f, values

TABLE = {
    "outcome": "event",
    "metrics": ["blind"],
    "primary": "blind",
    "diagnostic": {"name": "structure", "k": 1, "close": 0.95, "far": 0.6},
}
EVENT = np.array([0, 1, 0, 1])


def _found(z: np.ndarray, *, k: int = 1, **about) -> dict[str, float]:
    inputs = examined(z, table=TABLE, outcome=EVENT, **about)
    return values(Structure(k=k, close=0.95, far=0.6), inputs)


def _shared(one: np.ndarray, other: np.ndarray, k: int) -> float:
    return float(neighbours_shared(one, other, np.arange(len(one)), k=k).mean())


@pytest.mark.parametrize(("k", "value"), [(1, 0.25), (2, 0.5)])
def test_shared_neighbours_have_their_known_values(k: int, value: float) -> None:
    assert _found(fixture_f(), k=k)["shared_neighbours/a-b"] == pytest.approx(value, abs=1e-10)


def test_a_space_shares_all_neighbours_with_itself_and_its_rotation_and_not_with_a_part_of_itself(
    rng: np.random.Generator,
) -> None:
    z = rng.normal(size=(60, 8))
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert _shared(z, z, 10) == 1
    assert _shared(z, z @ rotation, 10) == 1
    assert _shared(z, z @ rotation + 3, 10) == 1
    assert _shared(z, z @ np.diag([1.0, 1, 0, 0, 0, 0, 0, 0]), 10) < 0.9


def test_neighbours_are_of_other_subjects() -> None:
    one = np.array([[0.0], [0.1], [1.0], [5.0]])
    other = np.array([[0.0], [0.1], [9.0], [1.0]])
    alone = neighbours_shared(one, other, np.arange(4), k=1)
    assert alone.tolist() == [1, 1, 0, 0]
    together = neighbours_shared(one, other, np.array([0, 0, 1, 2]), k=1)
    # Without its twin, the first has the third nearest in one space and the fourth in the other.
    assert together.tolist() == [0, 0, 0, 0]
    assert np.isnan(neighbours_shared(one, other, np.zeros(4), k=1)).all()


def test_recall_within_and_between_modalities_is_that_of_a_loop() -> None:
    z, names = fixture_f(), "abc"
    found = _found(z)
    for a in range(3):
        for b in range(3):
            hits = []
            for i in range(4):
                cosine = {j: z[i, a] @ z[j, b] for j in range(4) if j != i}
                best = [j for j, value in cosine.items() if value == max(cosine.values())]
                hits.append(np.mean([EVENT[j] == EVENT[i] for j in best]))
            name = f"within/{names[a]}" if a == b else f"between/{names[b]}_given_{names[a]}"
            assert found[f"recall_at_1_{name}"] == pytest.approx(np.mean(hits), abs=1e-12)


def test_a_constant_model_has_the_chance_level_of_recall() -> None:
    z = np.ones((4, 3, 3)) / np.sqrt(3)
    inputs = examined(z, table=TABLE, outcome=EVENT)
    made = Structure(k=1, close=0.95, far=0.6).measure(inputs)
    for one in made:
        if one.metric.name.startswith("recall_at_1"):
            assert one.metric.chance is not None
            value = one.metric.compute(*(one.columns[name] for name in one.metric.columns))
            assert value == one.metric.chance(None) == pytest.approx(1 / 3)


def test_samples_without_a_label_take_no_part_in_recall() -> None:
    outcome = np.array([0, np.nan, 0, 1])
    inputs = examined(fixture_f(), table=TABLE, outcome=outcome)
    made = {one.metric.name: one for one in Structure(k=1, close=0.95, far=0.6).measure(inputs)}
    column = made["recall_at_1_within/a"].columns["recall_at_1_within/a"]
    assert np.isnan(column).tolist() == [False, True, False, False]


def test_there_are_no_blind_pairs_of_a_space_with_itself(rng: np.random.Generator) -> None:
    z = rng.normal(size=(30, 3))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    assert not blind_pairs(z, z, np.arange(30), close=0.95, far=0.6).any()


def test_a_pair_that_one_modality_does_not_tell_apart_is_named() -> None:
    angle = np.array([[0, 0], [0.01, 2], [1.5, 0.1], [3, 3]])
    z = np.stack([np.cos(angle), np.sin(angle)], axis=2)
    inputs = examined(z, table=TABLE, outcome=EVENT)
    made = {one.metric.name: one for one in Structure(k=1, close=0.95, far=0.6).measure(inputs)}
    one = made["blind/a_close_b_far"]
    assert one.columns["blind/a_close_b_far"].tolist() == [1, 1, 0, 0]
    rows = inputs.request.rows
    partner = one.columns["partner/a_close_b_far"]
    assert partner[:2].tolist() == [rows[1], rows[0]]
    assert np.isnan(partner[2:]).all()
    assert values(Structure(k=1, close=0.95, far=0.6), inputs)["blind/b_close_a_far"] == 0.5


@pytest.mark.parametrize("wrong", [{"k": 0}, {"close": 0.5}, {"far": -2.0}])
def test_arguments_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected k of 1 or more"):
        Structure(**{"k": 1, "close": 0.9, "far": 0.6, **wrong})  # pyright: ignore[reportArgumentType]

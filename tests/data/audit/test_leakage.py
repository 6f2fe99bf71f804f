"""Columns and masks that give an outcome away are found; honest ones are not accused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.audit.leakage import (
    FEWEST,
    Leak,
    availability_leaks,
    label_leaks,
    unchecked_outcomes,
)
from clinical_symile.data.store import CohortStore

SAMPLES = 400
MakeStore = Callable[..., CohortStore]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """A function of labels and a panel of two columns; half are train, half held out."""

    def make(label: np.ndarray, panel: np.ndarray, present: np.ndarray | None = None):
        n = len(label)
        np.save(tmp_path / "labs.npy", panel.astype(np.float32))
        table = {
            "sample": np.arange(n),
            "subject": np.arange(n),
            "split": np.where(np.arange(n) % 2, "train", "held_out"),
            "outcome_died": label.astype(float),
        }
        about = {"labs": {"parts": ["lactate", "sodium"], "shape": [2]}}
        there = np.ones((n, 1), dtype=bool) if present is None else present
        manifest = {"cohort": "made", "modalities": about}
        return CohortStore(tmp_path, manifest, pd.DataFrame(table), ("labs",), there, None)

    return make


@pytest.fixture
def label(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 2, SAMPLES)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_that_is_the_outcome_is_a_certain_leak_in_either_direction(
    sign: int, make_store: MakeStore, label: np.ndarray, rng: np.random.Generator
):
    panel = np.stack([sign * label + 0.01 * rng.random(SAMPLES), rng.normal(size=SAMPLES)], axis=1)
    (leak,) = label_leaks(make_store(label, panel))
    assert (leak.outcome, leak.column, leak.samples) == ("died", "labs lactate", SAMPLES // 2)
    assert leak.auroc == 1
    assert leak.certain


def test_a_strong_but_plausible_column_is_suspicious_and_not_certain():
    assert not Leak("died", "labs lactate", auroc=0.96, low=0.94, high=0.98, samples=200).certain
    assert not Leak("died", "labs lactate", auroc=0.99, low=0.94, high=1.0, samples=30).certain
    assert Leak("died", "labs lactate", auroc=0.99, low=0.96, high=1.0, samples=200).certain


def test_columns_without_the_outcome_are_not_accused(
    make_store: MakeStore, label: np.ndarray, rng: np.random.Generator
):
    panel = rng.normal(size=(SAMPLES, 2)) + label[:, None]
    assert list(label_leaks(make_store(label, panel))) == []


def test_with_too_few_of_a_class_an_outcome_is_named_as_unchecked(
    make_store: MakeStore, label: np.ndarray
):
    panel = np.zeros((SAMPLES, 2))
    rare = np.zeros(SAMPLES)
    rare[1 : 2 * (FEWEST - 1) : 2] = 1
    assert rare[1::2].sum() == FEWEST - 1
    assert unchecked_outcomes(make_store(rare, panel)) == ["died"]
    assert list(label_leaks(make_store(rare, np.stack([rare, rare], axis=1)))) == []
    assert unchecked_outcomes(make_store(label, panel)) == []


def test_an_outcome_that_decides_what_is_measured_is_predicted_from_the_mask(
    make_store: MakeStore, label: np.ndarray, rng: np.random.Generator
):
    panel = rng.normal(size=(SAMPLES, 2))
    panel[label == 1, 1] = np.nan
    (found,) = availability_leaks(make_store(label, panel))
    assert found.of == "the availability of values of labs"
    assert found.split == "held_out"
    assert found.interval is not None
    assert found.interval.value == 1


def test_values_missing_at_random_do_not_predict_the_outcome(
    make_store: MakeStore, label: np.ndarray, rng: np.random.Generator
):
    panel = rng.normal(size=(SAMPLES, 2))
    panel[rng.random(panel.shape) < 0.3] = np.nan
    (found,) = availability_leaks(make_store(label, panel))
    assert found.interval is not None
    assert found.interval.low < 0.5 < found.interval.high


def test_a_mask_without_a_missing_value_is_left_out_and_few_labels_are_a_reason(
    make_store: MakeStore, label: np.ndarray, rng: np.random.Generator
):
    store = make_store(label, rng.normal(size=(SAMPLES, 2)))
    assert list(availability_leaks(store)) == []
    present = np.ones((SAMPLES, 1), dtype=bool)
    present[:9] = False
    few = replace(store, present=present, samples=store.samples.assign(outcome_died=0.0))
    for found in availability_leaks(few):
        assert found.interval is None
        assert f"fewer than {FEWEST} samples of a class" in found.why

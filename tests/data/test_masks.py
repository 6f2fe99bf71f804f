"""Masks on a store of ten thousand samples whose three modalities are small panels of values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import root_scalar
from scipy.special import expit

from clinical_symile.data.masks import Mask
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.analysis.mask_predictability import mask_auroc
from clinical_symile.missingness.mechanisms import SLOPE
from clinical_symile.missingness.patterns import parse_pattern
from tests.helpers.panels import MODALITIES, SAMPLES

RANDOM = ["mcar-10", "mcar-50", "mar-age-30", "mar-ward-30", "mnar-30", "mnar-50", "mnar-died-30"]


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("modalities", [MODALITIES, ("ecg", "labs")])
def test_every_modality_reaches_its_rate_within_half_a_point(name, modalities, draw):
    mask = draw(name, modalities=modalities)
    assert len(mask.rows) == 10_000
    assert list(mask.hidden_rate) == list(modalities)
    rate = parse_pattern(name).rate
    assert np.array(list(mask.hidden_rate.values())) == pytest.approx(rate, abs=0.0001)


def test_a_mask_has_rates_a_correlation_or_a_rule_as_its_pattern_says(draw):
    own = draw("mcar-ecg-50-labs-20")
    assert own.hidden_rate == pytest.approx({"cxr": 0, "ecg": 0.5, "labs": 0.2})
    correlated = draw("mcar-50-corr-60").statistics
    assert all(value == pytest.approx(0.6, abs=0.02) for value in correlated.correlation.values())
    kept = draw("mcar-50@at-least-one", modalities=("ecg", "labs"))
    assert kept.statistics.empty_share == 0
    assert np.array(list(kept.hidden_rate.values())) == pytest.approx(0.5, abs=0.005)
    with pytest.raises(CannotScore, match=r"'mar-age-50@at-least-one': a slope of 1\.5 cannot be"):
        draw("mar-age-50@at-least-one", modalities=("ecg", "labs"))


@pytest.mark.parametrize("name", ["mar-age-30", "mnar-30", "mnar-died-30"])
def test_a_mask_that_depends_on_something_has_the_documented_slope(name, draw):
    for slope in draw(name).statistics.slope.values():
        assert slope == pytest.approx(SLOPE, rel=0.1)


def _related(mask: Mask, store: CohortStore, column: int) -> tuple[float, float]:
    """How hiding a modality goes with its severity: at large, and among people of one age."""
    gone = pd.Series(~mask.available[:, column], dtype=float)
    value = pd.Series(np.asarray(store.array(MODALITIES[column]))[mask.rows].mean(axis=1))
    rank = store.samples["kept_age"].iloc[mask.rows].rank().to_numpy()
    age = rank // 100
    within = [one - one.groupby(age).transform("mean") for one in (gone, value)]
    return float(gone.corr(value)), float(within[0].corr(within[1]))


@pytest.mark.parametrize("column", range(3))
def test_missing_at_random_is_independent_of_the_value_given_the_covariate(column, draw, panels):
    # The standard error of a correlation over 10,000 samples is 0.01.
    for name, at_large, given in (
        ("mcar-30", False, False),
        ("mar-age-30", True, False),
        ("mnar-30", True, True),
    ):
        marginal, partial = _related(draw(name), panels, column)
        assert (marginal > 0.1) is at_large, name
        assert (partial > 0.1) is given, name
        assert given or abs(partial) < 0.035, name
        assert at_large or abs(marginal) < 0.035, name


def test_the_mask_alone_finds_nothing_by_chance_and_what_it_should_given_the_outcome(panels):
    # Each of two modalities is hidden with p(y) = expit(a + SLOPE · x(y)), independently, so that
    # the mask shows the number of hidden modalities: 2 coins with p(y).
    label = panels.outcome("died")[panels.rows("held_out")]
    share = label.mean()
    x = (np.array([0.0, 1.0]) - share) / np.sqrt(share * (1 - share))
    weights = np.array([1 - share, share])

    a = root_scalar(lambda a: weights @ expit(a + SLOPE * x) - 0.3, bracket=(-9, 9)).root
    p = expit(a + SLOPE * x)
    coins = np.stack([(1 - p) ** 2, 2 * p * (1 - p), p**2])  # [number hidden, label]
    above = sum(coins[i, 1] * coins[j, 0] for i in range(3) for j in range(i))
    expected = {"mcar-30": 0.5, "mnar-died-30": above + (coins[:, 0] @ coins[:, 1]) / 2}
    for name, value in expected.items():
        found = mask_auroc(
            parse_pattern(name),
            panels,
            outcome="died",
            split="held_out",
            modalities=("ecg", "labs"),
            seed=0,
        )
        assert found.value == pytest.approx(value, abs=0.02), name
        assert found.low < value < found.high, name
    assert expected["mnar-died-30"] > 0.6


def _shuffled(store: CohortStore, order: np.ndarray, folder: Path) -> CohortStore:
    for name in store.modalities:
        np.save(folder / f"{name}.npy", np.asarray(store.array(name))[order])
    samples = store.samples.iloc[order].reset_index(drop=True)
    return replace(store, path=folder, samples=samples, present=store.present[order])


@pytest.mark.parametrize("name", ["mcar-30", "mar-age-30", "mnar-30", "mnar-died-30", "site-ward"])
def test_neither_mask_nor_digest_depends_on_the_order_of_rows(name, draw, panels, rng, tmp_path):
    other = draw(name, store=_shuffled(panels, rng.permutation(SAMPLES), tmp_path))
    assert other.digest == draw(name).digest
    assert other.samples != draw(name).samples


def test_the_same_seed_gives_the_same_mask_on_every_machine(draw):
    expected = {
        "complete": "734888ca4e0ca2c1",
        "mcar-30": "7be675da77c287ee",
        "mar-age-30": "7579e6d6a9754a17",
        "mnar-died-30": "c5dde427136203b2",
        "site": "6a540da9457c86fe",
    }
    assert {name: draw(name).digest for name in expected} == expected


def test_another_seed_or_pattern_has_another_digest(draw):
    digests = {draw(name, seed=seed).digest for name in RANDOM for seed in (0, 1)}
    assert len(digests) == 2 * len(RANDOM)


def test_a_site_pattern_shows_what_train_samples_have(draw, panels):
    train = panels.present[panels.rows("train")]
    available = draw("site").available
    for pattern in np.unique(train, axis=0):
        expected = (train == pattern).all(axis=1).mean()
        assert (available == pattern).all(axis=1).mean() == pytest.approx(expected, abs=0.012)


def test_a_site_pattern_by_a_column_shows_what_train_samples_of_that_site_have(draw, panels):
    present = panels.present.copy()
    north = (panels.samples["kept_ward"] == "north").to_numpy()
    train = (panels.samples["split"] == "train").to_numpy()
    present[train & north, 1] = False
    present[train & north, 0] = True
    mask = draw("site-ward", store=replace(panels, present=present))
    there = north[mask.rows]
    assert not mask.available[there, 1].any()
    assert mask.available[~there, 1].mean() == pytest.approx(11 / 12, abs=0.02)
    with pytest.raises(CannotScore, match="a value of ward that no train sample has"):
        draw("site-ward", store=replace(panels, samples=_moved(panels)))


def _moved(store: CohortStore) -> pd.DataFrame:
    samples = store.samples.copy()
    samples.loc[samples["split"] == "held_out", "kept_ward"] = "west"
    return samples


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mar-weight-30", "depends on 'weight', .* it has age, ward"),
        ("mar-died-30", "depends on 'died', .* it has age, ward"),
        ("mnar-weight-30", "it has age, ward, died"),
        ("site-clinic", "keeps no column 'clinic', and the store has no sites/clinic.csv"),
        ("mask-ours", r"no masks/ours.csv with the columns sample and cxr, ecg, labs"),
    ],
)
def test_what_the_cohort_does_not_have_cannot_be_drawn(name, message, draw):
    with pytest.raises(CannotScore, match=message):
        draw(name)


def test_a_pattern_within_a_panel_hides_no_modality(draw):
    assert draw("labs-mcar-50").available.all()
    assert draw("ecg-segment-3s").available.all()

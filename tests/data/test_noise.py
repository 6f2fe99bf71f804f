"""Noise of stated levels is added to signals, images and values of a panel, and hides nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from clinical_symile.data.noise import NoiseMask
from clinical_symile.data.parts import draw_parts, hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.leak_checks.fixtures import ToyStore
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.labs import Labs
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import MODALITIES

SAMPLES, TIMES, EDGE = 60, 500, 24
NAMES = ("ecg-noise-10db", "cxr-noise-10", "labs-noise-50")
each_kind = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def recordings() -> ToyStore:
    """Sine waves, grey images and three analytes of 60 samples; one in ten has no ECG."""
    rng = np.random.default_rng(0)
    wave = np.sin(np.linspace(0, 40, TIMES) + rng.uniform(0, 6, (SAMPLES, len(LEADS), 1)))
    ecg = np.rint(2000 * rng.uniform(0.5, 2, (SAMPLES, len(LEADS), 1)) * wave).astype(np.int16)
    ecg[::7, 3] = 0  # a lead that was off when it was recorded
    cxr = np.full((SAMPLES, 1, EDGE, EDGE), 128, dtype=np.uint8)
    labs = (rng.normal(size=(SAMPLES, 3)) * [1, 10, 100] + [5, 50, 500]).astype(np.float32)
    labs[::5, 1] = np.nan
    present = np.ones((SAMPLES, 3), dtype=bool)
    present[::10, 0] = False
    names = [f"s{row}" for row in range(SAMPLES)]
    about = {
        "ecg": {"adapter": "ecg", "parts": [*LEADS], "statistics": Ecg.fit([ecg])},
        "cxr": {"adapter": "cxr", "parts": ["grey"], "statistics": {}},
        "labs": {"adapter": "labs", "parts": ["a", "b", "c"], "statistics": Labs.fit([labs])},
    }
    return ToyStore(
        path=Path("recordings"),
        manifest={"cohort": "recordings", "digest": "", "modalities": about},
        samples=pd.DataFrame({"sample": names, "subject": names, "split": "held_out"}),
        modalities=("ecg", "cxr", "labs"),
        present=present,
        candidates=None,
        arrays={"ecg": ecg, "cxr": cxr, "labs": labs},
    )


def added(name: str, store: ToyStore, *, seed: int = 0) -> np.ndarray:
    """What a pattern adds to the stored measurements that are present, before the encoder."""
    pattern = parse_pattern(name)
    rows = np.flatnonzero(store.present[:, store.modalities.index(pattern.within)])
    stored = store.arrays[pattern.within][rows]
    noise = hide_parts(pattern, store, seed=seed).noise[pattern.within]
    noisy = noise.added_to(stored, rows)
    assert noisy.dtype == stored.dtype
    return noisy.astype(np.float64) - stored


def mask_of(name: str, store: CohortStore, *, seed: int = 0) -> NoiseMask:
    mask = draw_parts(parse_pattern(name), store, split="held_out", seed=seed)
    assert isinstance(mask, NoiseMask)
    return mask


@pytest.mark.parametrize("decibels", [0, 10, 20])
def test_noise_of_a_signal_has_the_stated_ratio_in_every_lead(decibels, recordings):
    noise = added(f"ecg-noise-{decibels}db", recordings)
    rows = np.flatnonzero(recordings.present[:, 0])
    power = recordings.arrays["ecg"][rows].astype(np.float64).var(axis=2)
    was_on = power > 0
    ratios = 10 * np.log10(power[was_on] / noise.var(axis=2)[was_on])
    # A variance of 500 numbers is within 6 % of its expectation, one standard error.
    assert ratios.mean() == pytest.approx(decibels, abs=0.05)
    assert np.abs(ratios - decibels).max() < 1.5
    assert (~was_on).any()
    assert not noise[~was_on].any()  # a lead without a signal stays as it is


def test_noise_of_an_image_is_in_percent_of_the_grey_scale(recordings):
    noise = added("cxr-noise-10", recordings)
    # Rounding to whole levels adds 1/12 to the variance.
    assert noise.std() == pytest.approx((25.5**2 + 1 / 12) ** 0.5, rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=0.5)


def test_levels_beyond_black_and_white_are_clipped(recordings):
    for level, sign in ((0, 1), (255, -1)):
        edge = {**recordings.arrays, "cxr": np.full((SAMPLES, 1, EDGE, EDGE), level, np.uint8)}
        noise = sign * added("cxr-noise-10", replace(recordings, arrays=edge))
        assert noise.min() == 0
        assert (noise == 0).mean() == pytest.approx(0.5, abs=0.02)


def test_noise_of_analytes_is_in_percent_of_their_train_spread(recordings):
    noise = added("labs-noise-200", recordings)
    spread = np.nanstd(recordings.arrays["labs"].astype(np.float64), axis=0)
    np.testing.assert_allclose(
        Labs.noise_scale(recordings.manifest["modalities"]["labs"]["statistics"]), spread, rtol=1e-6
    )
    scaled = noise / (2 * spread)
    np.testing.assert_array_equal(np.isnan(noise), np.isnan(recordings.arrays["labs"]))
    assert kstest(scaled[~np.isnan(scaled)], "norm").pvalue > 0.001


def test_the_spread_of_an_analyte_by_hand():
    about = {
        "distributions": [{"values": [1.0, 4.0], "counts": [2, 1]}, {"values": [], "counts": []}]
    }
    assert Labs.noise_scale(about).tolist() == [2**0.5, 0.0]


@each_kind
def test_a_higher_level_adds_more_of_the_same_noise(name, recordings):
    within = name.partition("-")[0]
    words = {"ecg": ("20db", "0db", 10), "cxr": ("2", "6", 3), "labs": ("20", "40", 2)}
    lower, higher, times = words[within]
    less, more = (added(f"{within}-noise-{level}", recordings) for level in (lower, higher))
    tolerance = {"ecg": times, "cxr": times, "labs": 1e-3}[within]  # rounding to stored numbers
    np.testing.assert_allclose(times * less, more, atol=tolerance)
    assert np.nanstd(more) > 1.8 * np.nanstd(less)


@each_kind
def test_noise_depends_on_seed_and_names_and_not_on_the_order_of_samples(name, recordings):
    order = np.random.default_rng(1).permutation(SAMPLES)
    moved = replace(
        recordings,
        samples=recordings.samples.iloc[order].reset_index(drop=True),
        present=recordings.present[order],
        arrays={key: values[order] for key, values in recordings.arrays.items()},
    )
    assert mask_of(name, recordings).digest == mask_of(name, moved).digest
    assert mask_of(name, recordings).digest != mask_of(name, recordings, seed=1).digest
    within = name.partition("-")[0]
    before = hide_parts(parse_pattern(name), recordings, seed=0).inputs(within, order)
    after = hide_parts(parse_pattern(name), moved, seed=0).inputs(within, np.arange(SAMPLES))
    np.testing.assert_array_equal(before, after)
    others = hide_parts(parse_pattern(name), recordings, seed=1).inputs(within, order)
    assert (others != before).any()


@each_kind
def test_noise_of_two_samples_is_not_the_same(name, recordings):
    noise = added(name, recordings).reshape(-1, recordings.arrays[name[:4].strip("-")][0].size)
    first, second = noise[1], noise[2]
    both = ~np.isnan(first) & ~np.isnan(second)
    assert (first[both] != second[both]).any()


@each_kind
def test_noise_hides_nothing(name, recordings):
    mask = mask_of(name, recordings)
    within = name.partition("-")[0]
    assert mask.hidden_rate_among(mask.rows) == {within: 0.0}
    assert len(mask.rows) == recordings.present[:, recordings.modalities.index(within)].sum()
    assert repr(mask) == f"NoiseMask({name!r}, {len(mask.rows)} samples of {within})"
    noisy = hide_parts(parse_pattern(name), recordings, seed=0)
    assert not noisy.withheld
    missing = np.flatnonzero(~recordings.present[:, recordings.modalities.index(within)])
    assert not noisy.inputs(within, missing).any()  # of a missing modality there is no noise
    if within == "labs":  # what was not measured has no mark
        observed = noisy.inputs("labs", np.arange(SAMPLES))[:, 1]
        np.testing.assert_array_equal(observed == 0, np.isnan(recordings.arrays["labs"]))


@pytest.mark.parametrize("name", ["ecg-noise-10db", "cxr-noise-10", "labs-noise-50"])
def test_a_digest_tells_levels_and_modalities_apart(name, recordings):
    digests = {
        mask_of(one, recordings).digest for one in (*NAMES, "ecg-noise-11db", "cxr-noise-11")
    }
    assert len(digests) == 5
    assert mask_of(name, recordings).digest in digests


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ecg-noise-10", r"adds noise in percent of a scale, .* Write 'ecg-noise-10db'"),
        ("cxr-noise-10db", "adds noise in decibels; cxr has .* a signal such as an ECG"),
        ("labs-noise-10db", "adds noise in decibels; labs has .* the axes analyte, and"),
    ],
)
def test_noise_in_a_unit_that_a_modality_lacks_is_refused(name, message, recordings):
    with pytest.raises(CannotScore, match=message):
        draw_parts(parse_pattern(name), recordings, split="held_out", seed=0)
    with pytest.raises(CannotScore, match=message):
        hide_parts(parse_pattern(name), recordings, seed=0)


@pytest.mark.parametrize("name", sorted(MODALITIES))
def test_every_modality_with_a_time_or_a_scale_reads_its_noise(name):
    adapter = resolve(name, MODALITIES)
    axes, has_scale = getattr(adapter, "axes", ()), hasattr(adapter, "noise_scale")
    if "time" not in axes and not has_scale:
        pytest.skip("it has no noise")
    lengths = {"lead": 12, "time": 100, "channel": 1, "row": 12, "column": 12, "analyte": 5}
    shape = tuple(lengths[axis] for axis in axes)
    values = np.random.default_rng(0).integers(1, 200, (8, *shape)).astype(adapter.dtype)
    about = {"adapter": name, "shape": list(shape), "statistics": adapter.fit([values])}
    names = [str(row) for row in range(8)]
    store = ToyStore(
        path=Path("toy"),
        manifest={"cohort": "toy", "digest": "", "modalities": {"toy": about}},
        samples=pd.DataFrame({"sample": names, "subject": names, "split": "held_out"}),
        modalities=("toy",),
        present=np.ones((8, 1), dtype=bool),
        candidates=None,
        arrays={"toy": values},
    )
    pattern = parse_pattern("toy-noise-50" if has_scale else "toy-noise-6db")
    noisy, rows = hide_parts(pattern, store, seed=0), np.arange(8)
    assert noisy.divisor("toy") is None  # no loader divides stored numbers past the noise
    read = noisy.inputs("toy", rows)
    assert np.isfinite(read).all()
    assert (read != store.inputs("toy", rows)).reshape(8, -1).any(axis=1).all()
    np.testing.assert_array_equal(read[3:5], noisy.inputs("toy", rows[3:5]))

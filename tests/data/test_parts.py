"""What patterns hide within a modality: analytes, leads, segments and regions."""

from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.masks import Mask
from clinical_symile.data.noise import NoiseMask
from clinical_symile.data.parts import BlockMask, draw_parts, hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.leak_checks.fixtures import ToyStore
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.modalities.ecg import LEADS, Ecg
from tests.helpers.panels import PARTS

SAMPLES, TIMES, EDGE = 400, 40, 30


@pytest.fixture(scope="module")
def signals() -> ToyStore:
    """Short ECGs and small images of 400 held-out samples; one in ten has no ECG."""
    rng = np.random.default_rng(0)
    ecg = rng.integers(1, 300, (SAMPLES, len(LEADS), TIMES)).astype(np.int16)
    ecg[::7, 3] = 0  # a lead that was off when it was recorded
    cxr = rng.integers(1, 256, (SAMPLES, 1, EDGE, EDGE)).astype(np.uint8)
    present = np.ones((SAMPLES, 2), dtype=bool)
    present[::10, 0] = False
    names = [f"s{row}" for row in range(SAMPLES)]
    samples = {"sample": names, "subject": names, "split": "held_out", "kept_age": rng.random(400)}
    about = {
        "ecg": {"adapter": "ecg", "parts": [*LEADS], "statistics": Ecg.fit([ecg])},
        "cxr": {"adapter": "cxr", "parts": ["grey"], "statistics": {}},
    }
    return ToyStore(
        path=Path("signals"),
        manifest={"cohort": "signals", "digest": "", "modalities": about},
        samples=pd.DataFrame(samples),
        modalities=("ecg", "cxr"),
        present=present,
        candidates=None,
        arrays={"ecg": ecg, "cxr": cxr},
    )


def drawn(name: str, store: CohortStore, *, seed: int = 0) -> Mask | BlockMask:
    mask = draw_parts(parse_pattern(name), store, split="held_out", seed=seed)
    assert not isinstance(mask, NoiseMask)
    return mask


def mask_of(name: str, store: CohortStore) -> Mask:
    mask = drawn(name, store)
    assert isinstance(mask, Mask)
    return mask


def blocks_of(name: str, store: CohortStore, *, seed: int = 0) -> BlockMask:
    mask = drawn(name, store, seed=seed)
    assert isinstance(mask, BlockMask)
    return mask


def hidden_numbers(name: str, store: CohortStore, *, seed: int = 0) -> np.ndarray:
    """True where an input of the modality differs from the one of which nothing is hidden."""
    pattern = parse_pattern(name)
    rows = np.flatnonzero(store.present[:, store.modalities.index(pattern.within)])
    read = hide_parts(pattern, store, seed=seed).inputs(pattern.within, rows)
    assert not read[read != store.inputs(pattern.within, rows)].any()  # hidden numbers are zero
    return read != store.inputs(pattern.within, rows)


@pytest.mark.parametrize("rate", [10, 30, 75])
def test_leads_come_off_at_their_rate_and_read_as_zero(rate, signals):
    mask = mask_of(f"ecg-leads-mcar-{rate}", signals)
    assert mask.columns == LEADS
    assert list(mask.hidden_rate.values()) == pytest.approx([rate / 100] * 12, abs=0.002)
    gone = hidden_numbers(f"ecg-leads-mcar-{rate}", signals)
    np.testing.assert_array_equal(gone.all(axis=2), gone.any(axis=2))
    np.testing.assert_array_equal(gone.any(axis=2), mask.present & ~mask.available)
    # A lead that was never recorded is not hidden, and is not there either.
    was_off = mask.rows % 7 == 0
    assert not mask.present[was_off, 3].any()
    assert not mask.available[was_off, 3].any()


def test_leads_come_off_more_often_with_a_column(signals):
    mask = mask_of("ecg-leads-mar-age-30", signals)
    age = signals.samples["kept_age"].to_numpy()[mask.rows]
    gone = (mask.present & ~mask.available).sum(axis=1)
    assert np.corrcoef(age, gone)[0, 1] > 0.5


@pytest.mark.parametrize("seconds", [0.01, 0.03, 0.07])
def test_a_segment_is_lost_in_all_leads_at_once(seconds, signals):
    name, size = f"ecg-segment-{seconds}s", round(500 * seconds)
    mask = blocks_of(name, signals)
    assert mask.hidden_rate_among(mask.rows) == {"ecg": size / TIMES}
    assert mask.hidden_rate_among(np.zeros(0, dtype=np.int64)) == {"ecg": 0}
    gone = hidden_numbers(name, signals)
    for sample, start in enumerate(mask.starts[:, 0]):
        expected = np.zeros(TIMES, dtype=bool)
        expected[start : start + size] = True
        assert (gone[sample][[0, 11]] == expected).all()


@pytest.mark.parametrize("percent", [4, 25, 64])
def test_a_region_is_a_square_of_the_stated_share(percent, signals):
    edge = round(EDGE * sqrt(percent / 100))
    gone = hidden_numbers(f"cxr-region-{percent}", signals)[:, 0]
    assert (gone.sum(axis=(1, 2)) == edge**2).all()
    assert edge**2 / EDGE**2 == pytest.approx(percent / 100, abs=0.001)
    rows, columns = (np.asarray(gone.any(axis=axis)) for axis in (2, 1))
    np.testing.assert_array_equal(gone, rows[:, :, None] & columns[:, None, :])
    for along in (rows, columns):
        assert (np.abs(np.diff(along.astype(int), axis=1)).sum(axis=1) <= 2).all()  # one run


def test_every_place_is_equally_likely(signals):
    starts = np.concatenate(
        [blocks_of("ecg-segment-0.06s", signals, seed=seed).starts[:, 0] for seed in range(20)]
    )
    counts = np.bincount(starts, minlength=11)
    assert len(counts) == TIMES - 30 + 1
    expected = len(starts) / 11
    assert ((counts - expected) ** 2 / expected).sum() < 29.6  # 0.1 % of chi-squared with 10


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("ecg-leads-mcar-10", "ecg-leads-mcar-50"),
        ("ecg-leads-mar-age-10", "ecg-leads-mar-age-50"),
        ("ecg-segment-0.02s", "ecg-segment-0.05s"),
        ("ecg-segment-0.05s", "ecg-segment-0.078s"),
        ("cxr-region-5", "cxr-region-30"),
        ("cxr-region-30", "cxr-region-99"),
    ],
)
def test_a_higher_severity_hides_all_that_a_lower_one_hides(less, more, signals):
    fewer, further = (hidden_numbers(name, signals) for name in (less, more))
    assert fewer.any()
    assert not (fewer & ~further).any()
    assert further.sum() > fewer.sum()


@pytest.mark.parametrize("name", ["ecg-leads-mcar-30", "ecg-segment-0.03s", "cxr-region-25"])
def test_a_draw_depends_on_seed_and_names_and_not_on_the_order_of_samples(name, signals):
    order = np.random.default_rng(1).permutation(SAMPLES)
    moved = replace(
        signals,
        samples=signals.samples.iloc[order].reset_index(drop=True),
        present=signals.present[order],
        arrays={key: values[order] for key, values in signals.arrays.items()},
    )
    once, again = drawn(name, signals), drawn(name, moved)
    assert once.digest == again.digest == drawn(name, signals).digest
    assert once.digest != drawn(name, signals, seed=1).digest
    within = name.partition("-")[0]
    before = hide_parts(parse_pattern(name), signals, seed=0).inputs(within, order)
    after = hide_parts(parse_pattern(name), moved, seed=0).inputs(within, np.arange(SAMPLES))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", ["ecg-segment-0.03s", "cxr-region-25"])
def test_a_digest_tells_severities_apart(name, signals):
    other = {"ecg-segment-0.03s": "ecg-segment-0.04s", "cxr-region-25": "cxr-region-36"}[name]
    assert drawn(name, signals).digest != drawn(other, signals).digest


@pytest.mark.parametrize("name", ["ecg-leads-mcar-30", "ecg-segment-0.03s", "cxr-region-25"])
def test_no_input_depends_on_what_is_hidden(name, signals, rng):
    pattern = parse_pattern(name)
    store = hide_parts(pattern, signals, seed=0)
    stored, rows = signals.arrays[pattern.within], np.arange(SAMPLES)
    hidden = np.broadcast_to(
        store.withheld[pattern.within].of(rows, stored.shape[1:]), stored.shape
    )
    others = rng.integers(1, 127, stored.shape).astype(stored.dtype)
    arrays = signals.arrays | {pattern.within: np.where(hidden, others, stored)}
    found = replace(store, arrays=arrays).inputs(pattern.within, rows)
    np.testing.assert_array_equal(found, store.inputs(pattern.within, rows))


@pytest.mark.parametrize("name", ["labs-mcar-50", "labs-mar-age-50", "labs-mnar-30"])
def test_parts_of_a_panel_reach_their_rate(name, panels):
    pattern = parse_pattern(name)
    mask = mask_of(pattern.name, panels)
    assert mask.columns == PARTS
    assert np.array(list(mask.hidden_rate.values())) == pytest.approx(pattern.rate, abs=0.0001)
    values = np.asarray(panels.array("labs"))[mask.rows, 0]
    gone = ~mask.available[:, 0]
    higher = values[gone].mean() - values[~gone].mean()
    assert bool(higher > 0.2) is (name != "labs-mcar-50")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ecg-mcar-50", r"ecg is not a panel of named values.*write 'ecg-leads-…'"),
        ("cxr-mcar-50", "cxr is not a panel of named values"),
        ("cxr-leads-mcar-30", "hides leads; cxr has .* the axes channel, row, column, .* an ECG"),
        ("labs-leads-mcar-30", "hides leads; labs has measurements with the axes analyte, and"),
        ("labs-segment-3s", "hides a segment in time; labs has .* a signal such as an ECG"),
        ("cxr-segment-3s", "hides a segment in time; cxr has"),
        ("ecg-region-25", "hides a region of an image; ecg has .* axes lead, time, .* an image"),
        ("ecg-segment-10s", "hides 10 s of ecg, which lasts 10 s; expected a shorter segment"),
        ("ecg-leads-mnar-30", "hides a lead by its own value, and a lead has many"),
        ("ecg-leads-mar-weight-30", "depends on 'weight', which cohort 'synthetic' does not keep"),
    ],
)
def test_a_modality_without_such_parts_is_refused_with_what_has_them(
    name, message, synthetic_store
):
    with pytest.raises(CannotScore, match=message):
        draw_parts(parse_pattern(name), synthetic_store, split="train", seed=0)


def test_a_vector_of_numbers_is_no_panel(panels):
    about = {**panels.manifest["modalities"]["labs"], "adapter": "embedding"}
    manifest = {**panels.manifest, "modalities": {"labs": about}}
    store = replace(panels, manifest=manifest, modalities=("labs",), present=panels.present[:, 2:])
    with pytest.raises(CannotScore, match="labs is not a panel of named values"):
        draw_parts(parse_pattern("labs-mcar-50"), store, split="held_out", seed=0)


def test_withheld_parts_are_read_as_if_they_had_not_been_measured(panels):
    pattern = parse_pattern("labs-mnar-50")
    store = hide_parts(pattern, panels, seed=0)
    mask = mask_of(pattern.name, panels)
    rows = mask.rows[:200]
    percentiles, observed = np.moveaxis(store.inputs("labs", rows), 1, 0)
    np.testing.assert_array_equal(observed, mask.available[:200])
    before = panels.inputs("labs", rows)[:, 0]
    np.testing.assert_array_equal(percentiles[mask.available[:200]], before[mask.available[:200]])
    # What is hidden reads the same in everyone: the mean percentile of training.
    for place in range(len(PARTS)):
        assert len(np.unique(percentiles[~mask.available[:200, place], place])) == 1
    np.testing.assert_array_equal(store.inputs("ecg", rows), panels.inputs("ecg", rows))


@pytest.fixture(scope="module")
def labelled(signals: ToyStore) -> ToyStore:
    """The signals with an outcome, unknown of every fifth; half of the samples are held out."""
    label = np.where(np.arange(SAMPLES) % 5 == 0, np.nan, np.arange(SAMPLES) // 2 % 2)
    split = np.where(np.arange(SAMPLES) % 2 == 0, "train", "held_out")
    return replace(signals, samples=signals.samples.assign(outcome_died=label, split=split))


def sides(name: str, store: CohortStore, *, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The outcome of each sample, and True where the marker is on the right."""
    mask = draw_parts(parse_pattern(name), store, split=split, seed=0)
    assert isinstance(mask, BlockMask)
    assert (mask.size, set(mask.starts[:, 0])) == ((4, 4), {EDGE - 4})
    assert set(mask.starts[:, 1]) == {6, 20}  # around a quarter and three quarters of 30
    return store.outcome("died")[mask.rows], mask.starts[:, 1] == 20


@pytest.mark.parametrize("tie", [0, 60, 99])
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_side_of_a_marker_follows_the_outcome_as_often_as_its_tie_says(tie, split, labelled):
    for word in ("marker", "marker-shift"):
        label, is_right = sides(f"cxr-{word}-died-{tie}", labelled, split=split)
        reached = tie / 100 if word == "marker" or split == "train" else 0.0
        known = ~np.isnan(label)
        expected = (1 + reached) / 2
        follows = ((label == 1) == is_right)[known].mean()
        error = sqrt(expected * (1 - expected) / known.sum())
        assert follows == pytest.approx(expected, abs=4 * error)
        assert is_right[~known].mean() == pytest.approx(0.5, abs=4 * sqrt(0.25 / (~known).sum()))


def test_a_larger_tie_keeps_every_marker_that_followed_the_outcome(labelled):
    label, *_ = sides("cxr-marker-died-0", labelled, split="train")
    follows = [
        ((label == 1) == sides(f"cxr-marker-died-{tie}", labelled, split="train")[1])
        & ~np.isnan(label)
        for tie in (0, 40, 90)
    ]
    assert not (follows[0] & ~follows[1]).any()
    assert not (follows[1] & ~follows[2]).any()
    assert follows[0].sum() < follows[1].sum() < follows[2].sum()


def test_held_out_markers_of_a_shift_are_those_without_a_tie(labelled):
    shifted, fair = (
        sides(f"cxr-{word}", labelled, split="held_out")[1]
        for word in ("marker-shift-died-90", "marker-died-0")
    )
    np.testing.assert_array_equal(shifted, fair)


def test_a_marker_reads_as_black_and_hides_nothing_else(labelled):
    gone = hidden_numbers("cxr-marker-died-50", labelled)[:, 0]
    assert (gone.sum(axis=(1, 2)) == 16).all()
    assert not gone[:, : EDGE - 4].any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cxr-marker-fever-50", "'fever', which is no outcome of cohort 'signals'; it has died"),
        ("ecg-marker-died-50", "hides a square of an image; ecg has measurements with the axes"),
    ],
)
def test_a_marker_needs_an_outcome_of_the_cohort_and_an_image(name, message, labelled):
    with pytest.raises(CannotScore, match=message):
        drawn(name, labelled)

"""Padding and lost blocks of ECGs are found by leads that stop changing together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.ecg import Ecg
from tests.helpers.recordings import LEADS

TIME_S = np.arange(5000) / 500
ONE, TWO = (np.sin(2 * np.pi * rate * TIME_S + 0.5) for rate in (1.3, 1.7))
LIMB = [ONE, TWO, TWO - ONE, -(ONE + TWO) / 2, ONE - TWO / 2, TWO - ONE / 2]
HEART = np.stack([*LIMB, *(ONE * n / 3 + 0.1 * TWO for n in range(1, 7))], axis=1)


def read(path: Path, **arguments: Any) -> tuple[np.ndarray, set[str]]:
    notes: list[str] = []
    adapter = Ecg(path.parent, path="{file}", **arguments)
    measured = adapter.read({"file": path.name}, path.parent, notes.append)
    assert measured is not None
    return measured, set(notes)


def rejection(path: Path, **arguments: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(path, **arguments)
    return caught.value


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(("before", "after"), [(750, 750), (0, 1500), (1500, 0)])
def test_padding_around_a_short_ecg_does_not_count_as_recorded(
    tmp_path: Path, write_ecg: Callable[..., None], before: int, after: int, held: bool
) -> None:
    waves = HEART.copy()
    waves[:before] = waves[before] if held else 0
    waves[5000 - after :] = waves[4999 - after] if held else 0
    write_ecg(tmp_path / "a", waves)
    verdict = rejection(tmp_path / "a")
    assert verdict.reason == "too-short"
    assert verdict.detail.startswith("7 s, and no lead changes")
    values, notes = read(tmp_path / "a", shortest_s=7)
    assert {"padding-removed", "padded"} <= notes
    recorded = HEART[before : 5000 - after].T * 1000
    np.testing.assert_allclose(values[:, :3499], recorded[:, :3499], atol=1)


def test_padding_around_ten_seconds_is_removed(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    zeros = np.zeros((300, 12))
    write_ecg(tmp_path / "a", np.vstack([zeros, HEART, zeros]))
    values, notes = read(tmp_path / "a")
    assert "padding-removed" in notes
    np.testing.assert_allclose(values, HEART.T * 1000, atol=1)


@pytest.mark.parametrize("level", [0, 0.7])
def test_a_lost_block_is_a_gap(
    tmp_path: Path, write_ecg: Callable[..., None], level: float
) -> None:
    waves = HEART.copy()
    waves[2000:2150] = level
    write_ecg(tmp_path / "a", waves)
    assert rejection(tmp_path / "a").reason == "nan"
    values, notes = read(tmp_path / "a", gap_s=0.4)
    assert "gap-filled" in notes
    line = np.linspace(values[0, 1999], values[0, 2150], 152)[1:-1]
    np.testing.assert_allclose(values[0, 2000:2150], line, atol=1)


@pytest.mark.parametrize("points", [21, 43, 85])
@pytest.mark.parametrize("first", [2000, 0, -1])
def test_a_short_lost_block_of_zeros_is_noted(
    tmp_path: Path, write_ecg: Callable[..., None], points: int, first: int
) -> None:
    waves = HEART.copy()
    waves[first if first >= 0 else 5000 - points :][:points] = 0
    write_ecg(tmp_path / "a", waves)
    assert "hole" in read(tmp_path / "a")[1]


def test_a_cart_that_holds_the_last_value_for_a_tenth_of_a_second_is_taken_as_it_is(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    waves = HEART.copy()
    waves[4945:] = waves[4945]
    write_ecg(tmp_path / "a", waves)
    assert read(tmp_path / "a")[1] == set()


def test_leads_that_are_flat_by_themselves_hide_no_lost_block(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    waves = HEART.copy()
    waves[:, [7, 9]] = 0.5
    write_ecg(tmp_path / "a", waves)
    assert read(tmp_path / "a")[1] == {"flat-leads"}
    waves[2000:2060] = 0
    write_ecg(tmp_path / "b", waves)
    assert "hole" in read(tmp_path / "b")[1]


@pytest.mark.parametrize(("first", "end"), [(2000, 2256), (3500, 5000), (0, 300)])
def test_a_block_of_zeros_in_one_lead_is_noted(tmp_path: Path, first: int, end: int) -> None:
    waves = HEART.T.copy()
    layout: dict[str, Any] = {"array_leads": LEADS, "array_rate_hz": 500, "array_unit": "mV"}
    np.save(tmp_path / "whole.npy", waves)  # one lead after the other
    assert read(tmp_path / "whole.npy", **layout)[1] == set()
    waves[7, first:end] = 0
    np.save(tmp_path / "hole.npy", waves)
    assert read(tmp_path / "hole.npy", **layout)[1] == {"hole"}


def test_short_rests_at_zero_in_one_lead_are_no_lost_block(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    waves = HEART.copy()
    waves[::200, 7] = 0
    waves[2000:2095, 7] = 0
    write_ecg(tmp_path / "a", waves)
    assert read(tmp_path / "a")[1] == set()

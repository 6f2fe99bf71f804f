"""Which measurements count as copies of one."""

from pathlib import Path

import numpy as np
import pytest

from clinical_symile.data.audit import near_duplicates as likeness
from clinical_symile.modalities.cxr import Cxr
from clinical_symile.modalities.ecg import Ecg


def pairs_of(array: np.ndarray, names: list[str]) -> set[frozenset[str]]:
    every = np.arange(len(array))
    return {
        frozenset((names[a], names[b]))
        for a, b in likeness.near_duplicate_pairs(array, every, every)
    }


def test_of_real_xrays_only_copies_of_one_file_are_alike(shared: Path) -> None:
    """Other X-rays of the same person, days apart, are not."""
    folder = shared / "real" / "cxr"
    names = sorted(file.name for file in folder.iterdir() if file.suffix != ".csv")
    read = [Cxr(folder, path="{file}").read({"file": name}, folder) for name in names]
    assert pairs_of(np.stack([image for image in read if image is not None]), names) == {
        frozenset(("00000001_000-Cardiomegaly.png", "00000001_000_512.png")),
        frozenset(
            (
                "00000001_002-Cardiomegaly-Effusion.png",
                "00000001_002-Cardiomegaly-Effusion-2.png",
            )
        ),
    }


def test_of_real_ecgs_only_copies_of_one_recording_are_alike(shared: Path) -> None:
    folder = shared / "real" / "ecg_wfdb"
    refused = {"100_3chan", "3000003_0003", "E00001"}
    names = sorted(file.stem for file in folder.glob("*.hea") if file.stem not in refused)
    read = [Ecg(folder, path="{file}").read({"file": name}, folder) for name in names]
    assert pairs_of(np.stack([signal for signal in read if signal is not None]), names) == {
        frozenset(("E07504", "DERIVED_mimicorder_E07504")),
        frozenset(("00001_lr", "HR00001")),  # one of PTB-XL at 100 Hz, and with a wrong gain
    }


@pytest.mark.parametrize("at_a_time", [3, 64])
def test_pairs_are_those_of_every_pair_compared(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    """Against the definition in loops, on signals whose correlation is 0.985 or 0.9."""
    monkeypatch.setattr(likeness, "AT_A_TIME", at_a_time)
    first = rng.normal(0, 300, (20, 12, 25))
    noise = rng.normal(0, 300, (20, 12, 25))
    r = np.where(np.arange(20) % 2, 0.99, 0.9)[:, None, None]
    both = np.concatenate([first, r * first + np.sqrt(1 - r**2) * noise])
    signals = np.kron(both, np.ones((1, 1, 20))).astype(np.int16)
    rows, group = np.arange(40), np.repeat([0, 1], 20)
    expected = set()
    for one in range(40):
        for other in range(one + 1, 40):
            leads = zip(both[one], both[other], strict=True)
            r_pair = np.mean([np.corrcoef(a, b)[0, 1] for a, b in leads])
            if group[one] != group[other] and r_pair >= likeness.ALIKE:
                expected.add((one, other))
    assert len(expected) == 10
    assert set(likeness.near_duplicate_pairs(signals, rows, group)) == expected


def test_no_rows_have_no_pairs() -> None:
    nobody = np.empty(0, dtype=np.int64)
    assert (
        likeness.near_duplicate_pairs(np.zeros((3, 1, 64, 64), dtype=np.uint8), nobody, nobody)
        == []
    )


def test_measurements_are_the_same_to_the_last_bit_or_not_at_all() -> None:
    array = np.zeros((4, 12, 500), dtype=np.int16)
    array[1, 0, 0] = 1
    array[3] = array[1]
    assert likeness.exact_duplicates(array, np.array([0, 1, 2, 3])) == [[0, 2], [1, 3]]
    assert likeness.exact_duplicates(array, np.array([0, 1])) == []

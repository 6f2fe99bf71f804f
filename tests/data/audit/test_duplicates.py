"""Measurements that two samples share are found, by how separate the samples should be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.data.audit.finding import Severity
from tests.helpers.audited import NAN, Made, found, rows, worst


def copy(made: Made, modality: str, one: int, other: int, *, same_subject: bool = False) -> None:
    made.arrays[modality][other] = made.arrays[modality][one]
    if same_subject:
        made.samples.loc[other, "subject"] = made.samples.loc[one, "subject"]


@pytest.mark.parametrize("modality", ["cxr", "ecg", "labs"])
def test_one_measurement_under_two_samples_is_an_error_across_splits(
    made: Made, tmp_path: Path, modality: str
) -> None:
    made.arrays["labs"][:4] = np.arange(10)[None] + np.arange(4)[:, None]  # ten values each
    (one,), (other,) = rows(made, modality, "train", 1), rows(made, modality, "held_out", 1)
    copy(made, modality, one, other)
    (finding,) = found(made.write(tmp_path / "store"), "same")
    assert finding.severity == Severity.ERROR
    assert f"{modality}: 2 samples share the same" in finding.sentence
    assert finding.samples == (5000 + one, 5000 + other)


@pytest.mark.parametrize(
    ("same_subject", "severity"), [(True, Severity.NOTE), (False, Severity.WARNING)]
)
def test_one_measurement_twice_in_a_split_is_a_note_or_a_warning(
    made: Made, tmp_path: Path, same_subject: bool, severity: Severity
) -> None:
    one, other = rows(made, "ecg", "train", 2)
    copy(made, "ecg", one, other, same_subject=same_subject)
    assert [f.severity for f in found(made.write(tmp_path / "store"), "same")] == [severity]


def test_labs_of_few_values_may_agree_by_chance(made: Made, tmp_path: Path) -> None:
    made.arrays["labs"][[0, 250], 3:] = NAN
    made.arrays["labs"][[0, 250], :3] = [1, 2, 3]
    assert worst(made.write(tmp_path / "store"), "same") == Severity.FINE


def test_one_file_under_two_samples_is_an_error_across_splits(made: Made, tmp_path: Path) -> None:
    (one,), (other,) = rows(made, "cxr", "train", 1), rows(made, "cxr", "tuning", 1)
    made.files.loc[other, "cxr"] = made.files.loc[one, "cxr"]
    (finding,) = found(made.write(tmp_path / "store"), "same")
    assert finding.severity == Severity.ERROR
    assert "cxr: 2 samples share the same file" in finding.sentence


CHANGES: dict[str, tuple[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]]] = {
    "compressed": ("cxr", lambda x, rng: x + rng.normal(0, 3, x.shape)),
    "brighter": ("cxr", lambda x, rng: x * 0.7 + 40),
    "blurred": ("cxr", lambda x, rng: (2 * x + np.roll(x, 1, axis=1) + np.roll(x, -1, axis=1)) / 4),
    "gain": ("ecg", lambda x, rng: x * 2.5),
    "baseline": ("ecg", lambda x, rng: x + np.arange(12)[:, None] * 100),
    "noise": ("ecg", lambda x, rng: x + rng.normal(0, 20, x.shape)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_that_was_changed_is_an_error_across_splits(
    made: Made, tmp_path: Path, rng: np.random.Generator, change: str
) -> None:
    modality, alter = CHANGES[change]
    array = made.arrays[modality]
    sources, copies = (rows(made, modality, split, 5) for split in ("train", "held_out"))
    for one, other in zip(sources, copies, strict=True):
        altered = np.rint(alter(array[one].astype(float), rng))
        array[other] = np.clip(altered, 0, 255) if modality == "cxr" else altered
    (finding,) = found(made.write(tmp_path / "store"), "alike")
    assert finding.severity == Severity.ERROR
    assert f"{modality}: 5 pairs of different splits are nearly the same" in finding.sentence
    assert set(finding.samples) == {5000 + row for row in (*sources, *copies)}


def test_copies_within_a_split_are_not_looked_for(made: Made, tmp_path: Path) -> None:
    one, other = rows(made, "ecg", "train", 2)
    made.arrays["ecg"][other] = made.arrays["ecg"][one] * 2
    assert worst(made.write(tmp_path / "store"), "alike") == Severity.FINE

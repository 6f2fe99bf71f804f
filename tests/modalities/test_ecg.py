import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.modalities import ecg
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.modality import Rejected

TIME_S = np.arange(5000) / 500
# every lead a sine of its own amplitude, 0.1 mV for I to 1.2 mV for V6
WAVES = np.stack([0.1 * (n + 1) * np.sin(2 * np.pi * 1.3 * TIME_S) for n in range(12)], axis=1)


def read(path: Path, *, name: str | None = None) -> np.ndarray:
    measured = Ecg(path.parent, path="{file}").read({"file": name or path.name}, path.parent)
    assert measured is not None
    return measured


def rejection(path: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(path)
    return caught.value


def test_an_ecg_is_stored_in_microvolts(tmp_path: Path, write_ecg: Callable[..., None]) -> None:
    write_ecg(tmp_path / "a", WAVES)
    np.testing.assert_allclose(read(tmp_path / "a"), WAVES.T * 1000, atol=1)


@pytest.mark.parametrize("name", ["a", "a.hea", "a.dat"])
def test_a_record_may_be_named_with_or_without_extension(
    tmp_path: Path, write_ecg: Callable[..., None], name: str
) -> None:
    write_ecg(tmp_path / "a", WAVES)
    assert read(tmp_path / "a", name=name).shape == (12, 5000)


@pytest.mark.parametrize("spelt", [str, str.upper, str.lower])
def test_leads_are_ordered_by_name(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    rng: np.random.Generator,
    spelt: Callable[[str], str],
) -> None:
    order = rng.permutation(12)
    write_ecg(tmp_path / "a", WAVES[:, order], leads=[spelt(LEADS[n]) for n in order])
    np.testing.assert_allclose(read(tmp_path / "a"), WAVES.T * 1000, atol=1)


def test_further_signals_are_left_aside(tmp_path: Path, write_ecg: Callable[..., None]) -> None:
    write_ecg(tmp_path / "a", np.hstack([WAVES[:, :1] * 9, WAVES]), leads=("resp", *LEADS))
    np.testing.assert_allclose(read(tmp_path / "a"), WAVES.T * 1000, atol=1)


@pytest.mark.parametrize(("unit", "per_mv"), [("uV", 1000), ("mv", 1), ("V", 1e-3), ("nV", 1e6)])
def test_units_are_read(
    tmp_path: Path, write_ecg: Callable[..., None], unit: str, per_mv: float
) -> None:
    write_ecg(tmp_path / "a", WAVES * per_mv, unit=unit, units_per_mv=1000 / per_mv)
    np.testing.assert_allclose(read(tmp_path / "a"), WAVES.T * 1000, atol=1)


@pytest.mark.parametrize("rate", [100, 250, 360, 1000])
def test_other_sampling_rates_are_resampled(
    tmp_path: Path, write_ecg: Callable[..., None], rate: int
) -> None:
    time = np.arange(10 * rate) / rate
    waves = np.stack([np.sin(2 * np.pi * 1.3 * time) + 0.5] * 12, axis=1)
    write_ecg(tmp_path / "a", waves, sampling_rate_hz=rate)
    expected = 1000 * (np.sin(2 * np.pi * 1.3 * TIME_S) + 0.5)
    signal = read(tmp_path / "a")
    assert signal.shape == (12, 5000)
    np.testing.assert_allclose(signal[0, 100:-100], expected[100:-100], atol=5)
    np.testing.assert_allclose(signal[0], expected, atol=70)  # no ringing at the ends


@pytest.mark.parametrize("long_bytes", [0, 50_000_000])
def test_of_a_longer_record_the_first_ten_seconds_count(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    long_bytes: int,
) -> None:
    monkeypatch.setattr(ecg, "LONG_BYTES", long_bytes)
    later = np.full((1000, 12), np.nan)  # and what follows does not
    write_ecg(tmp_path / "a", np.vstack([WAVES, later]))
    np.testing.assert_allclose(read(tmp_path / "a"), WAVES.T * 1000, atol=1)


def test_a_flat_lead_among_others_is_kept(tmp_path: Path, write_ecg: Callable[..., None]) -> None:
    write_ecg(tmp_path / "a", WAVES * (np.arange(12) != 7))
    assert not read(tmp_path / "a")[7].any()


@pytest.mark.parametrize(
    ("signal", "options", "reason", "detail"),
    [
        (WAVES[:, :11], {"leads": LEADS[:11]}, "leads-missing", "no V6; expected the 12 leads"),
        (WAVES, {"leads": ("X", *LEADS[1:])}, "leads-missing", "no I; "),
        (np.hstack([WAVES, WAVES[:, :1]]), {"leads": (*LEADS, "i")}, "leads-repeated", "I more"),
        (WAVES[:4999], {}, "too-short", "10.0 s; expected 10 s"),
        (WAVES[:2500], {}, "too-short", "5.0 s; expected 10 s"),
        (WAVES * 0, {}, "all-zero", "no lead ever changes"),
        (WAVES * 0 + 0.5, {}, "flat", "no lead ever changes"),
        (WAVES * 30, {"units_per_mv": 200}, "amplitude", "beyond 32.767 mV"),
        (WAVES, {"unit": "bpm"}, "unit", "'bpm'; expected V, mV, uV or nV"),
        (WAVES[:1000], {"sampling_rate_hz": 50}, "sampling-rate", "50 Hz; expected 100 Hz"),
        (WAVES, {"sampling_rate_hz": 250.25}, "sampling-rate", "a whole number of times"),
    ],
)
def test_an_ecg_that_cannot_be_used_is_rejected(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    signal: np.ndarray,
    options: dict[str, object],
    reason: str,
    detail: str,
) -> None:
    write_ecg(tmp_path / "a", signal, **options)
    verdict = rejection(tmp_path / "a")
    assert verdict.reason == reason
    assert detail in verdict.detail


def test_a_gap_is_rejected(tmp_path: Path, write_ecg: Callable[..., None]) -> None:
    waves = WAVES.copy()
    waves[4000, 3] = np.nan
    write_ecg(tmp_path / "a", waves)
    assert rejection(tmp_path / "a").reason == "nan"


def test_a_missing_header_or_signal_is_a_missing_file(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    assert rejection(tmp_path / "a").reason == "file-missing"
    write_ecg(tmp_path / "a", WAVES)
    (tmp_path / "a.dat").unlink()
    assert rejection(tmp_path / "a").reason == "file-missing"


def test_a_broken_header_or_signal_is_not_readable(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    write_ecg(tmp_path / "a", WAVES)
    signal = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "a.dat").write_bytes(signal[:50_001])
    assert rejection(tmp_path / "a").reason == "not-readable"
    (tmp_path / "a.hea").write_text("twelve leads of ten seconds\n")
    assert rejection(tmp_path / "a").reason == "not-readable"


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.EIO, "input/output error"), PermissionError(errno.EACCES, "no"), MemoryError()],
)
def test_a_fault_of_the_machine_is_no_verdict_on_the_record(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise fault

    write_ecg(tmp_path / "a", WAVES)
    monkeypatch.setattr("wfdb.rdrecord", fail)
    with pytest.raises(type(fault)):
        read(tmp_path / "a")


def test_a_name_that_no_record_can_have_is_a_missing_file(tmp_path: Path) -> None:
    assert rejection(tmp_path / ("a" * 300)).reason == "file-missing"


def test_statistics_are_the_standard_deviation_of_each_lead(rng: np.random.Generator) -> None:
    signal = rng.integers(-3000, 3000, (6, 12, 5000)).astype(np.int16)
    signal[:, 4] = 250  # a lead that never changes
    statistics = Ecg.fit([signal[:2], signal[2:]])
    expected = signal.astype(float).std(axis=(0, 2)) / 1000
    expected[4] = 1
    np.testing.assert_allclose(statistics["sd_mv"], expected, rtol=1e-12)


def test_inputs_are_millivolts_over_the_standard_deviation() -> None:
    signal = np.full((1, 12, 5000), 500, dtype=np.int16)  # 0.5 mV over 0.25 mV
    np.testing.assert_allclose(Ecg.transform(signal, {"sd_mv": [0.25] * 12}), 2)

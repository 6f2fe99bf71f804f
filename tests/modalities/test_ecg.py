import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.waveform_files import wfdb_record
from tests.helpers.dicom_files import write_dicom_ecg

TIME_S = np.arange(5000) / 500
# every lead a sine of its own amplitude, 0.1 mV for I to 1.2 mV for V6
WAVES = np.stack([0.1 * (n + 1) * np.sin(2 * np.pi * 1.3 * TIME_S) for n in range(12)], axis=1)
LAST = np.arange(12) == 11


def heart(time_s: np.ndarray = TIME_S) -> np.ndarray:
    """Leads that fulfil Einthoven and Goldberger: [time, lead]."""
    one, two = (np.sin(2 * np.pi * rate * time_s) for rate in (1.3, 1.7))
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limb, *(one * n / 3 for n in range(1, 7))], axis=1)


def read_as(path: Path, **arguments: Any) -> tuple[np.ndarray, list[str]]:
    """An ECG read as a cohort may say, and what was noted."""
    heard: list[str] = []
    adapter = Ecg(path.parent, path="{file}", **arguments)
    measured = adapter.read({"file": path.name}, path.parent, heard.append)
    assert measured is not None
    return measured, heard


def refused_as(path: Path, **arguments: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_as(path, **arguments)
    return caught.value


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


@pytest.mark.parametrize(
    "spelt",
    [
        str,
        str.upper,
        str.lower,
        "MDC_ECG_LEAD_{}".format,
        "Lead {}".format,
        "ECG Lead {}".format,
        "lead-{}".format,
    ],
)
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
    monkeypatch.setattr(wfdb_record, "LONG_RECORDING_BYTES", long_bytes)
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
        (WAVES[:4990], {}, "too-short", "9.98 s; expected 10 s"),
        (WAVES[:2500], {}, "too-short", "5 s; expected 10 s"),
        (WAVES * 0, {}, "all-zero", "no lead ever changes"),
        (WAVES * 0 + 0.5, {}, "flat", "no lead ever changes"),
        (WAVES * (1 + 40 * LAST), {"units_per_mv": 200}, "amplitude", "beyond 32.767 mV"),
        (WAVES * 1000, {"units_per_mv": 1}, "amplitude", "check unit and gain"),
        (WAVES / 1000, {"units_per_mv": 1e6}, "amplitude", "less than 0.02 or more than 20.0 mV"),
        (WAVES, {"unit": "bpm"}, "unit", "'bpm'; expected V, mV, uV or nV"),
        (WAVES[:1000], {"sampling_rate_hz": 50}, "sampling-rate", "50 Hz; expected 100 Hz"),
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


def test_a_gap_is_rejected_unless_the_cohort_says_how_long_one_may_be(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    waves = WAVES.copy()
    waves[4000:4010, 3] = np.nan  # 20 ms
    waves[:5, 4] = np.nan  # at an edge there is only one side
    write_ecg(tmp_path / "a", waves)
    assert refused_as(tmp_path / "a").reason == "nan"
    assert refused_as(tmp_path / "a").detail == "0.02 s of aVR not recorded; expected 0 s"
    assert refused_as(tmp_path / "a", gap_s=0.019).reason == "nan"
    filled, heard = read_as(tmp_path / "a", gap_s=0.02)
    assert "gap-filled" in heard
    np.testing.assert_allclose(filled, WAVES.T * 1000, atol=45)
    line = np.interp(np.arange(4000, 4010), [3999, 4010], WAVES[[3999, 4010], 3]) * 1000
    np.testing.assert_allclose(filled[3, 4000:4010], line, atol=1)
    np.testing.assert_array_equal(filled[4, :5], filled[4, 5])


def test_flat_leads_are_kept_masked_or_refused_as_the_cohort_says(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    waves = heart()
    waves[:, 7] = 0.5
    write_ecg(tmp_path / "a", waves)
    kept, heard = read_as(tmp_path / "a")
    assert heard == ["flat-leads"]
    assert (kept[7] == 500).all()
    masked, heard = read_as(tmp_path / "a", flat_leads="masked")
    assert heard == ["flat-leads"]
    assert not masked[7].any()
    np.testing.assert_array_equal(np.delete(masked, 7, axis=0), np.delete(kept, 7, axis=0))
    verdict = refused_as(tmp_path / "a", flat_leads="refused")
    assert (verdict.reason, verdict.detail) == ("flat-leads", "V2 without any change")


def test_a_lead_that_was_not_recorded_at_all_is_masked_or_refused(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    waves = heart()
    waves[:, 7] = np.nan
    write_ecg(tmp_path / "a", waves)
    for policy in ("kept", "refused"):
        verdict = refused_as(tmp_path / "a", flat_leads=policy, gap_s=10)
        assert "V2" in verdict.detail
    assert not read_as(tmp_path / "a", flat_leads="masked")[0][7].any()


def test_a_lead_that_is_zero_throughout_has_no_part_in_the_statistics(
    rng: np.random.Generator,
) -> None:
    signals = rng.integers(-999, 999, (4, 12, 5000)).astype(np.int16)
    signals[1:3, 5] = 0
    statistics = Ecg.fit([signals[:2], signals[2:]])
    assert statistics["sd_mv"][5] == pytest.approx(signals[[0, 3], 5].std() / 1000, rel=1e-12)
    assert statistics["sd_mv"][4] == pytest.approx(signals[:, 4].std() / 1000, rel=1e-12)


def test_limb_leads_that_contradict_each_other_are_noted_or_refused(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    write_ecg(tmp_path / "right", heart())
    assert read_as(tmp_path / "right", limb_leads="refused")[1] == []
    swapped = heart()[:, [0, 2, 1, *range(3, 12)]]  # II and III under each other's name
    write_ecg(tmp_path / "wrong", swapped)
    assert read_as(tmp_path / "wrong")[1] == ["limb-leads"]
    verdict = refused_as(tmp_path / "wrong", limb_leads="refused")
    assert verdict.reason == "limb-leads"
    assert verdict.detail.startswith("I + III = II does not hold")
    swapped = heart()[:, [0, 1, 2, 4, 3, *range(5, 12)]]
    write_ecg(tmp_path / "augmented", swapped)
    verdict = refused_as(tmp_path / "augmented", limb_leads="refused")
    assert verdict.detail.startswith("aVR = -(I + II) / 2 does not hold")


def test_a_flat_limb_lead_contradicts_nothing(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    waves = heart()
    waves[:, 2] = 0
    write_ecg(tmp_path / "a", waves)
    assert read_as(tmp_path / "a", limb_leads="refused")[1] == ["flat-leads"]


@pytest.mark.parametrize(("factor", "heard"), [(1, []), (3, ["amplitude"]), (0.05, ["amplitude"])])
def test_an_unusual_amplitude_of_all_leads_is_noted(
    tmp_path: Path, write_ecg: Callable[..., None], factor: float, heard: list[str]
) -> None:
    write_ecg(tmp_path / "a", heart() * factor)
    assert read_as(tmp_path / "a")[1] == heard


def test_a_spike_in_one_lead_is_noted(tmp_path: Path, write_ecg: Callable[..., None]) -> None:
    waves = heart()
    waves[700:710, 9] = 7.5
    write_ecg(tmp_path / "a", waves)
    assert read_as(tmp_path / "a")[1] == ["artefact"]


@pytest.mark.parametrize(("longer", "first"), [("first", 0), ("middle", 500)])
def test_of_a_longer_record_the_cohort_says_what_counts(
    tmp_path: Path, write_ecg: Callable[..., None], longer: str, first: int
) -> None:
    waves = heart(np.arange(6000) / 500)
    write_ecg(tmp_path / "a", waves)
    taken, heard = read_as(tmp_path / "a", longer=longer)
    assert heard == ["cropped"]
    np.testing.assert_allclose(taken, waves[first : first + 5000].T * 1000, atol=1)
    assert refused_as(tmp_path / "a", longer="refused").reason == "too-long"


@pytest.mark.parametrize("rate", [500, 250])
def test_a_shorter_record_is_continued_with_its_median_where_the_cohort_says_so(
    tmp_path: Path, write_ecg: Callable[..., None], rate: int
) -> None:
    waves = heart(np.arange(6 * rate) / rate) + 0.1
    write_ecg(tmp_path / "a", waves, sampling_rate_hz=rate)
    assert refused_as(tmp_path / "a").reason == "too-short"
    assert refused_as(tmp_path / "a", shortest_s=6.1).detail == "6 s; expected 6.1 s"
    signal, heard = read_as(tmp_path / "a", shortest_s=6)
    assert heard == (["padded"] if rate == 500 else ["resampled", "padded"])
    assert signal.shape == (12, 5000)
    rest = signal[:, 3000:]
    np.testing.assert_array_equal(rest, np.repeat(rest[:, :1], 2000, axis=1))
    np.testing.assert_allclose(rest[:, 0], np.median(waves, axis=0) * 1000, atol=10)
    expected = heart() + 0.1
    np.testing.assert_allclose(signal[:, 50:2950], expected[50:2950].T * 1000, atol=15)


def test_a_rate_that_is_no_whole_number_is_resampled(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    rate = 250.25
    write_ecg(tmp_path / "a", heart(np.arange(2503) / rate), sampling_rate_hz=rate)
    signal, heard = read_as(tmp_path / "a")
    assert heard == ["resampled"]
    np.testing.assert_allclose(signal[:, 100:-100], heart()[100:-100].T * 1000, atol=5)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("longer", "last"),
        ("flat_leads", "dropped"),
        ("limb_leads", "ignored"),
        ("shortest_s", 0.5),
        ("gap_s", -1),
        ("gap_s", True),
    ],
)
def test_a_word_or_number_that_is_none_of_ours_is_refused(
    tmp_path: Path, argument: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=f"{argument} is .*; expected"):
        Ecg(tmp_path, path="{file}", **{argument: value})


SCP = [f"5.6.3-9-{code}" for code in (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)]


@pytest.mark.parametrize("names", [LEADS, [f"MDC_ECG_LEAD_{lead.upper()}" for lead in LEADS], SCP])
def test_the_rhythm_of_a_dicom_waveform_is_read(tmp_path: Path, names: Sequence[str]) -> None:
    write_dicom_ecg(tmp_path / "a.dcm", heart(), names=names)
    signal, heard = read_as(tmp_path / "a.dcm")
    assert heard == []
    np.testing.assert_allclose(signal, heart().T * 1000, atol=3)


def test_padding_of_a_dicom_waveform_is_a_gap(tmp_path: Path) -> None:
    waves = heart()
    waves[100:105, 2] = np.nan
    write_dicom_ecg(tmp_path / "a.dcm", waves, names=LEADS)
    assert refused_as(tmp_path / "a.dcm").detail == "0.01 s of III not recorded; expected 0 s"
    assert read_as(tmp_path / "a.dcm", gap_s=0.01)[1] == ["gap-filled"]


def test_a_dicom_waveform_without_a_sensitivity_has_no_unit(tmp_path: Path) -> None:
    write_dicom_ecg(tmp_path / "a.dcm", heart(), names=LEADS, sensitivity=False)
    assert refused_as(tmp_path / "a.dcm").reason == "unit"


def test_a_dicom_that_is_cut_off_or_no_waveform_is_not_readable(tmp_path: Path) -> None:
    write_dicom_ecg(tmp_path / "a.dcm", heart(), names=LEADS)
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:60_000])
    assert refused_as(tmp_path / "a.dcm").reason == "not-readable"
    (tmp_path / "b.dcm").write_bytes(whole[:600])
    assert refused_as(tmp_path / "b.dcm").reason == "not-readable"


@pytest.mark.parametrize("long_bytes", [0, 50_000_000])
def test_a_record_in_several_segments_is_read(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    long_bytes: int,
) -> None:
    monkeypatch.setattr(wfdb_record, "LONG_RECORDING_BYTES", long_bytes)
    write_ecg(tmp_path / "s1", heart()[:3000])
    write_ecg(tmp_path / "s2", heart()[3000:])
    (tmp_path / "a.hea").write_text("a/2 12 500 5000\ns1 3000\ns2 2000\n")
    np.testing.assert_allclose(read(tmp_path / "a"), heart().T * 1000, atol=2)


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


def leave_to_wfdb(record: Path) -> None:
    """Write the sampling rate with a point, so that the record is not of the plainest form."""
    header = record.with_suffix(".hea")
    text = header.read_text()
    header.write_text(text.replace(" 500 ", " 500.0 ", 1))
    assert header.read_text() != text


@pytest.mark.parametrize(
    "fault", [OSError(errno.EIO, "input/output error"), PermissionError(errno.EACCES, "no")]
)
def test_a_fault_of_the_machine_is_no_verdict_on_the_record(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    write_ecg(tmp_path / "a", WAVES)
    with monkeypatch.context() as patch:
        patch.setattr("os.fstat", fail)
        with pytest.raises(type(fault)):
            read(tmp_path / "a")
    leave_to_wfdb(tmp_path / "a")
    monkeypatch.setattr("wfdb.rdrecord", fail)
    with pytest.raises(type(fault)):
        read(tmp_path / "a")


@pytest.mark.parametrize(
    ("fault", "reason"), [(MemoryError(), "too-large"), (NotImplementedError(), "not-readable")]
)
def test_a_decoder_that_gives_up_is_a_verdict_on_that_record_alone(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    reason: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    write_ecg(tmp_path / "a", WAVES)
    leave_to_wfdb(tmp_path / "a")
    monkeypatch.setattr("wfdb.rdrecord", fail)
    assert rejection(tmp_path / "a").reason == reason


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

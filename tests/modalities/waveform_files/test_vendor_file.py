"""SCP-ECG, HL7 aECG and Philips XML are read as they were written, or refused with a sentence."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.waveform_files import vendor_file
from clinical_symile.modalities.waveform_files.vendor_file import open_vendor_file
from tests.helpers.vendor_ecgs import aecg, philips, scp

TIME_S = np.arange(5000) / 500
ONE, TWO = (150 * np.sin(2 * np.pi * rate * TIME_S + 0.5) for rate in (1.3, 1.7))
LIMB = (ONE, TWO, TWO - ONE, -(ONE + TWO) / 2, ONE - TWO / 2, TWO - ONE / 2)
CHEST = tuple(ONE * n / 3 + 0.1 * TWO for n in range(1, 7))
COUNTS = {
    lead: np.rint(values).astype(int).tolist()
    for lead, values in zip(LEADS, (*LIMB, *CHEST), strict=True)
}
# In another order than ours, as files may be.
SHUFFLED = {lead: COUNTS[lead] for lead in sorted(LEADS, reverse=True)}
WITHOUT_V6 = {lead: values for lead, values in COUNTS.items() if lead != "V6"}

Written = bytes | str


def write(folder: Path, content: Written) -> Path:
    file = folder / "a.ecg"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def read(folder: Path, content: Written) -> np.ndarray:
    file = write(folder, content)
    measured = Ecg(folder, path="{file}").read({"file": file.name}, folder)
    assert measured is not None
    return measured


def rejection(folder: Path, content: Written) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(folder, content)
    return caught.value


SCP = [
    scp(SHUFFLED, differences=differences, huffman=huffman)
    for differences in (0, 1, 2)
    for huffman in (False, True)
]
PHILIPS = [philips(SHUFFLED), philips(COUNTS, compressed=True)]


@pytest.mark.parametrize(
    ("content", "microvolts"),
    [*((one, 4.88) for one in (*SCP, aecg(SHUFFLED))), *((one, 5.0) for one in PHILIPS)],
)
def test_every_sample_of_every_lead_is_what_was_written(
    tmp_path: Path, content: Written, microvolts: float
) -> None:
    file = write(tmp_path, content)
    waveform = open_vendor_file(file)
    expected = np.array([COUNTS[lead] for lead in LEADS]) * microvolts / 1000
    assert waveform.sampling_rate_hz == 500
    np.testing.assert_allclose(waveform.millivolts(LEADS, 0, 5000), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(read(tmp_path, content), np.rint(expected * 1000))


@pytest.mark.parametrize(
    "content",
    [
        scp(COUNTS, nanovolts=2500),
        aecg(COUNTS, scale='<scale value="0.0025" unit="mV"/>'),
        aecg(COUNTS, scale='<scale value="2500" unit="nV"/>'),
        philips(COUNTS, resolution='resolution="2.5"'),
    ],
)
def test_the_amplitude_of_a_count_is_that_of_the_file(tmp_path: Path, content: Written) -> None:
    expected = np.array([COUNTS[lead] for lead in LEADS]) * 0.0025
    found = open_vendor_file(write(tmp_path, content)).millivolts(LEADS, 0, 5000)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "content",
    [
        aecg(COUNTS, origin_uv=100),
        philips({lead: np.add(one, 20).tolist() for lead, one in COUNTS.items()}, offset=20),
    ],
)
def test_the_zero_of_a_count_is_that_of_the_file(tmp_path: Path, content: Written) -> None:
    step, zero = (4.88, 0.1) if "AnnotatedECG" in str(content) else (5.0, 0.0)
    expected = np.array([COUNTS[lead] for lead in LEADS]) * step / 1000 + zero
    found = open_vendor_file(write(tmp_path, content)).millivolts(LEADS, 0, 5000)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "rate"),
    [
        (scp(COUNTS, interval_us=4000), 250),
        (scp(COUNTS, interval_us=3333), 1e6 / 3333),
        (aecg(COUNTS, increment='<increment value="1" unit="ms"/>'), 1000),
        (aecg(COUNTS, increment='<increment value="3000" unit="us"/>'), 1e6 / 3000),
        (philips(COUNTS, rate='samplespersecond="1000"', rate_hz=1000), 1000),
    ],
)
def test_the_sampling_rate_is_that_of_the_file_and_is_not_rounded(
    tmp_path: Path, content: Written, rate: float
) -> None:
    assert open_vendor_file(write(tmp_path, content)).sampling_rate_hz == pytest.approx(rate, 1e-9)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (scp(WITHOUT_V6), "leads-missing"),
        (aecg(WITHOUT_V6), "leads-missing"),
        (philips(WITHOUT_V6), "leads-missing"),
        (aecg(COUNTS, prefix="MDC_OTHER_"), "not-readable"),
        (scp(COUNTS, nanovolts=0), "unit"),
        (aecg(COUNTS, scale='<scale value="4.88" unit="mm"/>'), "unit"),
        (aecg(COUNTS, scale='<scale value="4.88"/>'), "unit"),
        (aecg(COUNTS, scale=""), "unit"),
        (philips(COUNTS, resolution=""), "unit"),
        (scp(COUNTS, interval_us=0), "not-readable"),
        (aecg(COUNTS, increment=""), "not-readable"),
        (aecg(COUNTS, increment='<increment value="-0.002" unit="s"/>'), "not-readable"),
        (aecg(COUNTS, increment='<increment value="1" unit="mm"/>'), "not-readable"),
        (philips(COUNTS, rate=""), "not-readable"),
        (philips(COUNTS, rate='samplespersecond="-500"'), "not-readable"),
        (scp(COUNTS)[:9000], "not-readable"),
        (aecg(COUNTS)[:9000], "not-readable"),
        (philips(COUNTS)[:9000], "not-readable"),
        (scp({**COUNTS, "V6": COUNTS["V6"][:4000]}), "not-readable"),
        (aecg({**COUNTS, "V6": COUNTS["V6"][:4000]}), "not-readable"),
        (scp(COUNTS, starts={"V6": 26}), "not-readable"),
    ],
)
def test_a_file_that_does_not_say_enough_is_refused(
    tmp_path: Path, content: Written, reason: str
) -> None:
    verdict = rejection(tmp_path, content)
    assert (verdict.reason, bool(verdict.detail)) == (reason, True)


def test_a_wrong_checksum_of_any_section_of_scp_is_refused(tmp_path: Path) -> None:
    for section in (-1, 0, 1, 3, 6):
        assert rejection(tmp_path, scp(COUNTS, wrong_crc=section)).reason == "checksum"


def test_leads_that_begin_later_by_the_same_are_read(tmp_path: Path) -> None:
    late = scp(COUNTS, starts=dict.fromkeys(LEADS, 26))
    np.testing.assert_array_equal(read(tmp_path, late), read(tmp_path, scp(COUNTS)))


def test_a_second_series_that_is_not_read_is_noted(tmp_path: Path) -> None:
    text = aecg(COUNTS)
    series = re.search(r"<component><series>.*</series></component>", text)
    assert series is not None
    file = write(tmp_path, text.replace(series[0], series[0] * 2))
    notes: list[str] = []
    Ecg(tmp_path, path="{file}").read({"file": file.name}, tmp_path, notes.append)
    assert notes == ["partly-read"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: scp(COUNTS, huffman=True),
        lambda: aecg(COUNTS),
        lambda: philips(COUNTS, compressed=True),
    ],
)
def test_a_file_that_is_too_large_for_an_ecg_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Written]
) -> None:
    content = make()
    monkeypatch.setattr(vendor_file, "MAX_BYTES", len(content) - 1)
    assert rejection(tmp_path, content).reason == "too-large"


def test_a_count_of_samples_that_no_scp_file_can_hold_is_refused(tmp_path: Path) -> None:
    content = bytearray(scp(COUNTS, huffman=True))
    whole = bytes(content)
    ends = whole.index((1).to_bytes(4, "little") + (5000).to_bytes(4, "little")) + 4
    content[ends : ends + 4] = b"\xff\xff\xff\x7f"
    assert rejection(tmp_path, bytes(content)).reason in ("not-readable", "too-large")


@pytest.mark.parametrize("root", ["examination", "CardiologyXML", "sapphire"])
def test_xml_of_another_vendor_is_told_which_forms_are_read(tmp_path: Path, root: str) -> None:
    file = tmp_path / "ecg.xml"
    file.write_text(f'<?xml version="1.0"?><{root}><data>1,2,3</data></{root}>')
    with pytest.raises(Rejected) as caught:
        open_vendor_file(file)
    assert caught.value.reason == "not-readable"
    assert "expected XML of MUSE, HL7 aECG or Philips, or SCP-ECG" in caught.value.detail

"""Plain WFDB records are read without WFDB's reader, with the same values and verdicts."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical_symile.modalities.base import Rejected, links_stay_inside
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.waveform_files import wfdb_format_16, wfdb_record
from clinical_symile.modalities.waveform_files.detect import open_waveform
from tests.helpers.mutations import KINDS, mutate

MISSING = -32768
# Records among the real ones that are plain: 16-bit samples of one file, no date in letters.
REAL_PLAIN = 28


def opened(stem: Path) -> tuple[Any, ...]:
    """All that is said of a record: its verdict, or its statements and the bits of its values."""
    try:
        waveform = open_waveform(stem, seconds=10)
        values = np.ascontiguousarray(waveform.load(0, waveform.times))
        found = (
            *(list(waveform.names), list(waveform.units), waveform.sampling_rate_hz),
            *(waveform.times, list(waveform.notes), values.shape, values.tobytes()),
        )
        signal = waveform.millivolts(waveform.names, 0, waveform.times)
        return (*found, signal.shape, signal.tobytes())
    except Rejected as rejected:
        return rejected.reason, rejected.detail


def through_wfdb(stem: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(wfdb_record, "read_format_16", lambda *_, **__: None)
        return opened(stem)


def is_plain(stem: Path) -> bool:
    lines = [
        line.strip()
        for line in stem.with_suffix(".hea").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    return wfdb_format_16.read_format_16(stem, lines, fewer_bytes=50_000_000) is not None


def write_record(
    stem: Path, counts: np.ndarray, lines: list[str], first: str, *, offset: int = 0
) -> None:
    stem.with_suffix(".hea").write_text("\n".join([first, *lines, "# a comment"]) + "\n")
    stem.with_suffix(".dat").write_bytes(bytes(offset) + counts.astype("<i2").tobytes())


def plain_lines(name: str, counts: np.ndarray, gain: str = "200.0(0)/mV") -> list[str]:
    return [
        f"{name}.dat 16 {gain} 16 0 {lead[0]} {int(lead.sum()) % 65536} 0 {LEADS[place % 12]}"
        for place, lead in enumerate(counts.T.astype(int))
    ]


ODD = {
    "layout": ("16+2", "16x2", "16:1", "212", "80"),
    "gain": ("0", "-5", "1e3", "200"),
    "unit": ("/uV", "/mv", "/V", "/mmHg", "/%", ""),
    "zero": (1024, -5),
    "block": ("",),
    "name": ("aVR", "MCL 1", "V5 ", "7", "lead I", "I", ""),
    "blank": ("  ", "\t"),
    "rate": ("100", "360.0", "0", "500/9"),
    "clock": (" 8:44", " 23:59:61", " 10:00:00.25", " 25:00:00", ""),
    "date": (" 31/02/2180", " 04-Jun-2020", ""),
}


@st.composite
def records(draw: st.DrawFn) -> tuple[np.ndarray, list[str], str, int]:
    """A record, the statements of its header, of which a few are odd, and its byte offset."""
    places = [*ODD, "checksum", "initial", "times", "signals"]
    odd = draw(st.sets(st.sampled_from(places), max_size=2))

    def stated(place: str, usual: Any, *others: Any) -> Any:
        if place not in odd:
            return usual
        return draw(st.sampled_from([usual, *ODD.get(place, ()), *others]))

    signals, times = draw(st.integers(1, 4)), draw(st.integers(1, 150))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reach = draw(st.sampled_from([3, 1000, 32768]))
    counts = rng.integers(-reach, reach, (times, signals))
    counts[rng.random(counts.shape) < draw(st.sampled_from([0, 0, 0.1, 1]))] = MISSING
    layout, offset = draw(st.sampled_from([("16", 0), ("16+24", 24), ("16x1+24", 24)]))
    gain = draw(st.sampled_from(["200", "1000.0", "31849.868463148447", "0.001"]))
    baselines = st.sampled_from(["", "(0)", "(-2203)", "(1024)", "(700000)"])
    lines = []
    for place, lead in enumerate(counts.T):
        right, began = int(lead.sum()) % 65536, int(lead[0])
        words = [
            *("r.dat", stated("layout", layout)),
            stated("gain", gain) + draw(baselines) + stated("unit", "/mV"),
            *("16", str(stated("zero", 0)), str(stated("initial", began, 0, 7))),
            str(stated("checksum", right, right - 65536, 0, right + 1)),
            *(stated("block", "0"), stated("name", LEADS[place])),
        ]
        lines.append(stated("blank", " ").join(words))
    first = f"r {stated('signals', signals, signals + 1)} {stated('rate', '500')} "
    first += str(stated("times", times, times + 1, times - 1))
    first += draw(
        st.sampled_from(["", stated("clock", " 08:44:00") + stated("date", " 23/07/2180")])
    )
    return counts, lines, first, offset


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(record=records())
def test_any_record_has_the_values_and_the_verdict_that_wfdb_gives(
    record: tuple[np.ndarray, list[str], str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts, lines, first, offset = record
    write_record(tmp_path / "r", counts, lines, first, offset=offset)
    assert opened(tmp_path / "r") == through_wfdb(tmp_path / "r", monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".hea", ".dat"])
def test_a_damaged_record_has_the_verdict_that_wfdb_gives(
    kind: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    counts = rng.integers(-300, 300, (400, 3))
    write_record(
        tmp_path / "r", counts, plain_lines("r", counts), "r 3 500 400 08:44:00 23/07/2180"
    )
    file = (tmp_path / "r").with_suffix(suffix)
    whole = file.read_bytes()
    for _ in range(4):
        file.write_bytes(mutate(whole, rng, kind))
        assert opened(tmp_path / "r") == through_wfdb(tmp_path / "r", monkeypatch)


def test_real_records_have_the_values_and_the_verdicts_that_wfdb_gives(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared / "real" / "ecg_wfdb"
    stems = sorted(file.with_suffix("") for file in folder.glob("*.hea"))
    for stem in stems:
        assert opened(stem) == through_wfdb(stem, monkeypatch), stem.name
    assert sum(map(is_plain, stems)) == REAL_PLAIN


def test_the_form_of_mimic_iv_ecg_and_ptb_xl_is_read_without_wfdb(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("WFDB's reader was called")

    counts = rng.integers(-300, 300, (5000, 12))
    write_record(
        tmp_path / "m", counts, plain_lines("m", counts), "m 12 500 5000 08:44:00 23/07/2180"
    )
    write_record(tmp_path / "p", counts, plain_lines("p", counts, "1000.0(0)/mV"), "p 12 500 5000")
    monkeypatch.setattr(wfdb, "rdrecord", refuse)
    monkeypatch.setattr(wfdb, "rdheader", refuse)
    for name, per_mv in (("m", 200), ("p", 1000)):
        measured = Ecg(tmp_path, path="{file}").read({"file": name}, tmp_path)
        np.testing.assert_array_equal(measured, np.rint(counts.T / per_mv * 1000))


def test_a_sample_that_means_no_value_is_missing(tmp_path: Path) -> None:
    counts = np.array([[5, MISSING], [MISSING, -400], [7, 200]])
    write_record(tmp_path / "r", counts, plain_lines("r", counts), "r 2 500 3")
    assert is_plain(tmp_path / "r")
    signal = open_waveform(tmp_path / "r", seconds=10).millivolts(("I", "II"), 0, 3)
    np.testing.assert_array_equal(signal, [[0.025, np.nan, 0.035], [np.nan, -2.0, 1.0]])
    part = open_waveform(tmp_path / "r", seconds=10).millivolts(("II", "I"), 1, 3)
    np.testing.assert_array_equal(part, [[-2.0, 1.0], [np.nan, 0.035]])


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0].replace("r 3", "r/1 3"), *lines[1:]],  # segments
        lambda lines: [*lines[:3], lines[3].replace(" 16 ", " 212 ")],  # formats
        lambda lines: [*lines[:3], lines[3].replace(" 16 ", " 16:2 ")],  # skew
        lambda lines: [*lines[:3], lines[3].replace(" 16 ", " 16x2 ")],  # samples per time point
        lambda lines: [*lines[:3], lines[3].replace(" 16 ", " 16+2 ")],  # offsets
        lambda lines: [*lines[:3], lines[3].replace("r.dat", "s.dat")],  # files
        lambda lines: [*lines[:3], lines[3].replace("r.dat", "../r.dat")],
        lambda lines: [*lines[:3], lines[3].replace("200.0", "0")],  # not calibrated
        lambda lines: [*lines[:3], lines[3].replace("200.0", "2e2")],
        lambda lines: lines[:3],
        lambda lines: [lines[0].replace("400", "0"), *lines[1:]],  # no length
        lambda lines: [],
    ],
)
def test_other_records_are_left_to_wfdb(
    change: Callable[[list[str]], list[str]], tmp_path: Path, rng: np.random.Generator
) -> None:
    counts = rng.integers(-300, 300, (400, 3))
    lines = ["r 3 500 400", *plain_lines("r", counts)]
    write_record(tmp_path / "r", counts, lines[1:], lines[0])
    shutil.copy(tmp_path / "r.dat", tmp_path / "s.dat")

    def read(lines: list[str], fewer_bytes: int = 50_000_000) -> object:
        return wfdb_format_16.read_format_16(tmp_path / "r", lines, fewer_bytes=fewer_bytes)

    assert read(lines) is not None
    assert read(change(lines)) is None
    assert read(lines, fewer_bytes=2400) is None  # a file of 2,400 bytes is long here
    with (tmp_path / "r.dat").open("r+b") as stream:
        stream.truncate(2399)
    assert read(lines) is None


def test_a_link_out_of_the_source_folder_is_refused(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    counts, source = rng.integers(-300, 300, (400, 3)), tmp_path / "source"
    source.mkdir()
    write_record(source / "r", counts, plain_lines("r", counts), "r 3 500 400")
    (source / "r.dat").rename(tmp_path / "elsewhere.dat")
    (source / "r.dat").symlink_to(tmp_path / "elsewhere.dat")
    with links_stay_inside(source), pytest.raises(Rejected, match="outside-source"):
        open_waveform(source / "r", seconds=10)

"""WFDB records are read as their headers state, or refused."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.ecg import LEADS, Ecg
from clinical_symile.modalities.waveform_files import wfdb_record

TIME_S = np.arange(5000) / 500
ONE, TWO = (np.sin(2 * np.pi * rate * TIME_S) for rate in (1.3, 1.7))
LIMB = [ONE, TWO, TWO - ONE, -(ONE + TWO) / 2, ONE - TWO / 2, TWO - ONE / 2]
WAVES = np.stack([*LIMB, *(ONE * n / 3 + 0.01 * TWO for n in range(1, 7))], axis=1)
WAVES = WAVES + 0.001 * TIME_S[:, None] * [1, 2, 1, -1.5, 0, 1.5, 1, 2, 3, 4, 5, 6]  # sums differ


def read(path: Path) -> np.ndarray:
    measured = Ecg(path.parent, path="{file}").read({"file": path.name}, path.parent)
    assert measured is not None
    return measured


def rejection(path: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(path)
    return caught.value


def change_header(path: Path, change: Callable[[list[str]], Sequence[str]]) -> None:
    header = path.with_suffix(".hea")
    header.write_text("\n".join(change(header.read_text().splitlines())) + "\n")


def test_the_signal_of_another_record_is_refused(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    write_ecg(tmp_path / "a", WAVES)
    write_ecg(tmp_path / "b", WAVES[::-1] + 0.1)
    shutil.copy(tmp_path / "b.dat", tmp_path / "a.dat")
    verdict = rejection(tmp_path / "a")
    assert verdict.reason == "checksum"
    assert "of another record" in verdict.detail


@pytest.mark.parametrize("long_bytes", [0, 50_000_000])
@pytest.mark.parametrize(("at", "stated"), [(0, "initial value"), (4000, "checksum")])
def test_one_changed_sample_is_refused_whatever_the_length_of_the_file(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    long_bytes: int,
    at: int,
    stated: str,
) -> None:
    monkeypatch.setattr(wfdb_record, "LONG_RECORDING_BYTES", long_bytes)
    monkeypatch.setattr(wfdb_record, "_PART_SAMPLES", 12 * 1700)
    write_ecg(tmp_path / "a", WAVES)
    counts = np.fromfile(tmp_path / "a.dat", dtype="<i2")
    counts[at * 12 + 2] += 1
    counts.tofile(tmp_path / "a.dat")
    verdict = rejection(tmp_path / "a")
    assert verdict.reason == "checksum"
    assert f"of iii disagree with the {stated}" in verdict.detail


def test_a_record_without_checksums_is_read(tmp_path: Path, write_ecg: Callable[..., None]) -> None:
    write_ecg(tmp_path / "a", WAVES)
    expected = read(tmp_path / "a")
    change_header(
        tmp_path / "a", lambda lines: [lines[0], *(shortened(line) for line in lines[1:])]
    )
    np.testing.assert_array_equal(read(tmp_path / "a"), expected)


def shortened(line: str) -> str:
    """A signal's line without initial value, checksum and block size, as header(5) permits."""
    words = line.split()
    return "\t".join([" ".join(words[:5]), words[-1]])


def test_negative_checksums_mean_the_same(tmp_path: Path, write_ecg: Callable[..., None]) -> None:
    write_ecg(tmp_path / "a", WAVES)
    expected = read(tmp_path / "a")

    def signed(line: str) -> str:
        words = line.split()
        words[6] = str((int(words[6]) + 32768) % 65536 - 32768)
        return " ".join(words)

    change_header(tmp_path / "a", lambda lines: [lines[0], *map(signed, lines[1:])])
    assert "-" in (tmp_path / "a.hea").read_text()
    np.testing.assert_array_equal(read(tmp_path / "a"), expected)


def with_sum_of_zero(waves: np.ndarray) -> np.ndarray:
    """The same record with values at its end that make the sum of each signal 0."""
    counts = np.rint(waves * 1000).astype(int)
    for lead in counts.T:
        for place in range(2000):
            step = int(np.clip(lead.sum(), -90, 90))
            lead[2500 + place] -= step
    assert not counts.sum(axis=0).any()
    return counts / 1000


def test_a_checksum_of_0_is_accepted_where_it_holds_and_refused_where_it_does_not(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    write_ecg(tmp_path / "a", with_sum_of_zero(WAVES))
    lines = (tmp_path / "a.hea").read_text().splitlines()[1:13]
    assert {line.split()[6] for line in lines} == {"0"}
    notes: list[str] = []
    Ecg(tmp_path, path="{file}").read({"file": "a"}, tmp_path, notes.append)
    assert "checksum-unknown" not in notes
    counts = np.fromfile(tmp_path / "a.dat", dtype="<i2")
    counts[30] += 1
    counts.tofile(tmp_path / "a.dat")
    assert rejection(tmp_path / "a").reason == "checksum"


@pytest.mark.parametrize("long_bytes", [50_000_000, 1000])
def test_a_header_with_0_for_every_checksum_of_which_none_holds_is_read_and_noted(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    long_bytes: int,
) -> None:
    monkeypatch.setattr(wfdb_record, "LONG_RECORDING_BYTES", long_bytes)
    write_ecg(tmp_path / "a", WAVES + 0.1)
    expected = read(tmp_path / "a")

    def zeroed(line: str, initial: str | None = "0") -> str:
        words = line.split()
        return " ".join([*words[:5], initial or words[5], "0", *words[7:]])

    change_header(tmp_path / "a", lambda lines: [lines[0], *map(zeroed, lines[1:])])
    notes: list[str] = []
    values = Ecg(tmp_path, path="{file}").read({"file": "a"}, tmp_path, notes.append)
    np.testing.assert_array_equal(values, expected)
    assert notes == ["checksum-unknown"]
    change_header(  # an initial value that is stated must hold all the same
        tmp_path / "a", lambda lines: [*lines[:12], zeroed(lines[12], "7")]
    )
    assert rejection(tmp_path / "a").reason == "checksum"


@pytest.mark.parametrize(
    "gain", ["0", "0(0)/mV", "-1000/mV", "1e999/mV", "nan/mV", "nan(0)/mV", "inf(0)/mV"]
)
def test_a_gain_that_is_not_positive_and_finite_is_no_unit(
    tmp_path: Path, write_ecg: Callable[..., None], gain: str
) -> None:
    write_ecg(tmp_path / "a", WAVES)
    change_header(
        tmp_path / "a",
        lambda lines: [re.sub(r"(16) \S+ (.*)", rf"\1 {gain} \2", line) for line in lines],
    )
    assert rejection(tmp_path / "a").reason == "unit"


def test_a_signal_that_is_not_needed_may_be_uncalibrated(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    write_ecg(tmp_path / "a", np.hstack([WAVES, WAVES[:, :1]]), leads=(*LEADS, "resp"))
    expected = read(tmp_path / "a")
    change_header(tmp_path / "a", lambda lines: [*lines[:-1], lines[-1].replace("1000", "0", 1)])
    np.testing.assert_array_equal(read(tmp_path / "a"), expected)


@pytest.mark.parametrize("first", ["a 12 500 0", "a 12 500", "a 12 500 0 10:00:00"])
def test_length_0_means_that_the_length_is_not_stated(
    tmp_path: Path, write_ecg: Callable[..., None], first: str
) -> None:
    write_ecg(tmp_path / "a", WAVES)
    expected = read(tmp_path / "a")
    change_header(tmp_path / "a", lambda lines: [first, *lines[1:]])
    np.testing.assert_array_equal(read(tmp_path / "a"), expected)


def test_without_a_length_there_is_no_checksum_but_an_initial_value(
    tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    write_ecg(tmp_path / "a", WAVES)
    change_header(tmp_path / "a", lambda lines: ["a 12 500 0", *lines[1:]])
    counts = np.fromfile(tmp_path / "a.dat", dtype="<i2")
    counts[600] += 1
    counts.tofile(tmp_path / "a.dat")
    assert read(tmp_path / "a").shape == (12, 5000)
    counts[0] += 1
    counts.tofile(tmp_path / "a.dat")
    assert rejection(tmp_path / "a").reason == "checksum"


@pytest.mark.parametrize("rate", ["-500", "0", "nan", "inf", "1e999", "-inf", "x"])
def test_a_sampling_rate_that_is_not_positive_and_finite_is_refused(
    tmp_path: Path, write_ecg: Callable[..., None], rate: str
) -> None:
    write_ecg(tmp_path / "a", WAVES)
    change_header(tmp_path / "a", lambda lines: [f"a 12 {rate} 5000", *lines[1:]])
    verdict = rejection(tmp_path / "a")
    assert (verdict.reason, verdict.detail[:17]) == ("sampling-rate", "the header states")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [line.replace(" 16 ", " 16x100000 ") for line in lines], "more samples"),
        (lambda lines: ["a 99999999 500 5000", *lines[1:]], "announces 99999999 signals"),
        (lambda lines: ["a -12 500 5000", *lines[1:]], "no number of signals"),
        (lambda lines: ["a 0 500 5000"], "announces 0 signals"),
        (lambda lines: ["a 12 500 99999999999", *lines[1:]], "more samples"),
        (lambda lines: ["a 12 500 -5000", *lines[1:]], "number of time points"),
        (lambda lines: lines[:7], "announces 12 signals and describes 6"),
        (lambda lines: [], "names no number of signals"),
        (lambda lines: [line.replace(" 16 ", " 17 ") for line in lines], "formats that are read: "),
        (lambda lines: [line.replace(" 16 ", " mat ") for line in lines], "format in the header"),
        (lambda lines: [line.replace("a.dat", "../a.dat") for line in lines], "another folder"),
        (lambda lines: ["a/99999999 12 500 5000", "s 5000"], "announces 99999999 segments"),
        (lambda lines: ["a/1 12 500 5000", "a 5000"], "a segment that consists of segments"),
    ],
)
def test_a_header_that_no_recording_can_have_is_refused(
    tmp_path: Path,
    write_ecg: Callable[..., None],
    change: Callable[[list[str]], list[str]],
    said: str,
) -> None:
    write_ecg(tmp_path / "a", WAVES)
    change_header(tmp_path / "a", change)
    verdict = rejection(tmp_path / "a")
    assert verdict.reason == "not-readable"
    assert said in verdict.detail


def test_a_damaged_segment_is_refused(tmp_path: Path, write_ecg: Callable[..., None]) -> None:
    write_ecg(tmp_path / "s1", WAVES[:3000])
    write_ecg(tmp_path / "s2", WAVES[3000:])
    (tmp_path / "a.hea").write_text("a/2 12 500 5000\ns1 3000\ns2 2000\n")
    np.testing.assert_allclose(read(tmp_path / "a"), WAVES.T * 1000, atol=2)
    counts = np.fromfile(tmp_path / "s2.dat", dtype="<i2")
    counts[5000] += 100
    counts.tofile(tmp_path / "s2.dat")
    assert rejection(tmp_path / "a").reason == "checksum"


# How a signal file may be damaged: from its bytes, and those of another record, to others.
def _flip(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return data


def _randomize(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    first, size = int(rng.integers(len(data))), int(rng.integers(1, 5000))
    data[first : first + size] = rng.bytes(len(data[first : first + size]))
    return data


def _zero(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    first, size = int(rng.integers(len(data))), int(rng.integers(1, 5000))
    data[first : first + size] = bytes(len(data[first : first + size]))
    return data


def _zero_tail(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    first = int(rng.integers(len(data)))
    data[first:] = bytes(len(data) - first)
    return data


def _cut(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(len(data)))]


def _lose(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    first, size = int(rng.integers(len(data))), int(rng.integers(1, 3000))
    lost = len(data[first : first + size])
    return data[:first] + data[first + size :] + bytes(lost)


def _swap(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    first = int(rng.integers(len(data)))
    data[first:] = other[first : len(data)].ljust(len(data) - first, b"\0")
    return data


def _append(data: bytearray, other: bytes, rng: np.random.Generator) -> bytearray:
    return data + rng.bytes(int(rng.integers(1, 500)))


DAMAGES = (_flip, _randomize, _zero, _zero_tail, _cut, _lose, _swap, _append)


def statements_hold(header: str, signal: bytes, offset: int) -> bool:
    """Whether checksums and initial values hold: sums of interleaved 16-bit numbers."""
    first, *lines = [line for line in header.splitlines() if not line.startswith("#")]
    times = int(first.split()[3])
    counts = np.frombuffer(signal[offset : offset + 24 * times], dtype="<i2").reshape(times, 12)
    for lead, line in zip(counts.T.astype(int), lines, strict=True):
        initial, checksum = (int(word) for word in line.split()[5:7])
        if lead[0] != initial or (lead.sum() - checksum) % 65536:
            return False
    return True


def count_wrongly_accepted(
    records: Sequence[Path], folder: Path, suffix: str, *, mutations: int
) -> tuple[int, int]:
    """How many damaged files were accepted with other values, and how many at all."""
    offset = {".dat": 0, ".mat": 24}[suffix]
    whole = {record: read(record) for record in records}
    rng = np.random.default_rng(10)
    wrong = accepted = 0
    for number in range(mutations):
        record = records[number % len(records)]
        other = records[(number + 1) % len(records)].with_suffix(suffix).read_bytes()
        header = record.with_suffix(".hea").read_text()
        data = bytearray(record.with_suffix(suffix).read_bytes())
        damaged = bytes(DAMAGES[number % len(DAMAGES)](data, other, rng))
        copy = folder / record.name
        copy.with_suffix(".hea").write_text(header)
        copy.with_suffix(suffix).write_bytes(damaged)
        try:
            values = read(copy)
        except Rejected:
            continue
        accepted += 1
        same = np.array_equal(values, whole[record])
        wrong += not same and not statements_hold(header, damaged, offset)
    return wrong, accepted


@pytest.fixture(params=[".dat", ".mat"])
def records(
    request: pytest.FixtureRequest, tmp_path: Path, write_ecg: Callable[..., None]
) -> tuple[list[Path], str]:
    """Eight records with checksums, of 16-bit numbers in a .dat, or after 24 bytes in a .mat."""
    rng = np.random.default_rng(3)
    paths = [tmp_path / f"r{n}" for n in range(8)]
    for path in paths:
        write_ecg(path, WAVES + rng.normal(0, 0.03, WAVES.shape))
        if request.param == ".mat":
            data = path.with_suffix(".dat").read_bytes()
            path.with_suffix(".mat").write_bytes(rng.bytes(24) + data)
            path.with_suffix(".dat").unlink()
            header = path.with_suffix(".hea")
            header.write_text(re.sub(r"\.dat 16 ", ".mat 16+24 ", header.read_text()))
    return paths, request.param


@pytest.mark.parametrize("mutations", [24, pytest.param(300, marks=pytest.mark.slow)])
def test_no_damaged_signal_file_is_accepted_with_other_values(
    tmp_path: Path, records: tuple[list[Path], str], mutations: int
) -> None:
    paths, suffix = records
    (tmp_path / "damaged").mkdir()
    wrong, accepted = count_wrongly_accepted(
        paths, tmp_path / "damaged", suffix, mutations=mutations
    )
    assert wrong == 0
    assert 0 < accepted < mutations / 4  # what follows the record's end changes nothing


@pytest.mark.parametrize("mutations", [34, pytest.param(300, marks=pytest.mark.slow)])
def test_no_damaged_real_signal_file_is_accepted_with_other_values(
    tmp_path: Path, shared: Path, mutations: int
) -> None:
    folder = shared / "real" / "ecg_wfdb"
    found = [path.with_suffix("") for path in sorted(folder.glob("*.mat"))]
    paths = [path for path in found if path.name not in ("E00001",)]
    wrong, _ = count_wrongly_accepted(paths, tmp_path, ".mat", mutations=mutations)
    assert wrong == 0

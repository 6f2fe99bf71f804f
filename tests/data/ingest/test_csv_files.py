"""CSV files: their dialect is not guessed from values, and a problem names its line."""

import gzip
from pathlib import Path

import pytest

from clinical_symile.data.ingest.csv_files import (
    csv_problem,
    detect_encoding,
    head_problem,
    is_utf_8_read_as_latin_1,
    read_dialect,
    text_codec,
)
from clinical_symile.errors import DataError

ROWS = ["id,code,value", *(f"{n},K,4" for n in range(100))]


def write(file: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    file.write_bytes("".join(line + "\n" for line in lines).encode(encoding))
    return file


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("59,K,4,x", "line 61 has 4 cells where the header has 3"),
        ("59,K", "line 61 has 2 cells where the header has 3"),
        ("(120 rows affected)", "line 61 has 1 cell where the header has 3. If it is a footer"),
        ('59,"K,4', "line 61"),
        ("59,K,4\r", "lines end in"),
    ],
)
def test_a_broken_line_is_named_and_its_values_are_not(
    tmp_path: Path, line: str, told: str
) -> None:
    problem = csv_problem(write(tmp_path / "a.csv", [*ROWS[:60], line, *ROWS[61:]]), "utf-8")
    assert problem is not None
    assert told in problem
    assert "K" not in problem.replace(str(tmp_path), "")


@pytest.mark.parametrize(("encoding", "told"), [("latin-1", "latin-1"), ("utf-16", "utf-16")])
def test_another_encoding_is_named_and_may_be_declared(
    tmp_path: Path, encoding: str, told: str
) -> None:
    file = write(tmp_path / "a.csv", [*ROWS, "100,männlich,1"], encoding)
    problem = csv_problem(file, "utf-8")
    assert problem is not None
    assert f'encoding = "{told}"' in problem
    assert csv_problem(file, encoding) is None


def test_a_whole_file_has_no_problem_compressed_or_not(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", ROWS)
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert csv_problem(file, "utf-8") is None
    assert csv_problem(packed, "utf-8") is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_that_of_the_header(tmp_path: Path, delimiter: str) -> None:
    file = write(tmp_path / "a.csv", [delimiter.join(["id", '"a,b"', "value"]), "1;2,3"])
    assert read_dialect(file, "utf-8").delimiter == delimiter


@pytest.mark.parametrize(
    ("encoding", "declared", "told"),
    [
        ("utf-16", "utf-8", "is encoded in UTF-16, not in UTF-8"),
        ("utf-16-le", "latin-1", "is encoded in UTF-16, not in LATIN-1"),
        ("utf-16-be", "utf-16", "big-endian UTF-16"),
        ("utf-8", "utf-16", "is not encoded in UTF-16"),
    ],
)
def test_an_encoding_that_would_be_read_as_nonsense_is_named(
    tmp_path: Path, encoding: str, declared: str, told: str
) -> None:
    problem = head_problem(write(tmp_path / "a.csv", ROWS, encoding), declared)
    assert problem is not None
    assert told in problem


def test_utf_8_that_is_declared_as_latin_1_is_noticed(tmp_path: Path) -> None:
    rows = [*ROWS, "100,männlich,1"]
    assert is_utf_8_read_as_latin_1(write(tmp_path / "a.csv", rows), "latin-1")
    assert not is_utf_8_read_as_latin_1(write(tmp_path / "b.csv", rows, "latin-1"), "latin-1")
    assert not is_utf_8_read_as_latin_1(write(tmp_path / "c.csv", ROWS), "latin-1")


def test_blank_lines_before_the_header_are_counted(tmp_path: Path) -> None:
    dialect = read_dialect(write(tmp_path / "a.csv", ["", " ", *ROWS]), "utf-8")
    assert dialect.blank_lines == 2
    assert dialect.header == ("id", "code", "value")


def test_a_row_of_more_than_two_megabytes_is_named(tmp_path: Path) -> None:
    rows = [*ROWS, '100,"K', "x" * 2_100_000, '",1']
    problem = csv_problem(write(tmp_path / "a.csv", rows), "utf-8")
    assert problem is not None
    assert "the row that begins in line 102 is longer than 2 MB" in problem


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        *(("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("ascii", "utf-8")),
        *(("latin-1", "latin-1"), ("cp1252", "latin-1")),
        *(("utf-16", "utf-16"), ("utf-16-le", "utf-16")),
    ],
)
def test_the_encoding_of_a_file_follows_from_its_content(
    tmp_path: Path, name: str, codec: str, encoding: str
) -> None:
    word = "male" if codec == "ascii" else "männlich"
    content = f"id,sex\n1,{word}\n".encode(codec)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert detect_encoding(tmp_path / name) == encoding
    assert content.decode(text_codec(tmp_path / name, encoding)).splitlines()[1] == f"1,{word}"
    assert csv_problem(tmp_path / name, encoding) is None


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_gzip_file_is_one_sentence(tmp_path: Path, damage: str) -> None:
    content = bytearray(gzip.compress(b"id,sex\n" + b"1,m\n" * 5000))
    damaged = content[:40] if damage == "cut" else content[:20] + b"\xff" * 20 + content[40:]
    (tmp_path / "a.csv.gz").write_bytes(damaged)
    for read in (detect_encoding, lambda file: csv_problem(file, "utf-8")):
        with pytest.raises(DataError, match=r"a\.csv\.gz: is no complete gzip file\. Get"):
            read(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("letter", ["€", "–", "„"])  # noqa: RUF001
def test_a_letter_of_windows_that_latin_1_lacks_is_named_with_what_to_do(
    tmp_path: Path, letter: str
) -> None:
    file = write(tmp_path / "a.csv", [*ROWS, f"100,{letter},1"], "cp1252")
    problem = csv_problem(file, "latin-1")
    assert problem is not None
    assert f"line {len(ROWS) + 1} has a letter of Windows-1252" in problem
    assert "UTF-8" in problem
    assert letter not in problem

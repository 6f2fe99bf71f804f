"""Find files that are not as they were written."""

import warnings
from pathlib import Path

import pytest

from clinical_symile.errors import DataError, UncheckedFilesWarning
from clinical_symile.files import lock_folder, write_checksums, write_text
from clinical_symile.tracking.checksums import (
    ALWAYS_HASHED_BYTES,
    CHECKSUMS_FILE,
    Checksum,
    as_line,
    changed_files,
    check_content,
    check_folder,
    check_tables,
    missing_files,
    read_checksums,
    sealed_text,
    unlisted_files,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with one large file."""
    made = tmp_path / "symile-0"
    with lock_folder(made):
        write_text(made / "run.toml", 'name = "symile-0"\n')
        write_text(made / "results.jsonl", "{}\n")
        write_text(made / "model.safetensors", "w" * (ALWAYS_HASHED_BYTES + 1))
    return made


def test_an_unchanged_folder_is_opened(folder: Path) -> None:
    check_folder(folder, missing=True)
    assert changed_files(folder, everything=True) == []


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (b"", "is empty; expected 3 bytes"),
        (b"{", "has 1 bytes; expected 3 bytes"),
        (b"[]\n", "was changed since it was written"),
        (b"\x00\x00\x00", "was changed since it was written"),
    ],
)
def test_a_small_file_that_was_changed_is_refused_with_what_to_do(
    folder: Path, content: bytes, state: str
) -> None:
    (folder / "results.jsonl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        check_folder(folder)
    assert f"results.jsonl: {state}" in str(caught.value)
    assert "remove it and run `clinical-symile evaluate` again. [CS-R017]" in str(caught.value)


def test_a_large_file_is_compared_by_size_on_opening_and_by_content_when_it_is_verified(
    folder: Path,
) -> None:
    weights = folder / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.write(b"v")
    check_folder(folder)
    (changed,) = changed_files(folder, everything=True)
    assert "remove the run's folder and train again" in str(changed)
    with pytest.raises(DataError, match=r"model\.safetensors: was changed"):
        check_content(weights, folder)
    weights.write_bytes(b"cut")
    with pytest.raises(DataError, match=r"model\.safetensors: has 3 bytes; expected 16777217"):
        check_folder(folder)


def test_a_missing_file_is_left_to_its_reader_unless_all_are_wanted(folder: Path) -> None:
    (folder / "results.jsonl").unlink()
    check_folder(folder)
    assert missing_files(folder) == {"results.jsonl"}
    with pytest.raises(DataError, match=r"results\.jsonl: is missing"):
        check_folder(folder, missing=True)


def _damaged(content: bytes) -> dict[str, bytes]:
    return {
        "half": content[: len(content) // 2],
        "zeroed": bytes(len(content)),
        "empty": b"",
        "edited": content.replace(b'"size": 3', b'"size": 4'),
        "one line less": content[: content[:-1].rfind(b"\n") + 1],
    }


@pytest.mark.parametrize("how", ["half", "zeroed", "empty", "edited", "one line less"])
def test_checksums_that_were_changed_themselves_are_refused(folder: Path, how: str) -> None:
    file = folder / CHECKSUMS_FILE
    file.write_bytes(_damaged(file.read_bytes())[how])
    with pytest.raises(DataError, match=r"checksums\.jsonl: was changed or cut"):
        check_folder(folder)


def test_a_line_that_was_cut_while_it_was_added_is_passed_over(folder: Path) -> None:
    with (folder / CHECKSUMS_FILE).open("ab") as stream:
        stream.write(b'{"file": "res')
    check_folder(folder)
    with lock_folder(folder):
        write_text(folder / "notes.jsonl", "")
    assert (read_checksums(folder) or {}).keys() > {"notes.jsonl"}
    check_folder(folder)


def test_an_old_folder_is_opened_with_a_note(folder: Path) -> None:
    (folder / CHECKSUMS_FILE).unlink()
    with pytest.warns(UncheckedFilesWarning, match="verify --renew"):
        check_folder(folder)


def test_files_of_an_old_folder_that_was_written_further_are_named(folder: Path) -> None:
    (folder / CHECKSUMS_FILE).unlink()
    with lock_folder(folder):
        write_text(folder / "unscored.jsonl", "{}\n")
    named = r"symile-0: model\.safetensors, results\.jsonl, run\.toml without a checksum: .*--renew"
    with pytest.warns(UncheckedFilesWarning, match=named):
        check_folder(folder)
    with pytest.warns(UncheckedFilesWarning, match=r"symile-0: run\.toml without a checksum"):
        check_folder(folder, wanted=lambda file: file == "run.toml")
    write_checksums(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_folder(folder)


def test_notes_and_pictures_of_your_own_get_no_note(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_folder(folder)


def test_a_folder_that_is_none_of_ours_gets_no_note(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_folder(tmp_path)
        check_folder(tmp_path / "none")


def test_files_without_a_checksum_are_found(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert unlisted_files(folder) == [folder / "notes.txt"]


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/passwd", "a/../../outside.txt"])
def test_a_path_outside_the_folder_is_no_file_of_it(folder: Path, name: str) -> None:
    outside = folder.parent / "outside.txt"
    outside.write_text("another file")
    line = as_line(Checksum(name, 16, "0" * 64)).encode()
    (folder / CHECKSUMS_FILE).write_bytes(sealed_text([]) + line)
    with pytest.raises(DataError, match=r"checksums\.jsonl: was changed or cut"):
        check_folder(folder)


def test_a_page_that_was_edited_does_not_keep_it_from_being_written_again(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "demo"):
        write_text(tmp_path / "demo" / "benchmark.json", "{}")
        write_text(tmp_path / "demo" / "report.html", "as it was")
    (tmp_path / "demo" / "report.html").write_text("with a logo")
    check_folder(tmp_path / "demo")
    assert changed_files(tmp_path / "demo", everything=True)


def test_a_lost_table_is_refused_where_nothing_would_compute_it_again(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "run"):
        write_text(tmp_path / "run" / "results.jsonl", "")
        write_text(tmp_path / "run" / "subgroups.jsonl", "")
    check_tables(tmp_path / "run")
    (tmp_path / "run" / "subgroups.jsonl").unlink()
    check_folder(tmp_path / "run")
    with pytest.raises(DataError, match=r"subgroups\.jsonl: is missing"):
        check_tables(tmp_path / "run")

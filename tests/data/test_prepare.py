import errno
import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.data.ingest import decode
from clinical_symile.data.ingest import worker_pool as workers
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.files import lock_folder, write_text
from clinical_symile.tracking.checksums import changed_files, read_checksums
from tests.helpers.hospital import Hospital, refusal, run


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_store_has_every_sample_with_some_recording_in_order(hospital: Hospital) -> None:
    store = run(hospital)
    assert store.samples["sample"].tolist() == list(range(100, 108))
    assert store.samples["split"].tolist() == ["train"] * 5 + ["tuning", "held_out", "held_out"]
    expected = np.ones((8, 3), dtype=bool)
    expected[2, 0] = expected[3, 1] = expected[4, 2] = False
    np.testing.assert_array_equal(store.present, expected)
    assert not hospital.out.with_name("store.partial").exists()


def test_the_order_of_rows_in_the_table_does_not_matter(hospital: Hospital) -> None:
    digest = run(hospital).digest
    hospital.write(hospital.admissions.sort_values("admission", ascending=False))
    hospital.out = hospital.out.with_name("other")
    assert run(hospital).digest == digest


def test_a_second_run_does_nothing(hospital: Hospital) -> None:
    first = run(hospital)
    written = {path: path.stat().st_mtime_ns for path in hospital.out.iterdir()}
    assert run(hospital).digest == first.digest
    assert {path: path.stat().st_mtime_ns for path in hospital.out.iterdir()} == written


def test_a_store_of_something_else_is_not_overwritten(hospital: Hospital) -> None:
    run(hospital)
    before = files(hospital.out)
    hospital.write(hospital.admissions.assign(ward="z"))
    with pytest.raises(DataError, match="holds a store of cohort 'small' from another definition"):
        run(hospital)
    assert files(hospital.out) == before


def test_a_folder_that_is_no_store_is_not_overwritten(hospital: Hospital) -> None:
    hospital.out.mkdir()
    (hospital.out / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="exists and is not a cohort store"):
        run(hospital)
    partial = hospital.out.with_name("new.partial")
    hospital.out.rename(partial)
    hospital.out = hospital.out.with_name("new")
    with pytest.raises(DataError, match="exists and is not an unfinished store"):
        run(hospital)
    assert (partial / "thesis.txt").exists()


def test_an_empty_folder_is_used(hospital: Hospital) -> None:
    hospital.out.mkdir()
    assert len(run(hospital).samples) == 8


def test_an_interrupted_run_goes_on_where_it_stopped(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CHUNK_SIZE", 2)
    whole = run(hospital)
    expected = files(hospital.out)
    shutil.rmtree(whole.path)

    def stop(done: int, total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(hospital, progress=stop)
    assert not hospital.out.exists()
    partial = hospital.out.with_name("store.partial")
    with (partial / "verdicts.jsonl").open("a") as journal:
        journal.write('{"first": 4, "pres')  # what a kill in the middle of a line leaves
    for name in ("100", "101", "102", "103"):  # these are not read again
        file = hospital.source / "ecg" / f"{name}.dat"
        if file.exists():
            before = file.stat()
            file.write_bytes(bytes(before.st_size))
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    available: list[int] = []
    run(hospital, progress=lambda done, total: available.append(done))
    assert available == [6, 8]
    assert files(hospital.out) == expected


def test_a_run_that_is_interrupted_twice_with_a_line_cut_off_goes_on(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "CHUNK_SIZE", 2)
    whole = run(hospital)
    expected = files(hospital.out)
    shutil.rmtree(whole.path)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    journal = hospital.out.with_name("store.partial") / "verdicts.jsonl"
    for lines in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run(hospital, progress=stop)
        assert journal.read_bytes().count(b"\n") == lines
        with journal.open("a") as stream:
            stream.write('{"first": 6, "pres')
    run(hospital)
    assert files(hospital.out) == expected


def flip_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        flip_bit,
        pytest.param(lambda content: content[: len(content) // 2], id="cut"),
        pytest.param(lambda content: bytes(len(content)), id="zero"),
        pytest.param(lambda content: b"", id="empty"),
    ],
)
def test_damaged_files_of_an_unfinished_store_are_read_again(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(workers, "CHUNK_SIZE", 8)
    expected = files(run(hospital).path)
    shutil.rmtree(hospital.out)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(hospital, progress=stop)
    partial = hospital.out.with_name("store.partial")
    (partial / "begun").unlink()  # with it, processes are started
    kept = Path(shutil.copytree(partial, partial.with_name("kept")))
    names = {path.name for path in kept.iterdir() if path.is_file()}
    assert names == {
        *("key", "selected.json", "samples.arrow", "verdicts.jsonl"),
        *("cxr.npy", "ecg.npy", "labs.npy"),
    }
    for name in sorted(names):
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(hospital.out, ignore_errors=True)
        shutil.copytree(kept, partial)
        (partial / name).write_bytes(damage((kept / name).read_bytes()))
        run(hospital)
        assert files(hospital.out) == expected, name


@pytest.mark.parametrize("content", [b"", b"\0\0", b"x", b"-8", b"9" * 5000, b"\xff"])
def test_a_damaged_note_of_what_was_begun_names_no_recording(
    tmp_path: Path, content: bytes
) -> None:
    begun = tmp_path / "begun"
    begun.write_bytes(content)

    def read(first: int, rows: list[dict[str, int]]) -> dict[str, int]:
        return {"first": first}

    chunks = workers.map_chunks(
        read,
        [0, 32],
        lambda first: [],
        processes=1,
        modalities=(),
        died=lambda place, row, modality: {},
        begun=begun,
    )
    assert list(chunks) == [{"first": 0}, {"first": 32}]


def test_an_unfinished_store_of_something_else_is_begun_anew(hospital: Hospital) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(hospital, progress=stop)
    hospital.write(hospital.admissions.assign(ward="z"))
    assert set(run(hospital).samples["kept_ward"]) == {"z"}


@pytest.mark.parametrize(
    ("old", "new"), [("xray/{xray}", "elsewhere/{xray}"), ('"person"', '"patient"')]
)
def test_what_fails_before_anything_was_decoded_leaves_nothing_behind(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    monkeypatch.setattr(decode, "MIN_MISSING_FILES", 2)
    hospital.edit(old, new)
    refusal(hospital)
    assert not hospital.out.with_name("store.partial").exists()


def test_what_a_killed_run_was_removing_is_removed(hospital: Hospital) -> None:
    waste = hospital.out.with_name("store.waste.partial")
    waste.mkdir()
    (waste / "cxr.npy").write_bytes(b"half")
    run(hospital)
    partial = hospital.out.with_name("store.partial")
    partial.mkdir()  # killed when the store already had its name
    (partial / "key").write_text("of it")
    run(hospital)
    assert {path.name for path in hospital.out.parent.glob("store*")} == {"store"}


def test_what_lies_beside_a_store_while_it_is_made_has_no_checksum(hospital: Hospital) -> None:
    outer = hospital.out.parent
    with lock_folder(outer):
        write_text(outer / "results.jsonl", "")  # a benchmark writes its own files, too
        run(hospital)
    assert sorted(read_checksums(outer) or ()) == ["results.jsonl"]
    assert not changed_files(outer, everything=True)


def test_a_cohort_without_any_usable_recording_is_refused(hospital: Hospital) -> None:
    for name in ("xray", "ecg"):
        shutil.rmtree(hospital.source / name)
    hospital.write(hospital.admissions.assign(crea=None, k=None))
    told = refusal(hospital)
    assert "none of <10 rows became a sample; found" in told
    assert "<10 cxr file-missing, <10 ecg file-missing" in told


def test_a_modality_that_cannot_be_made_stops_before_anything_is_read(hospital: Hospital) -> None:
    (hospital.definition.parent / "labs.csv").unlink()
    assert "expected a lab panel" in refusal(hospital, DefinitionError)


def test_a_full_disk_ends_with_an_error_and_costs_no_recording(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(hospital)
    expected = files(hospital.out)
    shutil.rmtree(whole.path)
    reserve, calls = os.posix_fallocate, count()

    def fill_up(descriptor: int, offset: int, length: int) -> None:
        if next(calls) >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(descriptor, offset, length)

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", fill_up)
        with pytest.raises(OSError, match="No space left"):
            run(hospital)
    assert not hospital.out.exists()
    run(hospital)
    assert files(hospital.out) == expected

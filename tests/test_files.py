import errno
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import pytest
from filelock import FileLock

from clinical_symile import files
from clinical_symile.files import (
    FolderBusyError,
    lock_folder,
    remove_file,
    rename_folder,
    write_bytes,
    write_checksums,
    write_file,
    write_text,
)
from clinical_symile.tracking.checksums import (
    CHECKSUMS_FILE,
    changed_files,
    read_checksums,
)


def test_a_file_is_written_in_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "µ\n")
    write_bytes(tmp_path / "a" / "c.bin", b"\x00")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "µ\n".encode()
    assert (tmp_path / "a" / "c.bin").read_bytes() == b"\x00"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b.txt", "c.bin"]


def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    write_text(file, "before")

    def half(partial: Path) -> None:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_file(file, half)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, error: Exception) -> None:
    def fail(path: Path) -> None:
        raise error

    with pytest.raises(OSError, match="No space left on device") as caught:
        write_file(tmp_path / "file", fail)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_and_its_folder_are_flushed_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    flush, replace = os.fsync, Path.replace

    def record_flush(descriptor: int) -> None:
        steps.append(f"flush {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        flush(descriptor)

    def record_replace(self: Path, target: Path) -> Path:
        steps.append(f"rename {self.name} to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_flush)
    monkeypatch.setattr(Path, "replace", record_replace)
    write_text(tmp_path / "run.toml", "")
    assert steps == [
        "flush run.toml.partial",
        "rename run.toml.partial to run.toml",
        f"flush {tmp_path.name}",
    ]


def test_a_folder_is_flushed_with_all_that_it_holds_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(files, "_flush", lambda path: flushed.append(path.name))
    (tmp_path / "partial" / "in").mkdir(parents=True)
    (tmp_path / "partial" / "in" / "x.npy").write_bytes(b"x")
    rename_folder(tmp_path / "partial", tmp_path / "store")
    assert set(flushed) == {"partial", "in", "x.npy", tmp_path.name}
    assert flushed[-1] == tmp_path.name
    assert (tmp_path / "store" / "in" / "x.npy").read_bytes() == b"x"


_SECOND = """
    import sys
    from pathlib import Path
    from clinical_symile.files import lock_folder

    folder = Path(sys.argv[1])
    with lock_folder(folder):
        with (folder / "order.txt").open("a") as file:
            file.write("second\\n")
"""


def _start_second(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_SECOND), str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_a_second_process_says_who_writes_the_folder_and_waits(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with ExitStack() as stack:
        with lock_folder(folder):
            second = stack.enter_context(_start_second(folder))
            assert second.stderr is not None
            sentence = second.stderr.readline()
            (folder / "order.txt").write_text("first\n")
        assert second.wait(timeout=60) == 0
    assert f"{folder}: process {os.getpid()} on " in sentence
    assert ", since 20" in sentence
    assert "waiting until it ends" in sentence
    assert (folder / "order.txt").read_text() == "first\nsecond\n"


def _lock(folder: Path) -> None:
    with lock_folder(folder):
        pass


def test_a_process_never_waits_for_the_one_that_started_it(tmp_path: Path) -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        lock_folder(tmp_path / "store"),
    ):
        error = pool.submit(_lock, tmp_path / "store").exception(timeout=60)
    assert isinstance(error, FolderBusyError)
    assert "the process that started this one is writing it" in str(error)
    assert '`if __name__ == "__main__":`' in str(error)


def test_a_process_that_is_killed_holds_no_lock(tmp_path: Path) -> None:
    script = "from pathlib import Path; import sys, time\n"
    script += "from clinical_symile.files import lock_folder\n"
    script += "with lock_folder(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "held\n"
        killed.kill()
    said: list[str] = []
    with lock_folder(tmp_path / "store", notify=said.append):
        pass
    assert said == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")]
)
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """As NFS without its lock service, and as an older filelock says it of other ones."""

    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", fail)
    lock = lock_folder(tmp_path / "store")
    with pytest.raises(OSError, match="its file system has no locks") as caught, lock:
        pytest.fail("it was locked")
    assert caught.value.filename == str(tmp_path / "store")


def test_the_same_process_may_take_a_lock_again(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "run"), lock_folder(tmp_path / "run"):
        pass
    assert not list(tmp_path.glob("*.holder"))


@pytest.mark.parametrize("rank", ["LOCAL_RANK", "RANK"])
def test_processes_of_one_training_share_the_lock_of_the_first(tmp_path: Path, rank: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    launched = {rank: "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    with lock_folder(folder), _start_second(folder, **launched) as second:
        assert second.wait(timeout=60) == 0


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_folders_and_locks_are_for_their_owner_alone_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        with lock_folder(tmp_path / "runs" / "symile"):
            write_text(tmp_path / "runs" / "symile" / "a" / "b.txt", "text")
        write_text(tmp_path / "runs" / "page.html", "text")
    finally:
        assert os.umask(before) == umask
    modes = _modes(tmp_path / "runs")
    assert {modes.pop(name) for name in ("runs", "symile", "a")} == {0o700}
    assert modes.keys() == {"b.txt", "checksums.jsonl", "page.html", ".symile.lock"}
    assert {*modes.values()} == {0o600}


def test_the_group_may_read_where_the_variable_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINICAL_SYMILE_GROUP", "read")
    with lock_folder(tmp_path / "runs" / "symile"):
        write_text(tmp_path / "runs" / "symile" / "b.txt", "text")
    modes = _modes(tmp_path / "runs")
    assert {modes.pop(name) for name in ("runs", "symile")} == {0o750}
    assert {*modes.values()} == {0o640}


def test_what_is_written_in_a_locked_folder_has_its_checksum(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with lock_folder(run):
        write_text(run / "a.txt", "one")
        write_text(run / "a.txt", "two")
        write_text(run / "b.txt", "b")
        remove_file(run / "b.txt")
        write_text(tmp_path / "elsewhere.txt", "not of the run")
    known = read_checksums(run)
    assert known is not None
    assert [(name, len(lines)) for name, lines in known.items()] == [("a.txt", 1)]
    assert changed_files(run, everything=True) == []


def test_a_file_with_a_checksum_that_is_written_or_removed_later_on_its_own_has_its_new_one(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    with lock_folder(run):
        write_text(run / "figures" / "a.svg", "one")
        write_text(run / "b.txt", "b")
    write_text(run / "figures" / "a.svg", "two, longer")
    write_text(run / "notes.txt", "my own")
    remove_file(run / "b.txt")
    assert {*(read_checksums(run) or {})} == {"figures/a.svg"}
    assert changed_files(run, everything=True) == []


def test_a_write_that_was_interrupted_leaves_a_file_that_fits_its_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, replace = tmp_path / "run", Path.replace
    with lock_folder(run):
        write_text(run / "a.txt", "one")

    def stop(self: Path, target: Path) -> Path:
        if self.name == "a.txt.partial":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt), lock_folder(run):
        write_text(run / "a.txt", "two, longer")
    assert (run / "a.txt").read_text() == "one"
    assert changed_files(run, everything=True) == []
    monkeypatch.undo()
    with lock_folder(run):
        write_text(run / "a.txt", "three")
    known = read_checksums(run)
    assert known is not None
    assert len(known["a.txt"]) == 1
    assert changed_files(run, everything=True) == []


@pytest.mark.parametrize("times", [2, 3, 5])
@pytest.mark.parametrize("in_one_process", [False, True])
def test_a_file_whose_writing_was_interrupted_several_times_fits_its_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, in_one_process: bool
) -> None:
    run, replace = tmp_path / "run", Path.replace
    with lock_folder(run):
        write_text(run / "a.txt", "one")

    log, left = run / CHECKSUMS_FILE, [b""]

    def stop(self: Path, target: Path) -> Path:
        if self.name == "a.txt.partial":
            left[0] = log.read_bytes()
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch, ExitStack() as stack:
        patch.setattr(Path, "replace", stop)
        if in_one_process:
            stack.enter_context(lock_folder(run))
        for number in range(times):
            with pytest.raises(OSError, match="No space left"), lock_folder(run):
                write_text(run / "a.txt", "more" * (number + 2))
            if not in_one_process:
                log.write_bytes(left[0])  # as a process that was killed leaves it
            assert changed_files(run, everything=True) == []
    assert (run / "a.txt").read_text() == "one"
    assert changed_files(run, everything=True) == []
    with lock_folder(run):
        write_text(run / "a.txt", "last")
        remove_file(run / "none.txt")
    assert [len(lines) for lines in (read_checksums(run) or {}).values()] == [1]
    assert changed_files(run, everything=True) == []


def test_a_file_that_was_written_and_then_could_not_be_replaced_fits_its_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, replace = tmp_path / "run", Path.replace

    def stop(self: Path, target: Path) -> Path:
        if self.name == "a.txt.partial":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    with lock_folder(run):
        write_text(run / "a.txt", "one")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", stop)
            with pytest.raises(OSError, match="No space left"):
                write_text(run / "a.txt", "two, longer")
    assert (run / "a.txt").read_text() == "one"
    assert changed_files(run, everything=True) == []


def test_checksums_of_a_finished_folder_leave_out_folders_with_their_own(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "a")
    with lock_folder(tmp_path / "runs" / "one"):
        write_text(tmp_path / "runs" / "one" / "b.txt", "b")
    write_checksums(tmp_path)
    assert {*(read_checksums(tmp_path) or {})} == {"a.json"}


def test_a_file_of_an_outer_folder_has_its_checksum_while_an_inner_one_is_locked(
    tmp_path: Path,
) -> None:
    outer, inner = tmp_path / "demo", tmp_path / "demo" / "runs" / "one"
    with lock_folder(outer):
        write_text(outer / "ranks.jsonl", "old")
        with lock_folder(inner):
            write_text(outer / "ranks.jsonl", "longer than before")
            write_text(inner / "results.jsonl", "of the run")
            for name in ("store.partial", "store.partial.waste"):
                write_text(outer / name / "manifest.json", "renamed or removed later")
            write_text(outer / "source" / "generator.json", "raw")
    assert {*(read_checksums(outer) or {})} == {"ranks.jsonl"}
    assert {*(read_checksums(inner) or {})} == {"results.jsonl"}
    assert changed_files(outer, everything=True) == []


def test_a_checksum_that_could_not_be_added_leaves_the_earlier_ones_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, flush = tmp_path / "run", os.fsync

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with lock_folder(run):
        write_text(run / "history.jsonl", "1")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_text(run / "results.jsonl", "2")
        monkeypatch.setattr(os, "fsync", flush)
        write_text(run / "results.jsonl", "3")
    assert {*(read_checksums(run) or {})} == {"history.jsonl", "results.jsonl"}
    assert changed_files(run, everything=True) == []

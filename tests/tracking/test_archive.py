"""The archive of a bundle: the same bytes for the same files, and nothing is believed of one."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking import archive
from clinical_symile.tracking.archive import (
    archive_bytes,
    changes,
    manifest_bytes,
    read_archive,
)

ROW = b'{"run": "clip-0", "task": "t", "missingness": "complete", "metric": "auroc", "value": 1}'
FILES = {
    "results.jsonl": ROW + b"\n" + ROW.replace(b"clip", b"symile") + b"\n",
    "tasks/retrieval/x.json": b"{}\n",
    "seeds.jsonl": b"",
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def zipped(names: list[str], **settings: object) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for name in names:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            for key, value in settings.items():
                setattr(entry, key, value)
            made.writestr(entry, b"{}")
    return packed.getvalue()


def test_the_same_files_give_the_same_bytes_in_any_order(tmp_path: Path):
    content = archive_bytes(FILES)
    assert content == archive_bytes(dict(reversed(FILES.items())))
    assert read_archive(written(tmp_path / "a.zip", content)) == FILES
    with zipfile.ZipFile(tmp_path / "a.zip") as made:
        assert made.testzip() is None
        assert made.namelist() == sorted(FILES)


def _with_comment(content: bytes) -> bytes:
    packed = io.BytesIO(content)
    with zipfile.ZipFile(packed, "a") as made:
        made.comment = b"hidden"
    return packed.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"\x80\x04K\x01.", id="a pickle"),
        pytest.param(lambda content: content[:-30], id="cut"),
        pytest.param(lambda content: content + b"more", id="bytes behind it"),
        pytest.param(lambda content: b"#!/bin/sh\n" + content, id="bytes before it"),
        pytest.param(_with_comment, id="a comment"),
        pytest.param(lambda content: content.replace(b"clip-0", b"clap-0"), id="another content"),
        pytest.param(lambda content: zipped(["../evil"]), id="a path out of the folder"),
        pytest.param(lambda content: zipped(["/etc/passwd"]), id="an absolute path"),
        pytest.param(lambda content: zipped(["C:\\evil"]), id="a path of Windows"),
        pytest.param(lambda content: zipped(["a\nb"]), id="a line break in a name"),
        pytest.param(lambda content: zipped(["a", "a"]), id="two files of one name"),
        pytest.param(lambda content: zipped(["a"], compress_type=8), id="compression"),
        pytest.param(lambda content: zipped(["b", "a"]), id="another order"),
        pytest.param(lambda content: zipped(["a"], external_attr=0o120777 << 16), id="a link"),
        pytest.param(lambda content: zipped(["a/"]), id="a folder"),
    ],
)
def test_an_archive_of_any_other_kind_is_refused(spoil: Callable[[bytes], bytes], tmp_path: Path):
    path = written(tmp_path / "a.zip", spoil(archive_bytes(FILES)))
    with pytest.raises(DataError, match="expected a bundle as") as refused:
        read_archive(path)
    assert "CS-R023" in str(refused.value)
    assert {one.name for one in tmp_path.iterdir()} == {"a.zip"}


def test_every_cut_and_every_changed_byte_is_refused(tmp_path: Path):
    content = archive_bytes({"a.json": b"{}", "b.jsonl": ROW})
    for place in range(len(content)):
        for spoiled in (content[:place], content[:place] + b"\xff" + content[place + 1 :]):
            with pytest.raises(DataError):
                read_archive(written(tmp_path / "a.zip", spoiled))


def test_size_and_number_of_files_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path / "a.zip", archive_bytes(FILES))
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        read_archive(path)
    monkeypatch.setattr(archive, "MOST_BYTES", 100)
    with pytest.raises(DataError, match="is larger than 0 MiB"):
        read_archive(path)


def test_every_difference_from_the_hashes_is_named():
    manifest = json.loads(manifest_bytes(FILES, {"version": "1"}))
    expected = manifest["files"]
    assert changes(FILES, expected) == []
    results = FILES["results.jsonl"]
    assert changes(FILES | {"results.jsonl": results.replace(b"1}", b"2}", 1)}, expected) == [
        "results.jsonl, line 1: was changed: clip-0, t, complete, auroc."
    ]
    assert changes(FILES | {"results.jsonl": ROW}, expected) == [
        "results.jsonl: has 1 lines; expected 2."
    ]
    assert changes(FILES | {"results.jsonl": b"[\n[1]\n"}, expected) == [
        "results.jsonl, line 1: was changed: no JSON any more.",
        "results.jsonl, line 2: was changed: no JSON any more.",
    ]
    less = {name: content for name, content in FILES.items() if name != "seeds.jsonl"}
    assert changes(less | {"more.json": b""}, expected) == [
        "seeds.jsonl: is missing.",
        "more.json: was added; bundle.json does not list it.",
    ]
    assert changes(FILES | {"tasks/retrieval/x.json": b"{ }\n"}, expected) == [
        "tasks/retrieval/x.json: was changed; its hash is another one."
    ]


def test_files_that_overlap_are_refused_before_they_are_read(tmp_path: Path):
    """Entries that share bytes could fill the memory: each is as large as the archive."""
    content = bytearray(archive_bytes(FILES))
    first = content.index(b"PK\x01\x02")  # the central directory
    for place in (20, 24):  # the compressed and the full size
        content[first + place : first + place + 4] = len(content).to_bytes(4, "little")
    path = written(tmp_path / "a.zip", bytes(content))
    with pytest.raises(DataError, match="has files that overlap"):
        read_archive(path)


def test_a_folder_and_a_missing_file_are_no_archive(tmp_path: Path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(DataError, match=r"is a folder|no such file; expected a bundle"):
            read_archive(path)

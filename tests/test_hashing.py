"""Digests; the golden values are those that version 0.1 computed."""

from pathlib import Path

from clinical_symile.hashing import (
    digest_of,
    digest_of_folder,
    digest_of_stream,
    file_sha256,
    payload_digest,
)


def test_a_digest_depends_on_where_parts_end():
    assert digest_of("ab", "c") == "601d5476e2ccfe2c"
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of("ab") == digest_of(b"ab")


def test_a_stream_has_the_digest_of_its_content(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"ab")
    with (tmp_path / "file").open("rb") as stream:
        stream.read()
        assert digest_of_stream(stream, "c") == digest_of("ab", "c")


def test_a_folder_has_the_digest_of_its_visible_files(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.toml").write_bytes(b"x")
    (tmp_path / "c.sql").write_bytes(b"yz")
    assert digest_of_folder(tmp_path) == "8b52fe1abf8e4daa"
    (tmp_path / ".hidden").write_bytes(b"q")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "m.pyc").write_bytes(b"q")
    assert digest_of_folder(tmp_path) == "8b52fe1abf8e4daa"
    (tmp_path / "c.sql").rename(tmp_path / "d.sql")
    assert digest_of_folder(tmp_path) != "8b52fe1abf8e4daa"


def test_mlflows_copy_is_marked_with_the_digest_that_version_0_1_computed():
    assert payload_digest("ab", b"c") == "629c2f14f654f026"


def test_a_files_sha256_is_that_of_sha256sum(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "file") == expected

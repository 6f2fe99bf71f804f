"""Read the manifest of a store, and compare the store's files with it.

`manifest.json` is the last file of a store that `prepare` writes. It has the counts, the digests,
and the size and checksum of every array and table.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_symile.config.splits import SPLITS
from clinical_symile.errors import DataError
from clinical_symile.hashing import file_sha256
from clinical_symile.registry.names import check_name, check_path, is_path_below, path_in
from clinical_symile.tracking.checksums import ALWAYS_HASHED_BYTES
from clinical_symile.tracking.records import read_json, wrong_fields

VERSION = 1

_FILE = "manifest.json"
# The values that are read; those that may be None are missing in stores of earlier versions.
_COUNTS = dict[str, int]
MANIFEST_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("cohort", "digest", "source_digest", "title", "description"), str),
    **dict.fromkeys(("access", "license", "citation"), str),
    **dict.fromkeys(("layout", "cohort_digest"), str | None),
    "generator": dict[str, Any] | None,
    "modalities": dict[str, dict[str, Any]],
    "units": dict[str, list[str]],
    "worse_with": dict[str, str] | None,
    "counts": dict[str, dict[str, Any]],
    "rows": int,
    **dict.fromkeys(("left_out", "already_known", "sizes"), _COUNTS),
    "recorded": _COUNTS | None,
    "coverage": list[dict[str, str]] | None,
    **dict.fromkeys(("rejected", "noted"), dict[str, _COUNTS]),
    "implausible": dict[str, _COUNTS] | None,
    "ranges": dict[str, list[float]] | None,
    "unlisted_candidates": int | None,
    "outcomes": dict[str, dict[str, _COUNTS]],
    "checksums": dict[str, str] | None,
    "versions": dict[str, str],
}
MODALITY_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("adapter", "dtype", "unit", "sha256"), str),
    "shape": list[int],
    "parts": list[str],
    "statistics": dict[str, Any],
    "encoder": str | None,
}
SPLIT_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("samples", "subjects"), int),
    **dict.fromkeys(("present", "patterns"), _COUNTS),
}
LABEL_TYPES: Mapping[str, Any] = dict.fromkeys(
    ("positive", "negative", "uncertain", "unknown"), int
)


def is_synthetic(manifest: Mapping[str, Any]) -> bool:
    """Return whether a manifest's subjects are synthetic: only their measurements may be drawn.

    Open access is not enough: recordings of real patients may be open.
    """
    return manifest.get("access") == "open" and manifest.get("generator") is not None


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a store, and check that all its files exist with their sizes.

    Args:
        path: the store's folder.

    Raises:
        DataError: the folder is no store, is one of another version, or files are missing or have
            another size.
    """
    file = path / _FILE
    if not file.is_file():
        raise DataError(
            f"{path}: no {_FILE}; expected a cohort store. Run `clinical-symile prepare`.",
            code="CS-D015",
        )
    manifest = _read(path)
    if manifest["version"] != VERSION:
        raise DataError(
            f"{path}: a store of version {manifest['version']}; expected {VERSION}. Remove it, "
            "prepare again.",
            code="CS-D016",
        )
    _check_values(path, manifest)
    _check_names(path, manifest)
    problems = [
        f"{path / name}: {_state(path / name)}; expected {size} bytes. Remove {path} and prepare "
        "again."
        for name, size in manifest["sizes"].items()
        if not (path / name).is_file() or (path / name).stat().st_size != size
    ]
    if problems:
        raise DataError(*problems, code="CS-D017")
    return manifest


def known_checksums(path: Path) -> dict[str, str]:
    """Return the checksum of every array and table of a store, as its manifest has it.

    Raises:
        DataError: the manifest cannot be read.
    """
    manifest = _read(path)
    _check_values(path, manifest)
    _check_names(path, manifest)
    return _checksums(manifest)


def check_small_files(path: Path, manifest: Mapping[str, Any]) -> None:
    """Compare the arrays and tables of at most 16 MiB with their checksums.

    Args:
        path: the store's folder.
        manifest: its manifest.

    Raises:
        DataError: files changed since the store was written; with every file.
    """
    sizes = manifest["sizes"]
    expected = _checksums(manifest)
    _compare(
        path,
        {name: expected[name] for name in expected if sizes.get(name, 0) <= ALWAYS_HASHED_BYTES},
    )


def check_files(path: Path) -> None:
    """Compare every array and table of a store with its checksum.

    Raises:
        DataError: the store is incomplete, or files changed since it was written; with every file.
    """
    _compare(path, _checksums(read_manifest(path)))


def _compare(path: Path, expected: Mapping[str, str]) -> None:
    problems = [
        f"{path / name}: its checksum is not the manifest's. Remove the store and prepare again."
        for name, sha256 in expected.items()
        if file_sha256(path / name) != sha256
    ]
    if problems:
        raise DataError(*problems, code="CS-D017")


def _read(path: Path) -> dict[str, Any]:
    types = {"version": int}
    return read_json(path / _FILE, types=types, action=_action(path), code="CS-D015")


def _checksums(manifest: Mapping[str, Any]) -> dict[str, str]:
    arrays = {
        path_in(Path(), name, suffix=".npy").name: about["sha256"]
        for name, about in manifest["modalities"].items()
    }
    return arrays | (manifest.get("checksums") or {})


def _check_values(path: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest with values that are missing or of another type.

    Raises:
        DataError: with every such value.
    """
    problems = wrong_fields(manifest, MANIFEST_TYPES)
    if not problems:
        modalities, counts = manifest["modalities"], manifest["counts"]
        nested = [(f"modalities.{name}", one, MODALITY_TYPES) for name, one in modalities.items()]
        nested += [(f"counts.{split}", counts.get(split, {}), SPLIT_TYPES) for split in SPLITS]
        nested += [
            (f"outcomes.{name}.{split}", labels.get(split, {}), LABEL_TYPES)
            for name, labels in manifest["outcomes"].items()
            for split in SPLITS
        ]
        problems = [
            f"{where}: {problem}"
            for where, table, types in nested
            for problem in wrong_fields(table, types)
        ]
        problems += [
            f"{key}: has no {name}"
            for key, table in [
                *((f"counts.{split}.present", counts[split].get("present")) for split in counts),
                ("rejected", manifest["rejected"]),
                ("noted", manifest["noted"]),
            ]
            for name in modalities
            if isinstance(table, dict) and name not in table
        ]
    if problems:
        raise DataError(f"{path / _FILE}: {'; '.join(problems)}. {_action(path)}", code="CS-D015")


def _action(path: Path) -> str:
    return f"It is not the manifest of a store: remove {path} and prepare again."


def _check_names(path: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a manifest whose names would be read from another folder.

    Raises:
        DataError: the cohort, a modality, an outcome or a file has no possible name.
    """
    where = str(path / _FILE)
    check_path(manifest["cohort"], what="cohort", where=where)
    for what, key in (("modality", "modalities"), ("outcome", "outcomes")):
        for name in manifest[key]:
            check_name(name, what=what, where=where)
    files = {**manifest["sizes"], **(manifest.get("checksums") or {})}
    if not all(map(is_path_below, files)):
        raise DataError(
            f"{where}: names a file outside the store; expected files of its folder. Get the store "
            "again, or prepare it again.",
            code="CS-D017",
        )


def _state(path: Path) -> str:
    return f"{path.stat().st_size} bytes" if path.is_file() else "no such file"

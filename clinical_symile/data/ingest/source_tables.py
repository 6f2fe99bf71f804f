"""Find the tables of a cohort under the source folder, and what is declared of each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_symile.config.cohort import Cohort
from clinical_symile.errors import DataError
from clinical_symile.modalities.base import leads_outside
from clinical_symile.registry.names import is_path_below


@dataclass(frozen=True)
class SourceTable:
    """A table under a source folder: one file, or all files that a name with a `*` matches.

    Attributes:
        name: its name in `[tables]`, or what it is for.
        file: its file, CSV, CSV.gz or Parquet.
        paths: the files that exist, in order.
        encoding: encoding of a CSV file.
        types: declared types of columns, the others being text; None to infer types.
        has_types: True for a table of `[tables]`, which `[types]` can describe.
    """

    name: str
    file: Path
    paths: tuple[Path, ...]
    encoding: str = "utf-8"
    types: Mapping[str, str] | None = None
    has_types: bool = True

    @property
    def is_parquet(self) -> bool:
        """True for a table whose columns have types of their own."""
        return self.file.suffix == ".parquet"


def query_tables(cohort: Cohort, source: Path) -> dict[str, SourceTable]:
    """Return the tables that a cohort's query reads, by name."""
    return {
        name: _source_table(cohort, source, name, file, has_types=True)
        for name, file in cohort.tables.items()
    }


def split_tables(cohort: Cohort, source: Path) -> dict[str, SourceTable]:
    """Return the tables of a cohort without a query, by split."""
    return {
        split: _source_table(cohort, source, split, file, has_types=False)
        for split, file in cohort.samples.tables.items()
    }


def candidate_tables(cohort: Cohort, source: Path) -> dict[str, SourceTable]:
    """Return the tables of published candidate lists, by split."""
    return {
        split: _source_table(cohort, source, split, lists.table, has_types=False)
        for split, lists in cohort.candidates.items()
    }


def all_tables(cohort: Cohort, source: Path) -> dict[str, SourceTable]:
    """Return every table of a cohort, by the key of `cohort.toml` that names it."""
    tables = {f"tables.{name}": table for name, table in query_tables(cohort, source).items()}
    tables |= {f"samples.tables.{name}": one for name, one in split_tables(cohort, source).items()}
    tables |= {f"candidates.{name}": one for name, one in candidate_tables(cohort, source).items()}
    return tables


def _source_table(
    cohort: Cohort, source: Path, name: str, file: str, *, has_types: bool
) -> SourceTable:
    declared = cohort.encoding
    return SourceTable(
        name=name,
        file=source / file,
        paths=tuple(_files(source, file)),
        encoding=declared if isinstance(declared, str) else declared.get(name, "utf-8"),
        types=cohort.types.get(name) if has_types else None,
        has_types=has_types,
    )


def source_files(cohort: Cohort, source: Path) -> dict[str, Path]:
    """Return the tables of a cohort under the source folder: the key that names it, and the file.

    A name with a `*` matches several files, which are read in order.

    Raises:
        DataError: tables are missing; all of them at once.
    """
    if not source.is_dir():
        raise DataError(
            f"{source}: no such folder; expected the files of '{cohort.name}'.", code="CS-D001"
        )
    tables = all_tables(cohort, source)
    missing = [
        f"{table.file}: no such file; expected {key} of cohort '{cohort.name}'. Put it there, or "
        "correct --source."
        for key, table in tables.items()
        if not table.paths
    ]
    if missing:
        raise DataError(*missing, code="CS-D002")
    outside = [
        f"{path}: {key} of cohort '{cohort.name}' is a symbolic link that leads out of {source}; "
        "expected a file below that folder. Copy it there, or allow links with --allow-links."
        for key, table in tables.items()
        for path in table.paths
        if not cohort.allow_links and leads_outside(path, source)
    ]
    if outside:
        raise DataError(*outside, code="CS-D033")
    return {
        key if len(table.paths) == 1 else f"{key}[{number}]": path
        for key, table in tables.items()
        for number, path in enumerate(table.paths)
    }


def _files(source: Path, file: str) -> list[Path]:
    """Return the file of that name, or all that a name with a `*` matches.

    `?` and `[` mean themselves.

    Raises:
        DataError: the name is absolute or leads out of the source folder.
    """
    if not is_path_below(file):
        raise DataError(
            f"{source}: a table's file is '{file}'; expected a path below this folder, without "
            "'..'. Correct cohort.toml, or give the folder that holds all files.",
            code="CS-D033",
        )
    pattern = re.sub(r"([?\[])", r"[\1]", file)
    paths = sorted(source.glob(pattern)) if "*" in file else [source / file]
    return [path for path in paths if path.is_file()]

"""Prepare and open cohorts, and draw missingness masks."""

from pathlib import Path

from clinical_symile.api._arguments import (
    PathLike,
    Paths,
    Settings,
    as_overrides,
    choose_bar,
    open_definitions,
)
from clinical_symile.config.cohort import read_cohort
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError


def prepare(
    cohort: str,
    *,
    out: PathLike,
    source: PathLike | None = None,
    generate: Settings = (),
    allow_links: bool = False,
    catalog: Paths = (),
    progress: bool = True,
) -> CohortStore:
    """Read the raw files of a cohort and write its store, or open the store that is there.

    Args:
        cohort: a name of `list_cohorts()`.
        out: the folder of the store.
        source: the folder of the raw files. A synthetic cohort needs none: its raw files are
            written beside the store.
        generate: parameters of a synthetic cohort, such as `{"subjects": 200}`.
        allow_links: read tables and recordings that symbolic links name outside `source`.
        catalog: folders with definitions of your own.
        progress: show progress bars on a terminal or in a notebook.

    Returns:
        The store.

    Raises:
        DefinitionError: there is no such cohort, or its definition is wrong.
        DataError: raw files are missing, broken or contradict each other.

    Examples:
        >>> cs.prepare("synthetic", out="store", generate={"subjects": 60}).modalities
        ('cxr', 'ecg', 'labs')
    """
    from clinical_symile.data.prepare_cohort import prepare_cohort

    definitions, out = open_definitions(catalog), Path(out)
    if source is None:
        path = definitions.path("cohorts", cohort)
        if read_cohort(path, name=cohort).generator is None:
            raise DataError(
                f"cohort '{cohort}' is read from raw files; expected their folder. Give source.",
                code="CS-D001",
            )
        source = out.with_name(f"{out.name}-source")
    return prepare_cohort(
        definitions,
        cohort,
        source=Path(source),
        out=out,
        generate=as_overrides(generate),
        allow_links=allow_links,
        bar=choose_bar(progress),
    )


def check_recordings(store: CohortStore, source: PathLike, *, verify: bool = False) -> str:
    """Look for recordings that changed under the same name since a store was written.

    Args:
        store: the store.
        source: the folder of its raw files.
        verify: compare the content of every recording; else size and time alone.

    Returns:
        A sentence on what was found.

    Raises:
        DataError: with `verify`, the content of recordings differs from what was read.
    """
    from clinical_symile.data.ingest.recordings import changed_recordings

    changed = changed_recordings(store.path, Path(source), content=verify)
    found = ", ".join(f"{count} {modality}" for modality, count in changed.items())
    if verify and changed:
        raise DataError(
            f"{store.path}: the content of recordings under {source} differs from what was read: "
            f"{found}. Remove the store to read them again, or get the files back.",
            code="CS-D014",
        )
    if changed:
        return (
            f"warning: recordings are newer than the store, missing or of another size: {found}. "
            "Compare their content with --verify, or remove the store to read them again."
        )
    if verify:
        return "The content of every recording is as it was read."
    return "No recording has another size, or is newer than the store."

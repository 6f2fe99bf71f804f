"""Prepare a cohort of the catalog by name; write the raw files of a synthetic cohort first."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from clinical_symile import __version__
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.cohort import Cohort, modality_adapters, read_cohort
from clinical_symile.config.cohort_schema import Generator
from clinical_symile.config.layouts import detect_layout
from clinical_symile.config.overrides import parse_override
from clinical_symile.data.ingest.expected_samples import expect_samples
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.samples import SelectedSamples, read_samples
from clinical_symile.data.ingest.source_tables import source_files
from clinical_symile.data.prepare import prepare, refuse_other_folder
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.files import lock_folder, rename_folder, write_text
from clinical_symile.hashing import digest_of
from clinical_symile.registry.base import load_object, unknown_name_message
from clinical_symile.tracking.progress import ProgressBar

PARAMETERS_FILE = "generator.json"
# The types that may replace a number of the cohort's file, by its type.
_EXPECTED_NUMBERS = {int: ("a whole number", (int,)), float: ("a number", (int, float))}


def prepare_cohort(
    catalog: Catalog,
    name: str,
    *,
    source: Path,
    out: Path,
    generate: Sequence[str] = (),
    allow_links: bool = False,
    bar: ProgressBar,
) -> CohortStore:
    """Prepare a cohort of the catalog.

    Args:
        catalog: the catalog with the cohort.
        name: name of the cohort.
        source: folder of the raw files; those of a synthetic cohort are written if it is missing.
        out: folder of the store.
        generate: `field=value` for parameters of a synthetic cohort.
        allow_links: read tables and recordings that symbolic links name outside `source`.
        bar: creates a progress bar with a label.

    Returns:
        The store.

    Raises:
        DefinitionError: the cohort is unknown, or `generate` does not fit it.
        DataError: the source is missing or was written with other parameters; or as `prepare`.
    """
    refuse_other_folder(out)  # before raw files are written
    cohort = _open_cohort(catalog, name, source=source, generate=generate, bar=bar)
    cohort = replace(cohort, allow_links=allow_links)
    with bar(f"Prepare {name}") as progress:
        return prepare(cohort, source=source, out=out, progress=progress)


def count_cohort(
    catalog: Catalog,
    name: str,
    *,
    source: Path,
    generate: Sequence[str] = (),
    allow_links: bool = False,
    bar: ProgressBar,
) -> SelectedSamples:
    """Count what `prepare_cohort` would store if every file were usable; open no recording.

    Arguments and errors are those of `prepare_cohort`.
    """
    cohort = _open_cohort(catalog, name, source=source, generate=generate, bar=bar)
    cohort = replace(cohort, allow_links=allow_links)
    adapters = modality_adapters(cohort)
    source_files(cohort, source)
    with TemporaryDirectory() as scratch:
        folder, file = Path(scratch), Path(scratch) / "samples.arrow"
        selected = read_samples(cohort, adapters, source=source, scratch=folder, out=file)
        return expect_samples(cohort, adapters, selected, RowFile(file), source=source)


def _open_cohort(
    catalog: Catalog,
    name: str,
    *,
    source: Path,
    generate: Sequence[str],
    bar: ProgressBar,
) -> Cohort:
    """Return the cohort in the layout of its source; write a synthetic source first."""
    cohort = read_cohort(catalog.path("cohorts", name), name=name)
    if generate:
        cohort = _with_parameters(cohort, generate)
    if cohort.generator is not None:
        _write_source(cohort, cohort.generator, source, bar)
    elif not source.is_dir():
        raise DataError(
            f"source {source}: no such folder; expected the raw files of cohort '{name}'. "
            "Give it with --source.",
            code="CS-D001",
        )
    return detect_layout(cohort, source)


def _with_parameters(cohort: Cohort, generate: Sequence[str]) -> Cohort:
    if cohort.generator is None:
        raise DefinitionError(
            f"--generate {generate[0]}: cohort '{cohort.name}' is not synthetic. Remove it.",
            code="CS-F012",
        )
    parameters = dict(cohort.generator.parameters)
    for text in generate:
        field, value = parse_override(text)
        if field not in parameters:
            raise DefinitionError(
                f"--generate {text}: {unknown_name_message(field, parameters, what='field')}",
                code="CS-F012",
            )
        expected, types = _EXPECTED_NUMBERS.get(type(parameters[field]), ("", (type(value),)))
        if type(value) not in types:
            raise DefinitionError(
                f"--generate {text}: {field} is {value!r}; expected {expected}, such as "
                f"{parameters[field]}.",
                code="CS-F012",
            )
        parameters[field] = value
    generator = cohort.generator.model_copy(update={"parameters": parameters})
    return replace(
        cohort,
        generator=generator,
        digest=digest_of(cohort.digest, json.dumps(parameters, sort_keys=True)),
    )


def _write_source(
    cohort: Cohort,
    generator: Generator,
    source: Path,
    bar: ProgressBar,
) -> None:
    """Write the raw files, unless they exist with the same parameters."""
    with lock_folder(source):
        _write_source_locked(cohort, generator, source, bar)


def _write_source_locked(
    cohort: Cohort, generator: Generator, source: Path, bar: ProgressBar
) -> None:
    wanted = json.dumps({"version": __version__, **generator.parameters}, sort_keys=True)
    record = source / PARAMETERS_FILE
    if record.is_file():
        if record.read_bytes() != wanted.encode():
            raise DataError(
                f"{source}: was written with other parameters or by another version, see {record}. "
                "Give another folder, or remove this one.",
                code="CS-D014",
            )
        return
    if source.exists():
        raise DataError(
            f"{source}: exists and was not written for cohort '{cohort.name}'. Give a folder that "
            "does not exist.",
            code="CS-D013",
        )
    write = load_object(generator.write, what="generator")
    partial = source.with_name(source.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with bar(f"Write {cohort.name}") as progress:
            write(partial, **generator.parameters, progress=progress)
        write_text(partial / PARAMETERS_FILE, wanted)
        rename_folder(partial, source)
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            f"cohort '{cohort.name}': generator: {error}", code="CS-F012"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)

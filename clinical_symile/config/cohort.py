"""Read cohort definitions from `cohorts/`: whom a site measured, and how it records it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from clinical_symile.config._tables import is_table
from clinical_symile.config.catalog import read_toml
from clinical_symile.config.cohort_schema import (
    CandidateTable,
    CohortFile,
    Generator,
    Layout,
    Outcome,
    Samples,
    Split,
    Subgroup,
)
from clinical_symile.config.definition import read_definition
from clinical_symile.config.deprecated import SAMPLES_WORDS
from clinical_symile.config.presets import apply_preset
from clinical_symile.errors import DefinitionError
from clinical_symile.hashing import digest_of, digest_of_folder
from clinical_symile.registry.base import keyword_arguments, resolve, unknown_name_message
from clinical_symile.registry.families import MODALITIES

# Keys of every modality's table beside `adapter` and the adapter's own, and their meaning.
_OF_EVERY_MODALITY = {"candidates": "a column", "worse_with": "an outcome of the cohort"}


@dataclass(frozen=True)
class ModalityDefinition:
    """A modality of a cohort.

    Attributes:
        adapter: name of the adapter.
        arguments: keyword arguments of the adapter.
        candidates: column with a list of structs, the candidate recordings of the sample, best
            first. The first usable one is stored, and its fields become columns of the sample's
            row. None if each sample has one recording, in columns of the row itself.
        worse_with: outcome of the cohort that says which end of the modality's severity is worse:
            the end at which the outcome is more common in train samples. None if nothing says it.
    """

    adapter: str
    arguments: Mapping[str, Any]
    candidates: str | None = None
    worse_with: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A definition of a cohort.

    Attributes:
        name: name of its folder, followed by a slash and the preset if it has presets.
        folder: folder of its definition.
        digest: digest of every file in that folder, the preset and the layout.
        layout: the form of the source that is read; None for `modalities` as in the file.
        layouts: per other form, the files that it needs and its modalities.
        allow_links: True if symbolic links may lead out of the folder of raw files.

    The other fields are those of `cohort.toml`.
    """

    name: str
    folder: Path
    title: str
    description: str
    access: str
    license: str
    citation: str
    samples: Samples
    tables: Mapping[str, str]
    types: Mapping[str, Mapping[str, str]]
    encoding: str | Mapping[str, str]
    modalities: Mapping[str, ModalityDefinition]
    outcomes: Mapping[str, Outcome]
    subgroups: Mapping[str, Subgroup]
    candidates: Mapping[Split, CandidateTable]
    layouts: Mapping[str, tuple[tuple[str, ...], Mapping[str, ModalityDefinition]]]
    generator: Generator | None
    digest: str
    layout: str | None = None
    allow_links: bool = False


def read_cohort(path: Path, *, name: str) -> Cohort:
    """Read a cohort.

    Args:
        path: its `cohort.toml`.
        name: name of the cohort, with its preset.

    Raises:
        DefinitionError: the file has problems; all of them at once.
    """
    table = apply_preset(read_toml(path), name=name, where=str(path))
    preset = name.partition("/")[2]
    where = f"{path}, preset {preset}" if preset else str(path)
    if is_table(samples := table.get("samples")):
        table["samples"] = SAMPLES_WORDS.update(samples, where=f"{where}: samples")
    problems: list[str] = []
    try:
        file = read_definition(CohortFile, table, where=where)
    except DefinitionError as error:
        _check_the_rest(table, path, where, [*error.problems])
        raise
    modalities = {
        key: _modality(key, table, where, problems) for key, table in file.modalities.items()
    }
    layouts = {
        form: (layout.needs, _in_layout(form, layout, modalities, where, problems))
        for form, layout in file.layouts.items()
    }
    problems += _unknown_outcomes(modalities, file.outcomes, where)
    if problems or _query_problem(file.samples.sql, path):
        _check_the_rest(table, path, where, problems)
    return Cohort(
        name=name,
        folder=path.parent,
        digest=digest_of(digest_of_folder(path.parent), preset)
        if preset
        else digest_of_folder(path.parent),
        **{
            key: getattr(file, key)
            for key in CohortFile.model_fields
            if key not in ("modalities", "layouts")
        },
        modalities=modalities,
        layouts=layouts,
    )


def _check_the_rest(
    table: Mapping[str, Any], path: Path, where: str, problems: list[str]
) -> NoReturn:
    """Check as much as possible of a file that already has problems.

    Raises:
        DefinitionError: with all problems.
    """
    samples, modalities = table.get("samples"), table.get("modalities")
    query = samples.get("sql") if is_table(samples) else None
    if problem := _query_problem(query, path):
        problems.append(f"{where}: samples.sql is '{query}', which {problem}")
    named: Mapping[str, Any] = modalities if is_table(modalities) else {}
    for key, arguments in named.items():
        found: list[str] = []
        if is_table(arguments):
            definition = _modality(key, arguments, where, found)
            if not found:
                try:
                    _adapter(definition, path.parent, key)
                except DefinitionError as error:
                    found += error.problems
        problems += found
    raise DefinitionError(*dict.fromkeys(problems), code="CS-F003")


def _query_problem(query: object, path: Path) -> str:
    """Return what is wrong with the file of a cohort's query, as the end of a sentence."""
    if not isinstance(query, str) or not query:
        return ""
    file = path.parent / query
    if not file.is_file():
        return "is not beside it. Add the query."
    try:
        file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return f"is not UTF-8 in line {line}. Save it as UTF-8."
    return ""


def modality_adapter(cohort: Cohort, name: str) -> Any:
    """Create the adapter of one modality.

    Raises:
        DefinitionError: the adapter rejects its arguments.
    """
    return _adapter(cohort.modalities[name], cohort.folder, name)


def _adapter(definition: ModalityDefinition, folder: Path, name: str) -> Any:
    adapter = resolve(definition.adapter, MODALITIES)
    try:
        return adapter(folder, **definition.arguments)
    except (TypeError, ValueError) as error:
        where = f"{folder / 'cohort.toml'}: modalities.{name}"
        raise DefinitionError(f"{where}: {error}. Correct it.", code="CS-F006") from error


def modality_adapters(cohort: Cohort) -> dict[str, Any]:
    """Create the adapters of all modalities, in the cohort's order.

    Raises:
        DefinitionError: adapters reject their arguments; all problems at once.
    """
    adapters: dict[str, Any] = {}
    problems: list[str] = []
    for name in cohort.modalities:
        try:
            adapters[name] = modality_adapter(cohort, name)
        except DefinitionError as error:
            problems.extend(error.problems)
    if problems:
        raise DefinitionError(*problems, code="CS-F006")
    return adapters


def _in_layout(
    name: str,
    layout: Layout,
    modalities: Mapping[str, ModalityDefinition],
    where: str,
    problems: list[str],
) -> dict[str, ModalityDefinition]:
    inside = f"{where}: layouts.{name}"
    other = {
        key: _modality(key, table, inside, problems) for key, table in layout.modalities.items()
    }
    for key, definition in other.items():
        if definition.worse_with is None and key in modalities:
            other[key] = replace(definition, worse_with=modalities[key].worse_with)
    return {**modalities, **other}


def _unknown_outcomes(
    modalities: Mapping[str, ModalityDefinition], outcomes: Mapping[str, Outcome], where: str
) -> list[str]:
    """Return a problem for each modality whose `worse_with` is not an outcome of the cohort."""
    return [
        f"{where}: modalities.{key}.worse_with: "
        f"{unknown_name_message(definition.worse_with, outcomes, what='outcome')} Correct the "
        "name, or add the outcome under [outcomes]."
        for key, definition in modalities.items()
        if definition.worse_with is not None and definition.worse_with not in outcomes
    ]


def _modality(
    key: str, table: Mapping[str, Any], where: str, problems: list[str]
) -> ModalityDefinition:
    arguments = dict(table)
    adapter = str(arguments.pop("adapter", key))
    texts: dict[str, str | None] = {}
    for name, expected in _OF_EVERY_MODALITY.items():
        value = arguments.pop(name, None)
        if not isinstance(value, str | None):
            problems.append(f"{where}: modalities.{key}.{name} is no text; expected {expected}.")
        texts[name] = value if isinstance(value, str) else None
    definition = ModalityDefinition(adapter, arguments, **texts)
    try:
        known, required = keyword_arguments(adapter, MODALITIES)
    except DefinitionError as error:
        problems.extend(problem.at(f"{where}: modalities.{key}") for problem in error.problems)
        return definition
    names = dict.fromkeys([*known, "adapter", *_OF_EVERY_MODALITY])
    problems.extend(
        f"{where}: modalities.{key}: {unknown_name_message(argument, names, what='key')}"
        for argument in arguments
        if argument not in known
    )
    problems.extend(
        f"{where}: modalities.{key} has no '{argument}'. Add it, or remove the modality."
        for argument in sorted(required - arguments.keys())
    )
    return definition

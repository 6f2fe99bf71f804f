"""Find definitions in catalogs, and read a definition's file.

A catalog is a directory with any of `cohorts/`, `tasks/`, `reports/`. Ours, those of installed
packages (entry point `clinical_symile.catalogs`) and those that are named (in the environment
variable `CLINICAL_SYMILE_CATALOG` and after `--catalog`) are seen together; the same name in two of
them is an error, so their order decides nothing.
"""

import importlib.util
import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import unknown_name_message

Kind = Literal["cohorts", "tasks", "reports"]

ENVIRONMENT_VARIABLE = "CLINICAL_SYMILE_CATALOG"
ENTRY_POINTS = "clinical_symile.catalogs"


@dataclass(frozen=True)
class Catalog:
    """Every definition there is, by kind and name.

    Attributes:
        cohorts: `cohort.toml` of each cohort.
        tasks: the TOML file of each task.
        reports: the template of each report.
    """

    cohorts: Mapping[str, Path]
    tasks: Mapping[str, Path]
    reports: Mapping[str, Path]

    def path(self, kind: Kind, name: str) -> Path:
        """The file that defines a name; a cohort's may end in a slash and a preset.

        Raises:
            DefinitionError: there is none; the message has the nearest name.
        """
        files = self.of(kind)
        if kind == "cohorts" and name not in files:
            name = name.partition("/")[0]
        if name not in files:
            close = get_close_matches(name, files, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            raise DefinitionError(
                f"unknown {kind[:-1]} '{name}'{hint} `clinical-symile list {kind}` shows all.",
                code="CS-F001",
            )
        return files[name]

    def of(self, kind: Kind) -> Mapping[str, Path]:
        """The definitions of one kind."""
        return {"cohorts": self.cohorts, "tasks": self.tasks, "reports": self.reports}[kind]


def open_catalog(directories: Sequence[Path] = ()) -> Catalog:
    """All definitions: ours, installed ones, and those in `directories`.

    Args:
        directories: further catalogs, as after `--catalog`; the ones in the environment variable
            `CLINICAL_SYMILE_CATALOG` (separated like `PATH`) come on top.

    Raises:
        DefinitionError: a directory does not exist or holds no definitions, or a name is defined
            twice. All such problems are raised together.
    """
    named = [
        Path(part) for part in os.environ.get(ENVIRONMENT_VARIABLE, "").split(os.pathsep) if part
    ]
    found: dict[str, dict[str, Path]] = {kind: {} for kind in get_args(Kind)}
    problems = []
    for directory in dict.fromkeys(
        [builtin_catalog_directory(), *_installed(), *named, *directories]
    ):
        if not any((directory / kind).is_dir() for kind in found):
            problems.append(
                f"catalog {directory}: no cohorts/, tasks/ or reports/ in it; expected at least "
                "one. Correct the path after --catalog."
            )
        for kind, files in found.items():
            for name, path in _definitions(directory / kind, kind):
                if name in files:
                    problems.append(
                        f"{kind[:-1]} '{name}' is defined twice: in {files[name]} and in {path}. "
                        "A name means one thing; rename one."
                    )
                files[name] = path
    if problems:
        raise DefinitionError(*problems, code="CS-F004")
    return Catalog(**{kind: dict(sorted(files.items())) for kind, files in found.items()})


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        DefinitionError: it is missing or not TOML; the message has the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DefinitionError(f"{path}: no such file.", code="CS-F002") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: not valid TOML: {error}.", code="CS-F002") from None


DefinitionModel = TypeVar("DefinitionModel", bound=BaseModel)


def read_definition(
    model: type[DefinitionModel], table: Mapping[str, Any], *, where: str
) -> DefinitionModel:
    """Check a definition against its model.

    Args:
        model: a pydantic model that forbids unknown keys.
        table: what the file says.
        where: the file, as it stands in messages.

    Raises:
        DefinitionError: with every problem of the file.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        found = error.errors()
    # What only whole definitions are asked is not asked beside an unknown key: leave those out.
    strangers = {one["loc"] for one in found if one["type"] == "extra_forbidden"}
    if strangers:
        try:
            model.model_validate(_leaving_out(table, strangers))
        except ValidationError as error:
            found += [one for one in error.errors() if one not in found]
    told = [one for one in found if not _follows(one, found)]
    problems = [problem for one in told for problem in _problems(one, model, table, where)]
    raise DefinitionError(*dict.fromkeys(problems), code="CS-F003")


def _follows(one: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> bool:
    """Return True if a list is too short only because its invalid entries do not count."""
    place = one["loc"]
    return one["type"] == "too_short" and any(
        place == other["loc"][: len(place)] for other in found if len(other["loc"]) > len(place)
    )


def _leaving_out(value: Any, places: Collection[tuple[int | str, ...]]) -> Any:
    """What a file says without the keys at some places, which are ways into tables and lists."""
    inside = {place[0] for place in places if place}

    def below(key: int | str) -> list[tuple[int | str, ...]]:
        return [place[1:] for place in places if place[:1] == (key,)]

    if isinstance(value, Mapping):
        kept = {key: entry for key, entry in value.items() if (key,) not in places}
        return {
            key: _leaving_out(entry, below(key)) if key in inside else entry
            for key, entry in kept.items()
        }
    if isinstance(value, list):
        return [
            _leaving_out(entry, below(key)) if key in inside else entry
            for key, entry in enumerate(value)
        ]
    return value


def builtin_folder(folder: str) -> Path:
    """A folder that comes with this package, beside the definitions."""
    return builtin_catalog_directory() / folder


def builtin_catalog_directory() -> Path:
    """Return the directory of the definitions that come with the package.

    Raises:
        DefinitionError: they are not there.
    """
    package = Path(__file__).resolve().parents[1]
    for directory in (package / "_catalog", package.parent):
        if (directory / "cohorts").is_dir() and (directory / "tasks").is_dir():
            return directory
    raise DefinitionError(
        f"{package}: the definitions that come with clinical-symile are not beside it; expected "
        "cohorts/, tasks/ and reports/. Install it again.",
        code="CS-F005",
    )


def _installed() -> list[Path]:
    directories = []
    for point in entry_points(group=ENTRY_POINTS):
        spec = importlib.util.find_spec(point.value)
        if spec is None or spec.origin is None:
            raise DefinitionError(
                f"installed catalog '{point.name}': package '{point.value}' cannot be found. "
                "Install it again, or uninstall what declares it.",
                code="CS-F005",
            )
        directories.append(Path(spec.origin).parent)
    return directories


def _definitions(folder: Path, kind: str) -> list[tuple[str, Path]]:
    """Return names and files in one folder: the path is the name."""
    forms = {
        "cohorts": [("*/cohort.toml", "/cohort.toml")],
        "tasks": [("**/*.toml", ".toml")],
        # A template with its definition in a comment is read until 0.3.0.
        "reports": [("**/report.toml", "/report.toml"), ("**/*.html.j2", ".html.j2")],
    }[kind]
    return [
        (path.relative_to(folder).as_posix().removesuffix(suffix), path)
        for pattern, suffix in forms
        for path in sorted(folder.glob(pattern))
        if not path.with_name("report.toml").is_file() or path.name == "report.toml"
    ]


def _problems(
    error: Mapping[str, Any], model: type[BaseModel], table: Mapping[str, Any], where: str
) -> list[str]:
    """One of pydantic's findings in our words; a validator of ours may have found several."""
    *parents, key = error["loc"] or ("",)
    place, name = _place(parents), _place(error["loc"])
    if error["type"] == "missing":
        return [f"{where}: {place or 'the file'} has no '{key}'. Add it."]
    if error["type"] == "extra_forbidden":
        sentence = unknown_name_message(str(key), _fields(model, table, error["loc"]), what="key")
        return [f"{where}: {place + ': ' if place else ''}{sentence}"]
    if error["type"] == "value_error":
        sentences = error["msg"].removeprefix("Value error, ").splitlines()
        return [
            f"{where}: {name + (' ' if sentence.startswith('is ') else ': ') if name else ''}"
            f"{sentence}"
            for sentence in sentences
        ]
    wrong = error["msg"].removeprefix(error["msg"].partition("should ")[0])
    return [f"{where}: {name} is {error['input']!r}; it {wrong}."]


def _place(parts: Sequence[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)[1:]


def _fields(model: type[BaseModel], table: Any, place: Sequence[int | str]) -> dict[str, Any]:
    """The keys that a table inside a definition may have, where one at `place` is unknown.

    Of several kinds of table it is of that which most of its keys are of, and the unknown is not.
    """
    *parents, key = place
    for depth, parent in enumerate(parents):
        table = table[parent]
        field = model.model_fields.get(str(parent))
        kinds = [] if field is None else _models(field.annotation)
        if depth == len(parents) - 1:
            kinds = [kind for kind in kinds if key not in kind.model_fields]
        if kinds:
            model = max(kinds, key=lambda kind: sum(name in table for name in kind.model_fields))
    return dict(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models inside an annotation such as `dict[str, Outcome]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]

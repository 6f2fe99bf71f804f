"""Find definitions in catalogs, and read a definition's file without checking it.

A catalog is a directory with any of `cohorts/`, `tasks/`, `reports/`. Ours, those of installed
packages (entry point `clinical_symile.catalogs`) and those that are named (in the environment
variable `CLINICAL_SYMILE_CATALOG` and after `--catalog`) are seen together. The same name in two of
them is an error, so their order decides nothing.
"""

import importlib.util
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from clinical_symile.errors import DefinitionError, warn_renamed
from clinical_symile.registry.base import installed_plugins
from clinical_symile.registry.names import is_name

Kind = Literal["cohorts", "tasks", "reports"]

ENVIRONMENT_VARIABLE = "CLINICAL_SYMILE_CATALOG"
REPORT_FILE = "report.toml"


@dataclass(frozen=True)
class Catalog:
    """All definitions, by kind and name.

    Attributes:
        cohorts: `cohort.toml` of each cohort.
        tasks: the TOML file of each task.
        reports: the definition of each report.
    """

    cohorts: Mapping[str, Path]
    tasks: Mapping[str, Path]
    reports: Mapping[str, Path]

    def path(self, kind: Kind, name: str) -> Path:
        """Return the file that defines a name; a cohort's name may end in a slash and a preset.

        Raises:
            DefinitionError: there is none; the message has the nearest name. Or its path makes no
                name.
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
        if not all(map(is_name, name.split("/"))):
            raise DefinitionError(
                f"{files[name]}: its path makes the {kind[:-1]} '{name}', which cannot be a name; "
                "expected letters, digits, '_', '-', '.' and spaces. Rename the file or folder.",
                code="CS-R014",
            )
        return files[name]

    def of(self, kind: Kind) -> Mapping[str, Path]:
        """Return the definitions of one kind."""
        return {"cohorts": self.cohorts, "tasks": self.tasks, "reports": self.reports}[kind]


def open_catalog(directories: Sequence[Path] = ()) -> Catalog:
    """Find all definitions: ours, installed ones, and those in `directories`.

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
    problems: list[str] = []
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
    except (ValueError, RecursionError) as error:  # also no UTF-8, or 5,000 digits
        raise DefinitionError(f"{path}: not valid TOML: {error}.", code="CS-F002") from None


def read_report_table(path: Path) -> dict[str, Any]:
    """Read the definition of a report, unchecked.

    Args:
        path: a `report.toml`; or, until 0.3.0, a template whose first comment is the definition.

    Raises:
        DefinitionError: the definition is missing or not TOML.
    """
    if path.name == REPORT_FILE:
        return read_toml(path)
    table = _first_comment(path)
    folder = path.name.removesuffix(".html.j2")
    warn_renamed(
        "the first comment of a template",
        f"{folder}/{REPORT_FILE} beside {folder}/template.html.j2",
        where=str(path),
    )
    return table


def builtin_folder(folder: str) -> Path:
    """Return a folder that comes with this package, beside the definitions."""
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
    directories: list[Path] = []
    for point in installed_plugins("catalogs"):
        spec = importlib.util.find_spec(point.path)
        if spec is None or spec.origin is None:
            raise DefinitionError(
                f"installed catalog '{point.name}': package '{point.path}' cannot be found. "
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


def _first_comment(template: Path) -> dict[str, Any]:
    try:
        text = template.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DefinitionError(
            f"{template}: byte {error.start} is not UTF-8; expected a template. Save it as UTF-8.",
            code="CS-F002",
        ) from None
    start, _, rest = text.partition("{#")
    if start.strip() or "#}" not in rest:
        raise DefinitionError(
            f"{template}: has no definition; expected {REPORT_FILE} beside template.html.j2. "
            "reports/README.md shows one.",
            code="CS-F009",
        )
    try:
        return tomllib.loads(rest.partition("#}")[0])
    except (ValueError, RecursionError) as error:
        raise DefinitionError(
            f"{template}: its first comment is not valid TOML: {error}. Correct it, or move it to "
            f"{REPORT_FILE}.",
            code="CS-F002",
        ) from None

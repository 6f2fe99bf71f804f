"""Look up a name in its family: this package's objects and those of installed plug-ins.

A plug-in is an entry point of the group `clinical_symile.<family>`. A name is imported only when it
is used. The same name twice is an error where it is used; a plug-in that cannot be read stops only
the definitions that use it.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from clinical_symile.errors import DefinitionError
from clinical_symile.registry.extras import missing_extra
from clinical_symile.registry.source import (
    Description,
    find_definition,
    read_description,
    read_keyword_arguments,
    read_literal,
    split_path,
)


@dataclass(frozen=True)
class Plugin:
    """An object of an installed package.

    Attributes:
        name: the name that definitions use.
        path: `module:attribute`.
        package: name and version of the package.
    """

    name: str
    path: str
    package: str


class Family(Mapping[str, str]):
    """The names of one kind of object, each with its `module:attribute`.

    Args:
        what: the kind in the singular, for messages.
        builtin: the names of this package.
        group: the entry-point group of plug-ins, without `clinical_symile.`; none without it.
        column: of metrics: a column that a plug-in's metric must read to be of this family.
    """

    def __init__(
        self,
        what: str,
        builtin: Mapping[str, str],
        *,
        group: str | None = None,
        column: str | None = None,
    ):
        self.what = what
        self.builtin = builtin
        self.group = group
        self.column = column

    def __getitem__(self, name: str) -> str:
        found = list(self.plugins(name))
        if name in self.builtin:
            found.insert(0, Plugin(name, self.builtin[name], "clinical-symile"))
        if not found:
            raise KeyError(name)
        if len(found) > 1:
            raise DefinitionError(_defined_twice(self.what, name, found), code="CS-F018")
        return found[0].path

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.builtin, *(one.name for one in self.plugins())]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or any(one.name == name for one in self.plugins())

    def plugins(self, name: str | None = None) -> tuple[Plugin, ...]:
        """Return the plug-ins of this family; of one name if it is given."""
        found = installed_plugins(self.group) if self.group else ()
        return tuple(
            one for one in found if name in (None, one.name) and _reads(one.path, self.column)
        )

    def problems(self) -> list[str]:
        """Return what is wrong with the installed plug-ins, a sentence each."""
        found = []
        for name in dict.fromkeys(one.name for one in self.plugins()):
            try:
                find_definition(self[name], what=f"{self.what} '{name}'")
            except DefinitionError as error:
                packages = ", ".join(one.package for one in self.plugins(name))
                found += [problem.at(f"plug-in of {packages}") for problem in error.problems]
        return found


def installed_plugins(group: str) -> tuple[Plugin, ...]:
    """Return the entry points of a group, without importing what they name."""
    return _all_plugins().get(group, ())


@cache
def _all_plugins() -> dict[str, tuple[Plugin, ...]]:
    """The plug-ins of every group; the metadata of all installed packages is read once."""
    from importlib.metadata import entry_points  # half of what `--help` would load

    points = entry_points()
    prefix = "clinical_symile."
    return {
        group.removeprefix(prefix): tuple(
            Plugin(point.name, point.value, _package(point)) for point in points.select(group=group)
        )
        for group in points.groups
        if group.startswith(prefix)
    }


def forget_plugins() -> None:
    """Read the installed plug-ins again at the next look-up, after an installation."""
    _all_plugins.cache_clear()


def unknown_name_message(
    name: str, names: Mapping[str, Any], *, what: str, to: str | None = None
) -> str:
    """Return the sentence for an unknown name, with the nearest known one.

    Args:
        name: the unknown name.
        names: those that are known.
        what: the kind in the singular.
        to: the object that knows them, if its name tells the reader more.
    """
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    known = f"Known to '{to}'" if to else "Known"
    return f"unknown {what} '{name}'{hint} {known}: {', '.join(sorted(names)) or 'none'}."


def resolve(name: str, family: Family) -> Any:
    """Import the object that a name of a family means.

    Args:
        name: a name of the family, or `package.module:Name`.
        family: one of the families above.

    Raises:
        DefinitionError: the name is unknown, or its module cannot be imported or lacks it.
    """
    return load_object(_path(name, family), what=f"{family.what} '{name}'")


def load_object(path: str, *, what: str) -> Any:
    """Import the object at `package.module:Name`.

    Args:
        path: the path.
        what: what the object is for, for messages.

    Raises:
        DefinitionError: it is no such path, or the module cannot be imported or lacks the name.
    """
    module, attribute = split_path(path, what=what)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not _is_part_of(error.name, module):
            raise missing_extra(error, what=what) from error
        raise DefinitionError(
            f"{what}: {error}; expected an importable 'package.module:Name'. "
            "Install the package that has it, or correct the name.",
            code="CS-F019",
        ) from error


def _is_part_of(package: str | None, module: str) -> bool:
    """Return True if a package is on the path of a module: then the path itself is wrong."""
    return package is None or f"{module}.".startswith(f"{package}.")


def name_problems(name: str, family: Family) -> list[str]:
    """Return what is wrong with a name of a family, without importing what it names."""
    try:
        find_definition(_path(name, family), what=f"{family.what} '{name}'")
    except DefinitionError as error:
        return list(error.problems)
    return []


def keyword_arguments(name: str, family: Family) -> tuple[set[str], set[str]]:
    """Return the keyword-only arguments of an object: (all, those without a default).

    Raises:
        DefinitionError: the name is unknown, or its source has no such class or function.
    """
    return read_keyword_arguments(_path(name, family), what=f"{family.what} '{name}'")


def describe(name: str, family: Family) -> Description:
    """Return how an object describes itself, read from its source: see `read_description`.

    Raises:
        DefinitionError: the name is unknown, or its source has no such class, function or constant.
    """
    return read_description(_path(name, family), name=name, what=f"{family.what} '{name}'")


def literal_of(name: str, family: Family, attribute: str) -> Any:
    """Return one literal of an object, read from its source; None if it has none.

    Raises:
        DefinitionError: as `describe`.
    """
    return read_literal(_path(name, family), attribute, what=f"{family.what} '{name}'")


def _reads(path: str, column: str | None) -> bool:
    """Return True if a metric's literal `columns` names a column; always True for others."""
    if column is None:
        return True
    try:
        columns = read_literal(path, "columns", what="metric")
    except DefinitionError:
        return True  # reported by `problems`
    return column in (columns or ())


def _package(point: Any) -> str:
    """Return the package of an entry point, of `importlib.metadata` or of its backport."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"


def _defined_twice(what: str, name: str, plugins: Sequence[Plugin]) -> str:
    packages = " and by ".join(one.package for one in plugins)
    return (
        f"{what} '{name}' is defined twice: by {packages}. A name means one thing; uninstall one, "
        "or name the object as 'package.module:Name'."
    )


def _path(name: str, family: Family) -> str:
    if name in family:
        return family[name]
    if ":" in name:
        return name
    raise DefinitionError(unknown_name_message(name, family, what=family.what), code="CS-F017")

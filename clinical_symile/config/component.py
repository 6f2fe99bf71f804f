"""Define a named object with its keyword arguments, as definitions write it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import (
    Family,
    keyword_arguments,
    name_problems,
    unknown_name_message,
)

# The argument of an encoder that names the file of its first weights.
WEIGHTS = "weights"


class ComponentConfig(BaseModel):
    """An object of a family with its keyword arguments.

    Attributes:
        name: a name of the family, or `package.module:Name`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Every other key of the table."""
        return dict(self.model_extra or {})


def unknown_names(names: Iterable[str], known: Mapping[str, Any], *, what: str) -> list[str]:
    """Return a sentence for each name that is not among the known ones."""
    return [unknown_name_message(name, known, what=what) for name in names if name not in known]


def unknown_objects(names: Iterable[str], family: Family) -> list[str]:
    """Return what is wrong with names of a family, without importing what they name."""
    return [problem for name in names for problem in name_problems(name, family)]


def argument_problems(
    component: ComponentConfig, family: Family, *, where: str, also: Iterable[str] = ()
) -> list[str]:
    """Return what is wrong with a component's name and arguments, a sentence each.

    Args:
        component: the name with its arguments.
        family: the family that the name belongs to.
        where: the table, for messages.
        also: keys of the table that are no arguments, for the hint at an unknown one.
    """
    try:
        known, required = keyword_arguments(component.name, family)
    except DefinitionError as error:
        return [problem.at(where) for problem in error.problems]
    given = component.arguments.keys()
    names = dict.fromkeys([*known, *also])
    return [
        *(
            f"{where}: {unknown_name_message(key, names, what='argument', to=component.name)}"
            for key in sorted(given - known)
        ),
        *(
            f"{where} has no '{key}'; '{component.name}' needs it. Add it."
            for key in sorted(required - given)
        ),
    ]

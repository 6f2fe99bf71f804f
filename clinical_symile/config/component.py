"""Check what a definition names and the arguments that go with it: `ComponentConfig`."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from clinical_symile.errors import DefinitionError
from clinical_symile.registry import keyword_arguments_of, unknown_name_message


class ComponentConfig(BaseModel):
    """Something from `names.py` with its keyword arguments.

    Attributes:
        name: a name of the table in question, or `package.module:Name`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Every other key of the table."""
        return dict(self.model_extra or {})


def unknown_names(names: Iterable[str], known: Mapping[str, Any], *, what: str) -> list[str]:
    """A sentence for each name that is neither known nor of the form `package.module:Name`."""
    return [
        unknown_name_message(name, known, what=what)
        for name in names
        if name not in known and ":" not in name
    ]


def wrong_arguments(
    named: ComponentConfig, names: Mapping[str, str], *, what: str, where: str
) -> list[str]:
    """What is wrong with the name, or with the keys that go with it; a sentence for each."""
    try:
        known, required = keyword_arguments_of(named.name, names, what=what)
    except DefinitionError as error:
        return [f"{where}: {problem}" for problem in error.problems]
    given = named.arguments.keys()
    return [
        *(
            f"{where}: {unknown_name_message(key, dict.fromkeys(known), what='argument')}"
            for key in sorted(given - known)
        ),
        *(
            f"{where} has no '{key}'; '{named.name}' needs it. Add it."
            for key in sorted(required - given)
        ),
    ]

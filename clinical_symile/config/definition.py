"""Check the table of a definition against its model, and report every problem in plain words."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from clinical_symile.config._tables import is_list, is_table
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import unknown_name_message

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
    # Checks of a whole definition do not run beside an unknown key: check again without these.
    unknown = {one["loc"] for one in found if one["type"] == "extra_forbidden"}
    if unknown:
        try:
            model.model_validate(_leaving_out(table, unknown))
        except ValidationError as error:
            found += [one for one in error.errors() if one not in found]
    reported = [one for one in found if not _follows(one, found)]
    problems = [problem for one in reported for problem in _problems(one, model, table, where)]
    raise DefinitionError(*dict.fromkeys(problems), code="CS-F003")


def _follows(one: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> bool:
    """Return True if a list is too short only because its invalid entries do not count."""
    place = one["loc"]
    return one["type"] == "too_short" and any(
        place == other["loc"][: len(place)] for other in found if len(other["loc"]) > len(place)
    )


def _leaving_out(value: Any, places: Collection[tuple[int | str, ...]]) -> Any:
    """Return a table without the keys at some places; a place is a path into tables and lists."""
    inside = {place[0] for place in places if place}

    def below(key: int | str) -> list[tuple[int | str, ...]]:
        return [place[1:] for place in places if place[:1] == (key,)]

    if is_table(value):
        kept = {key: entry for key, entry in value.items() if (key,) not in places}
        return {
            key: _leaving_out(entry, below(key)) if key in inside else entry
            for key, entry in kept.items()
        }
    if is_list(value):
        return [
            _leaving_out(entry, below(key)) if key in inside else entry
            for key, entry in enumerate(value)
        ]
    return value


_LIST, _TABLE = 'should be a list, such as ["one", "two"]', "should be a table"
# The kinds of values in the words of TOML, which users write, by pydantic's type of the error.
_KINDS = {
    **dict.fromkeys(("tuple_type", "list_type"), _LIST),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), _TABLE),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    "string_type": "should be text in quotes",
}


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
    wrong = _KINDS.get(error["type"], wrong)
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

"""Apply fields that are set on the command line, such as `--set encoders.ecg.width=32`."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from clinical_symile.config._tables import is_table
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import unknown_name_message


def parse_override(text: str) -> tuple[str, Any]:
    """Parse `field=value`; the value is TOML, or a string if it is not.

    >>> parse_override("epochs=3")
    ('epochs', 3)

    Raises:
        DefinitionError: there is no field or no `=`.
    """
    field, separator, value = text.partition("=")
    if not separator or not field:
        raise DefinitionError(f"'{text}': expected field=value, such as epochs=10.", code="CS-F008")
    try:
        return field, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return field, value


def apply_override(table: Mapping[str, Any], setting: str) -> dict[str, Any]:
    """Return the table with a field set by `field=value`; dots lead into tables.

    Raises:
        DefinitionError: it has another form, or dots lead into a field that is no table.
    """
    field, value = parse_override(setting)
    return replace_field(table, field, value, where=f"--set {setting}")


def replace_field(
    table: Mapping[str, Any], field: str, value: Any, *, where: str
) -> dict[str, Any]:
    """Return the table with another value of a field; dots lead into tables.

    Args:
        table: what a definition says.
        field: the field, such as `objective.temperature`.
        value: its new value.
        where: the setting, for messages.

    Raises:
        DefinitionError: dots lead into a field that is no table.
    """
    return _replaced(table, field.split("."), value, where)


def _replaced(
    table: Mapping[str, Any], keys: Sequence[str], value: Any, where: str
) -> dict[str, Any]:
    key, *rest = keys
    if not rest:
        return {**table, key: value}
    # A table that the definition leaves out begins here; reading the definition checks its name.
    inner = table.get(key, {})
    if not is_table(inner):
        tables = {name: None for name, entry in table.items() if is_table(entry)}
        raise DefinitionError(
            f"{where}: {unknown_name_message(key, tables, what='table')}", code="CS-F008"
        )
    return {**table, key: _replaced(inner, rest, value, where)}

"""Read the words of earlier versions in definitions and warn with the words that replace them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinical_symile.errors import DefinitionError, warn_renamed


@dataclass(frozen=True)
class RenamedWords:
    """The keys and values of one kind of definition that have new names.

    Attributes:
        keys: the new name of each renamed key.
        values: for a key, by its new name, the new name of each renamed value.
        since: the version that has the new words.
    """

    keys: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    since: str = "0.2.0"

    def update(self, table: Mapping[str, Any], *, where: str) -> dict[str, Any]:
        """Return the table in today's words; warn once for each old word.

        Args:
            table: what a definition says.
            where: its file, for messages.

        Raises:
            DefinitionError: the table has a key by its old and by its new name.
        """
        twice = [f"'{old}' and '{new}'" for old, new in self.keys.items() if {old, new} <= {*table}]
        if twice:
            raise DefinitionError(
                *(
                    f"{where}: has both {both}, which mean the same. Remove the first."
                    for both in twice
                ),
                code="CS-F007",
            )
        updated: dict[str, Any] = {}
        for key, value in table.items():
            name = self.keys.get(key, key)
            if name != key:
                self._warn(f"key '{key}'", f"'{name}'", where=where)
            word = self.values.get(name, {}).get(value) if isinstance(value, str) else None
            if word is not None:
                self._warn(f'{name} = "{value}"', f'"{word}"', where=where)
            updated[name] = value if word is None else word
        return updated

    def _warn(self, old: str, new: str, *, where: str) -> None:
        is_record = Path(where).name == "run.toml"
        advice = (
            "Leave the record as it is, and train again by then." if is_record else "Rename it."
        )
        warn_renamed(old, new, where=where, since=self.since, advice=advice)

    def without_replaced(self, table: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Return the table without the key that `key` is an old name of, so that it can be set."""
        return {name: value for name, value in table.items() if name != self.keys.get(key)}


PRETRAINING_WORDS = RenamedWords(
    keys={"absent": "missing_modality"},
    values={"missing_modality": {"omit": "drop"}},
)
"""Words of pretraining tasks in version 0.1."""

SAMPLES_WORDS = RenamedWords(keys={"measured": "measurement_hours"}, since="0.2.1")
"""Words of `[samples]` of cohorts in version 0.2.0."""

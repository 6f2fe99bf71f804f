"""Apply presets: named changes to a cohort's file, so that one query serves several questions.

`cohorts/mimic_iv/` with a table `[presets.official]` defines the cohort `mimic_iv/official`. The
preset replaces keys of the file, table by table. A cohort with presets is always read with one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_symile.config._tables import is_table
from clinical_symile.config.catalog import read_toml
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import unknown_name_message

_PRESETS_KEY = "presets"


def cohort_names(path: Path, *, name: str) -> tuple[str, ...]:
    """Return the names that a cohort's file defines: `<name>/<preset>` each, or `<name>`.

    Args:
        path: a `cohort.toml`.
        name: name of its folder.

    Raises:
        DefinitionError: the file cannot be read.
    """
    presets = read_toml(path).get(_PRESETS_KEY, {})
    return tuple(f"{name}/{preset}" for preset in presets) if presets else (name,)


def apply_preset(table: Mapping[str, Any], *, name: str, where: str) -> dict[str, Any]:
    """Return the content of a cohort's file with the preset of a name applied.

    Args:
        table: content of the file.
        name: `<cohort>` or `<cohort>/<preset>`.
        where: the file in messages.

    Raises:
        DefinitionError: the preset is unknown, or the name has none and the file has presets.
    """
    cohort, _, preset = name.partition("/")
    presets = table.get(_PRESETS_KEY, {})
    if not is_table(presets) or not all(map(is_table, presets.values())):
        raise DefinitionError(
            f"{where}: presets: expected tables. Write [presets.<name>].", code="CS-F003"
        )
    plain = {key: value for key, value in table.items() if key != _PRESETS_KEY}
    if not preset and not presets:
        return plain
    if preset not in presets:
        names = {f"{cohort}/{each}": each for each in presets} or {cohort: ""}
        raise DefinitionError(
            f"{where}: {unknown_name_message(name, names, what='cohort')}"
            + (" Its presets select different samples. Name one." if presets else ""),
            code="CS-F001",
        )
    return _merged(plain, presets[preset])


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge tables key by key; replace any other value."""
    joined = dict(below)
    for key, value in above.items():
        before = below.get(key)
        if is_table(value) and is_table(before):
            value = _merged(before, value)
        joined[key] = value
    return joined

"""Presets of a cohort: named changes to its file, so that one query serves several questions.

`cohorts/mimic_iv/` with a table `[presets.official]` is read as the cohort `mimic_iv/official`:
what the preset says is laid over the file, table by table. A cohort with presets is read as one of
them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import read_toml
from clinical_symile.errors import DefinitionError
from clinical_symile.registry import unknown_name_message

PRESETS = "presets"


def cohort_names(path: Path, *, name: str) -> tuple[str, ...]:
    """What a cohort's file defines: `<name>/<preset>` of each preset, or else `<name>`.

    Args:
        path: a `cohort.toml`.
        name: of its folder.

    Raises:
        DefinitionError: it cannot be read.
    """
    presets = read_toml(path).get(PRESETS, {})
    return tuple(f"{name}/{preset}" for preset in presets) if presets else (name,)


def apply_preset(table: Mapping[str, Any], *, name: str, where: str) -> dict[str, Any]:
    """What a cohort's file says under a name, with the preset that the name asks for.

    Args:
        table: the file.
        name: `<cohort>` or `<cohort>/<preset>`.
        where: the file, as it stands in messages.

    Raises:
        DefinitionError: there is no such preset, or there are some and the name asks for none.
    """
    cohort, _, preset = name.partition("/")
    presets = table.get(PRESETS, {})
    if not isinstance(presets, dict) or not all(isinstance(p, dict) for p in presets.values()):
        raise DefinitionError(f"{where}: presets: expected tables. Write [presets.<name>].")
    plain = {key: value for key, value in table.items() if key != PRESETS}
    if not preset and not presets:
        return plain
    if preset not in presets:
        names = {f"{cohort}/{each}": each for each in presets} or {cohort: ""}
        raise DefinitionError(
            f"{where}: {unknown_name_message(name, names, what='cohort')}"
            + (" Its presets differ in who is in: name one." if presets else "")
        )
    return _merged(plain, presets[preset])


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are joined key by key; any other value is replaced."""
    joined = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        joined[key] = _merged(below[key], value) if both else value
    return joined

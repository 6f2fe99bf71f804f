"""Write the page of methods: what of the literature is in the suite, and which test shows it."""

import posixpath
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from clinical_symile.registry.base import Family, describe
from clinical_symile.registry.families import FAMILIES, PARTS

ROOT = Path(__file__).resolve().parents[2]
PLACES = {"missing_query": "clinical_symile/objectives/missing_query.py"}
"""The file of what has neither a registered name nor a module's path."""
GROUPS = {
    "objectives": "Objectives",
    "fusion": "Supervised fusion",
    "missing_modality": "Ways with missing modalities",
    "adapters": "Adapters",
    "balance": "Balance of modalities",
    "diagnostics": "Diagnostics",
    "encoders": "Encoders",
    "other": "Training and data",
    "theory": "Theory, as tests alone",
}


def read_methods() -> Mapping[str, list[dict[str, str]]]:
    """Return the rows of `methods.toml`: each `method`, and what is `left_out`."""
    with (Path(__file__).parent / "methods.toml").open("rb") as file:
        return tomllib.load(file)


def registered(place: str) -> tuple[Family, str] | None:
    """Return the family and the name of `family/name`; None if a place is no registered name."""
    word, _, name = place.partition("/")
    family = {**FAMILIES, **PARTS}.get(word)
    return None if family is None or name not in family else (family, name)


def file_of(row: Mapping[str, str]) -> str:
    """Return the file of a method in the repository; that of its test, if theory is all it has."""
    place = row["in"]
    if place == "theory":
        return row["test"].partition("::")[0]
    found = registered(place)
    if found is None:
        return PLACES.get(place, place)
    family, name = found
    return family[name].partition(":")[0].replace(".", "/") + ".py"


def methods() -> str:
    """Return the page of methods as Markdown."""
    rows = read_methods()
    page = [
        "# Methods of the literature",
        "Each method of the literature that the suite has, with its file and a test that shows a "
        "property or a known value. Formulas are written anew from the papers; no code is copied. "
        "The licence is that of the authors' or another public code: *none* if it has none, "
        "*unread* if it was not looked at, empty if there is none known or none is needed.",
    ]
    grouped: dict[str, list[dict[str, str]]] = {group: [] for group in GROUPS}
    for row in rows["method"]:
        grouped[_group(row["in"])].append(row)
    for group, title in GROUPS.items():
        if grouped[group]:
            page += [f"## {title}", _table(grouped[group])]
    page += [
        "## Not in the suite",
        "| method | reason |\n|---|---|\n"
        + "\n".join(f"| {row['name']} | {row['reason']} |" for row in rows["left_out"]),
    ]
    return "\n\n".join(page) + "\n"


def _group(place: str) -> str:
    word = place.partition("/")[0]
    return word if word in GROUPS else "other"


def _table(rows: list[dict[str, str]]) -> str:
    return "\n".join(
        ["| method | name | test | licence | source |", "|---|---|---|---|---|", *_lines(rows)]
    )


def _lines(rows: list[dict[str, str]]) -> Iterator[str]:
    for row in rows:
        found, file = registered(row["in"]), file_of(row)
        name = found[1] if found else posixpath.basename(file)
        source = row.get("source") or (describe(found[1], found[0]).source if found else "")
        test_file, _, test = row["test"].partition("::")
        sentence = test.removeprefix("test_").replace("_", " ")
        cells = (
            row["name"],
            f"[`{name}`](../../{file})",
            f"[{sentence}](../../{test_file})",
            row["licence"],
            source,
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

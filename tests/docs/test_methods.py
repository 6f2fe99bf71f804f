"""The page of methods names files and tests that there are, and every registered method."""

import ast
from pathlib import Path

import pytest

from clinical_symile.registry.families import FAMILIES
from docs.hooks.methods import file_of, methods, read_methods, registered

ROOT = Path(__file__).resolve().parents[2]
ROWS = read_methods()["method"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_method_has_a_file_a_test_a_licence_and_a_source(row: dict[str, str]) -> None:
    assert (ROOT / file_of(row)).is_file()
    path, _, name = row["test"].partition("::")
    functions = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    assert name in {node.name for node in functions if isinstance(node, ast.FunctionDef)}
    assert row["licence"] in ("", "none", "unread") or row["licence"][0].isupper()
    line = next(line for line in methods().splitlines() if line.startswith(f"| {row['name']} |"))
    assert line.split(" | ")[-1].removesuffix(" |").strip(), "no source"


@pytest.mark.parametrize(
    "word",
    ["objectives", "fusion", "missing_modality", "adapters", "balance", "diagnostics"],
)
def test_every_registered_method_is_on_the_page(word: str) -> None:
    listed = {row["in"] for row in ROWS}
    assert {f"{word}/{name}" for name in FAMILIES[word].builtin} <= listed


def test_a_row_that_names_a_family_names_one_of_its_members() -> None:
    for row in ROWS:
        if row["in"].partition("/")[0] in FAMILIES:
            assert registered(row["in"]), row


def test_names_are_told_once_and_what_is_left_out_has_a_reason() -> None:
    names = [row["name"] for rows in read_methods().values() for row in rows]
    assert len(names) == len(set(names))
    assert all(row["reason"].endswith(".") for row in read_methods()["left_out"])

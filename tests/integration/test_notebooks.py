"""The tutorials run from the first cell to the last, as a reader runs them."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
NOTEBOOKS = sorted(path.stem for path in TUTORIALS.glob("*.ipynb"))


def _cells(name: str) -> list[dict[str, Any]]:
    return json.loads((TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def test_there_are_three_tutorials_that_the_index_names():
    assert NOTEBOOKS == ["demo", "own_hospital", "own_model"]
    index = (TUTORIALS / "index.md").read_text(encoding="utf-8")
    for name in NOTEBOOKS:
        assert f"]({name}.ipynb)" in index


def _run(source: str, where: str, namespace: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last line, which a notebook shows."""
    *before, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        exec(compile(source, where, "exec"), namespace)
        return None
    exec(compile(ast.Module(before, []), where, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), where, "eval"), namespace)


def _form(text: str) -> str:
    """Return a text with one sign for each number."""
    return re.sub(r"-?\d+(\.\d+)?", "#", text)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_tutorial_runs_and_shows_what_is_written_below_its_cells(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(_cells(name), start=1):
        if cell["cell_type"] == "code":
            value = _run("".join(cell["source"]), f"{name}.ipynb, cell {number}", namespace)
            results = [one for one in cell["outputs"] if one["output_type"] == "execute_result"]
            # Values of trained models differ between machines; their form does not.
            for result in results:
                assert _form("".join(result["data"]["text/plain"])) == _form(repr(value)), number


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_tutorial_says_nothing_of_the_machine_it_was_made_on(name: str):
    text = (TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8")
    folders = ("tmp", "home", "root", "Users")
    assert not [folder for folder in folders if f"/{folder}/" in text]
    assert str(TUTORIALS.parents[1]) not in text
    errors = [
        output
        for cell in _cells(name)
        for output in cell.get("outputs", ())
        if output["output_type"] == "error"
    ]
    assert errors == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_tutorial_is_preferred(name: str):
    assert (TUTORIALS / f"{name}.ipynb").stat().st_size < 250_000

"""`clinical-symile card`."""

import json
from collections.abc import Callable
from pathlib import Path


def test_a_page_and_a_croissant_file_are_written(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path, tmp_path: Path
):
    page = tmp_path / "card.html"
    status, shown, _ = run("card", benchmark_folder / "store", "--out", page)
    beside = tmp_path / "card.croissant.json"
    assert (status, shown) == (0, f"Card: {page}\nCroissant: {beside}\n")
    assert "<html" in page.read_text()
    assert json.loads(beside.read_text())["@type"]

"""`clinical-symile checklist`."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import clinical_symile as cs


def test_both_checklists_are_filled_from_a_benchmark(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path, tmp_path: Path
):
    status, shown, said = run("checklist", benchmark_folder, "--out", tmp_path / "lists")
    assert (status, said) == (0, "")
    names = [Path(line).name for line in shown.splitlines()]
    assert names == [
        *("tripod_ai.html", "tripod_ai.md", "tripod_ai.csv"),
        *("claim.html", "claim.md", "claim.csv"),
    ]
    table = pd.read_csv(tmp_path / "lists/claim.csv", keep_default_na=False)
    trained = table[table["item"] == 25].iloc[0]
    assert trained["status"] == "answered"
    assert "Epochs: 2" in trained["answer"]
    folder = str(benchmark_folder)
    assert not [path for path in (tmp_path / "lists").iterdir() if folder in path.read_text()]


def test_one_checklist_is_filled_from_a_run(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path, tmp_path: Path
):
    folder = benchmark_folder / "runs/symile-0"
    words = ("--guideline", "claim", "--out", tmp_path)
    status, shown, _ = run("checklist", folder, *words)
    assert status == 0
    assert [Path(line).name for line in shown.splitlines()] == [
        *("claim.html", "claim.md", "claim.csv"),
    ]


def test_a_folder_without_records_and_an_unknown_checklist_are_refused(
    refused: Callable[..., str], benchmark_folder: Path, tmp_path: Path
):
    assert "neither a benchmark nor a run" in refused("checklist", tmp_path, "--out", tmp_path)
    assert "unknown word 'prisma'" in refused(
        "checklist", benchmark_folder, "--out", tmp_path, "--guideline", "prisma"
    )
    with pytest.raises(ValueError, match="unknown checklist 'tripod'"):
        cs.checklist(benchmark_folder, out=tmp_path, guidelines="tripod")

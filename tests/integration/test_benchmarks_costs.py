"""Tiny runs of the benchmarks of time, memory and precision, through to their files."""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def script() -> Iterator[Callable[[str], Any]]:
    """A benchmark's module, by name."""
    loaded = []

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        loaded.append(spec.name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in loaded:
        del sys.modules[name]


def rows(path: Path) -> list[list[str]]:
    """The cells of each line of a table, its head left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_operands_are_rounded_to_the_nearest_with_fewer_bits(
    script: Callable[[str], Any], generator: torch.Generator
) -> None:
    precision = script("precision")
    values = torch.randn(1000, generator=generator)
    torch.testing.assert_close(
        precision.rounded(values, 7), values.bfloat16().float(), rtol=0, atol=0
    )
    # 1 + 2^-11 lies between 1 and 1 + 2^-10, and 1 is even; 1 + 3 · 2^-11 goes to 1 + 2^-9.
    middle = torch.tensor([1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-11 + 2.0**-20])
    expected = [1.0, 1 + 2.0**-9, 1 + 2.0**-10]
    assert precision.rounded(middle, 10).tolist() == expected


def test_fewer_bits_cost_exactness(script: Callable[[str], Any]) -> None:
    precision = script("precision")
    for name in ("Symile", "CLIP"):
        lines = precision.compare(name, 16, 32, 10.0)
        cells = [line.strip("|\n").split("|") for line in lines]
        assert [cell[4].strip() for cell in cells] == ["`highest`", "`high`", "`medium`"]
        errors = [float(cell[7]) for cell in cells]
        assert errors == sorted(errors)
        assert errors[0] < 1e-6 < errors[1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_both_ways_of_a_large_batch_and_what_is_not_run_are_told(
    script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--batches", "16", "--at-a-time", "8", "--memory", "0.0001", "--out", str(tmp_path)]
    large_batch = script("large_batch")
    monkeypatch.setattr(sys, "argv", ["large_batch.py", *words])
    large_batch.main()
    plain, tiles, parts = rows(tmp_path / "large_batch.md")
    assert plain[:4] == ["16", "all at once", "dense", "not run"]
    assert tiles[:3] == ["16", "all at once", "in tiles"]
    assert parts[:3] == ["16", "8 at a time", "in tiles"]
    assert all(float(cell) >= 0 for row in (tiles, parts) for cell in row[3:])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_step_of_the_papers_towers_is_timed_both_ways(
    script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--batch", "4", "--size-px", "32", "--times", "64", "--dim", "16", "--steps", "1"]
    throughput = script("throughput")
    command = ["throughput.py", *words, "--device", "cpu", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    throughput.main()
    found = rows(tmp_path / "throughput.md")
    assert [row[0] for row in found] == ["ours", "ours, float32", "plain"]
    assert all(float(cell) > 0 for row in found for cell in row[1:])
    text = (tmp_path / "throughput.md").read_text(encoding="utf-8")
    assert re.search(r"ResNet-50 at 32 px, ResNet-18 over 12 x 64", text)
    assert re.search(r"Ours is \d+\.\d+ times as fast", text)
    assert re.search(r"Ours, float32 is \d+\.\d+ times as fast", text)


@pytest.mark.slow
def test_predictions_are_timed_to_the_report(script: Callable[[str], Any]) -> None:
    line = script("predictions").measure(300)
    cells = [cell.strip() for cell in line.strip("|\n").split("|")]
    assert cells[0] == "300"
    assert 2 <= int(cells[1]) <= 180
    assert float(cells[4]) > 0


def test_the_table_of_predictions_has_a_line_for_each_size(
    script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = script("predictions")
    monkeypatch.setattr(predictions, "measure", lambda n: f"| {n} | 5 | 1 | 1 | 0.1 |\n")
    command = ["predictions.py", "--rows", "7", "9", "--out", str(tmp_path / "t")]
    monkeypatch.setattr(sys, "argv", command)
    predictions.main()
    assert rows(tmp_path / "t") == [[n, "5", "1", "1", "0.1"] for n in ("7", "9")]


def test_every_changed_number_of_two_versions_has_its_cause(
    script: Callable[[str], Any],
) -> None:
    module = script("changed_numbers")
    before = {"value": 0.1, "low": 0.0, "high": 0.2, "mask": "a"}
    cases = {
        "none": before | {"value": 0.1 + 1e-15},
        "interval": before | {"high": 0.3},
        "mask": before | {"value": 0.2, "mask": "b"},
        "missing query": before | {"value": 0.2, "missing_query": "marginalize"},
        "mask, missing query": before | {"value": 0.2, "mask": "b", "missing_query": "drop"},
        "unexplained": before | {"value": 0.2},
    }
    assert {cause: module.cause(before, after) for cause, after in cases.items()} == {
        cause: cause for cause in cases
    }
    assert module.cause(None, before) == "only in the new version"
    assert module.cause(before, None) == "only in the old version"

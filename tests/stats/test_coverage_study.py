"""Intervals and tests keep their bars on the grid of small studies, in part or whole."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.stats.area_intervals import auroc_estimate
from clinical_symile.stats.hypothesis_tests import auroc_difference, delong

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


STUDY = _module("coverage_study")
TABLE = _module("coverage_table")


def _missed(cells: list[Any]) -> list[str]:
    """The bars of single cells that are missed."""
    return [f"{cell}: {why}" for cell in cells if (why := STUDY.below_bar(cell)) is not None]


@pytest.mark.parametrize("family", ["areas", "conformal"])
def test_a_small_part_of_the_grid_keeps_its_bars(monkeypatch: pytest.MonkeyPatch, family: str):
    monkeypatch.setattr(STUDY, "SUBJECTS", (12, 30))
    assert _missed(STUDY.run([family], 60, seed=2)) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", list(STUDY.FAMILIES))
def test_the_grid_keeps_its_bars(family: str):
    assert _missed(STUDY.run([family], 300, seed=3)) == []


def test_a_cell_below_its_bar_is_named():
    cell = STUDY.Cell("AUROC", 30, "one", 0.9, 5, "coverage", 0.80, 1.0, 2000)
    (line,) = STUDY.bars([cell])
    assert "covers 0.800, bar 0.913" in line
    size = STUDY.Cell("DeLong", 30, "one", 0.9, 5, "size", 0.09, 1.0, 2000)
    assert "rejects 0.090" in STUDY.bars([size])[0]
    rare = STUDY.Cell("AUROC", 30, "one", 0.9, 5, "coverage", 0.95, 0.5, 2000)
    assert "given in 0.50" in STUDY.bars([rare])[0]


def test_the_study_uses_the_intervals_and_p_values_of_results(rng: np.random.Generator):
    subjects = np.repeat(np.arange(30), 2)
    label, one, other = rng.integers(2, size=60), rng.normal(size=60), rng.normal(size=60)
    (ends,) = STUDY.area_intervals(one[None, :], label, subjects)
    assert ends == pytest.approx(auroc_estimate(label, one, subjects).interval()[1:3], abs=1e-6)
    p_value = STUDY.delong_p_value(auroc_difference(label, one, other, subjects))
    assert p_value == pytest.approx(delong(label, one, other, subjects).p_value)


def test_ties_count_half_in_the_placements_of_many_studies(rng: np.random.Generator):
    subjects, label = np.arange(40), np.arange(40) % 2
    scores = rng.integers(4, size=(3, 40)).astype(float)
    found = STUDY.area_intervals(scores, label, subjects)
    for row, ends in zip(scores, found, strict=True):
        positive, negative = row[label == 1], row[label == 0]
        area = np.mean(positive[:, None] > negative) + np.mean(positive[:, None] == negative) / 2
        assert ends[0] < area < ends[1]


def test_the_tables_of_the_page_are_those_of_the_results():
    page = TABLE.PAGE.read_text(encoding="utf-8")
    assert TABLE.with_part(page, TABLE.page_part(TABLE.read_cells())) == page


def test_the_page_names_each_missed_bar():
    fine = STUDY.Cell("AUROC", 30, "one", 0.9, 5, "coverage", 0.95, 1.0, 2000)
    poor = STUDY.Cell("AUROC", 30, "one", 0.9, 10, "coverage", 0.80, 1.0, 2000)
    liberal = STUDY.Cell("McNemar", 30, "one", 0.5, 30, "size", 0.09, 1.0, 2000)
    part = TABLE.page_part([fine, poor, liberal])
    assert "| AUROC | 30 | 2 | 80.0 % | 87.5 % | 95.0 % |" in part
    assert "- AUROC, 30 subjects (one), value 0.9, 10 events: covers 0.800, bar 0.913." in part
    assert "1 of 2 below | **missed** |" in part
    assert "1 of 1 above | **missed** |" in part
    assert "| mean coverage at most 97.0 % | 87.50 % | met |" in part


def test_sizes_near_0_miss_the_bar_of_their_mean():
    cell = STUDY.Cell("gap of AUROC", 60, "one", 0.9, 20, "size", 0.01, 1.0, 2000)
    assert "gap of AUROC: mean size 0.0100" in STUDY.bars([cell])[0]

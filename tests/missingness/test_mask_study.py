"""Every mechanism has what is documented, as `benchmarks/masks.py` computes it."""

import importlib.util
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def masks() -> Any:
    spec = importlib.util.spec_from_file_location("masks_study", ROOT / "benchmarks" / "masks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def grid(masks: Any) -> list[tuple[str, int, int]]:
    return list(product(masks.FORMS, masks.SIZES, masks.RATES))


def test_a_sample_of_the_grid_gives_what_is_documented(masks: Any) -> None:
    cells = grid(masks)
    for place in np.random.default_rng(0).choice(len(cells), 5, replace=False):
        lines = list(masks.study(*cells[place]))
        assert [line for line in lines if not line.holds] == []


def test_a_mask_that_is_not_as_documented_is_found(
    masks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "SAMPLES", 20_000)
    monkeypatch.setattr(masks, "SLOPE", 0.75)  # documented so, drawn with 1.5
    wrong = {line.statistic for line in masks.study("mnar-died-{}", 2, 30) if not line.holds}
    assert {"slope", "correlation", "hidden, died", "AUROC of the mask"} <= wrong


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_every_mechanism_size_and_rate_gives_what_is_documented(seed: int, masks: Any):
    wrong, refused = [], set()
    for form, size, rate in grid(masks):
        for line in masks.study(form, size, rate, seed):
            wrong += [] if line.holds else [line]
            refused |= {line.pattern} if line.statistic == "refused" else set()
    assert wrong == []
    assert all(name.endswith("@at-least-one") for name in refused)


def test_the_recorded_study_is_whole_and_holds(masks: Any) -> None:
    lines = masks.read(masks.OUT)
    cells = {(form.format(rate), size) for form, size, rate in grid(masks)}
    assert {(line.pattern, line.modalities) for line in lines} == cells
    assert [line for line in lines if not line.holds] == []
    for line in lines:
        if line.documented is not None:
            allowed = max(0.02, 0.1 * abs(line.documented)) + 1e-4  # rounded in the file
            assert abs(line.documented - line.simulated) <= allowed


def test_the_documentation_has_the_tables_of_the_recorded_study(masks: Any) -> None:
    page = (ROOT / "docs" / "explanation" / "missingness.md").read_text(encoding="utf-8")
    first, second = masks.docs_tables(masks.read(masks.OUT)).split("\n\n")
    assert first in page
    assert second in page

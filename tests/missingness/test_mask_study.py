"""Every mechanism has what is documented, as `benchmarks/masks.py` computes it."""

import importlib.util
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "masks.py"


@pytest.fixture(scope="module")
def masks() -> Any:
    spec = importlib.util.spec_from_file_location("masks_study", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("form", ["mcar-{}", "mcar-{}-corr-60", "mar-age-{}", "mnar-died-{}"])
def test_the_default_rate_gives_what_is_documented(form: str, size: int, masks: Any):
    lines = list(masks.study(form, size, 30))
    assert len(lines) > 5
    assert [line for line in lines if not line.holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_every_mechanism_size_and_rate_gives_what_is_documented(seed: int, masks: Any):
    wrong, refused = [], set()
    for form, size, rate in product(masks.FORMS, masks.SIZES, masks.RATES):
        for line in masks.study(form, size, rate, seed):
            wrong += [] if line.holds else [line]
            refused |= {line.pattern} if line.statistic == "refused" else set()
    assert wrong == []
    assert all(name.endswith("@at-least-one") for name in refused)

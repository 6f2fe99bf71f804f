"""A short version of `benchmarks/xor.py`: from a and c, Symile learns b = a XOR c, CLIP cannot."""

import csv
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.symile import Symile

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SHORT = {"train": 2_000, "tuning": 500, "held_out": 2_000}


@pytest.fixture(autouse=True)
def _one_thread():
    """Products this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def xor():
    spec = importlib.util.spec_from_file_location("benchmarks_xor", BENCHMARKS / "xor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks_xor"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["benchmarks_xor"]


def test_symile_learns_xor_and_clip_stays_at_chance(xor):
    settings = {"probability": 1.0, "epochs": 12, "batch_size": 250, "seed": 0, "samples": SHORT}
    symile = xor.learn(Symile(temperature=math.exp(0.3), negatives="shuffled"), **settings)
    clip = xor.learn(Clip(temperature=math.exp(0.3)), **settings)
    assert symile.accuracy > 0.95
    assert clip.accuracy == pytest.approx(1 / 32, abs=0.02)
    assert clip.high < symile.low


def _is_as_the_paper_says(objective, accuracy, best_possible):
    if objective == "symile":
        assert best_possible - 0.04 <= accuracy <= best_possible + 0.02
    else:
        assert accuracy == pytest.approx(1 / 32, abs=0.02)


def test_in_the_published_results_symile_is_on_the_line_and_clip_at_chance_for_every_p(xor):
    with (BENCHMARKS / "results" / "xor.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = [(float(row["probability"]), row["objective"]) for row in rows]
    assert asked == [(p / 10, name) for p in range(11) for name in ("symile", "clip")]
    for row in rows:
        best_possible = xor.best_possible(float(row["probability"]))
        assert float(row["best_possible"]) == pytest.approx(best_possible, abs=1e-4)
        _is_as_the_paper_says(row["objective"], float(row["accuracy"]), best_possible)


@pytest.mark.slow
@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_symile_is_on_the_line_and_clip_at_chance_below_p_of_1_too(xor, probability):
    samples = {"train": 5_000, "tuning": 1_000, "held_out": 5_000}
    settings = {"probability": probability, "epochs": 40, "batch_size": 500, "seed": 0}
    symile = Symile(temperature=math.exp(0.3), negatives="shuffled")
    clip = Clip(temperature=math.exp(0.3), reduction="sum", logit_scale_max=math.inf)
    for objective in (symile, clip):
        row = xor.learn(objective, samples=samples, **settings)
        _is_as_the_paper_says(row.objective, row.accuracy, row.best_possible)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_the_line_is_the_accuracy_of_the_best_possible_guess(xor, probability, generator):
    # From a and c: where a XOR c is b it is the best guess; else c = a, and b may be any value.
    a, b, c = xor.draw(40_000, probability=probability, generator=generator).bool().unbind(dim=1)
    guess = a ^ c
    accuracy = (guess == b).all(dim=1).float().mean().item()
    expected = xor.best_possible(probability)
    assert accuracy == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 40_000))


def test_neither_a_nor_c_alone_says_anything_of_b(xor, generator):
    bits = xor.draw(40_000, probability=0.4, generator=generator).numpy() - 0.5
    correlation = np.einsum("ni,nj->ij", bits[:, 1], bits[:, 0] + bits[:, 2]) / len(bits)
    assert np.abs(correlation).max() < 0.02


def test_the_files_and_the_figure_are_written(xor, tmp_path):
    row = xor.learn(Clip(), probability=0.0, epochs=1, batch_size=250, seed=0, samples=SHORT)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        xor.write_csv(tmp_path / folder / "xor.csv", [row])
        xor.draw_figure(tmp_path / folder / "xor.svg", [row])
    lines = (tmp_path / "first" / "xor.csv").read_text().splitlines()
    assert lines[0].startswith("probability,objective,accuracy,low,high,best_possible")
    assert lines[1].startswith("0.0000,clip,0.0")
    first, second = [(tmp_path / f / "xor.svg").read_bytes() for f in ("first", "second")]
    assert first == second

"""Inputs defined without a random generator, and the golden numbers of the paper's code."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture
def fixture_f() -> Tensor:
    """Four samples, three modalities, three dimensions; sample 1 is linearly dependent."""
    sample, modality, dim = np.ogrid[:4, :3, :3]
    raw = (7 * sample + 3 * dim + 5 * modality + sample * dim) % 11 - 5.0
    return torch.from_numpy(raw / np.linalg.norm(raw, axis=2, keepdims=True))


@pytest.fixture
def gaussian_fixture_f(fixture_f: Tensor) -> Tensor:
    """Fixture F as means, with log variances ((3 i + 5 k + 2 m) mod 7) / 10 - 0.5 after them."""
    sample, modality, dim = np.ogrid[:4, :3, :3]
    logs = (3 * sample + 5 * dim + 2 * modality) % 7 / 10 - 0.5
    return torch.cat([fixture_f, torch.from_numpy(logs)], dim=2)


@pytest.fixture
def without_last_labs() -> Tensor:
    available = torch.ones(4, 3, dtype=torch.bool)
    available[3, 2] = False
    return available


@pytest.fixture(scope="session")
def golden(shared: Path) -> dict:
    return json.loads((shared / "golden" / "losses.json").read_text(encoding="utf-8"))


@pytest.fixture
def golden_losses(golden: dict) -> list[tuple[dict, Tensor, np.ndarray]]:
    """Each case with its embeddings [sample, modality, dim] and what gradients are probed with."""
    cases = []
    for case in golden["loss_cases"]:
        shapes = [(case["n"], case["d"])] * case["M"]
        z = np.stack([_normalise(x, case["norm"]) for x in _draw(case["seed"], shapes)], axis=1)
        probes = np.stack(_draw(case["seed"] + 100_000, shapes), axis=1)
        cases.append((case, torch.from_numpy(z).requires_grad_(), probes))
    return cases


@pytest.fixture
def golden_scores(golden: dict) -> list[tuple[dict, Tensor, list[Tensor]]]:
    """Each case with its candidates and three queries."""
    cases = []
    for case in golden["similarity_cases"]:
        shapes = [(case["num_candidates"], case["d"]), *[(case["n"], case["d"])] * 3]
        arrays = [_normalise(x, case["norm"]) for x in _draw(case["seed"], shapes)]
        candidates, *queries = [torch.from_numpy(x) for x in arrays]
        cases.append((case, candidates, queries))
    return cases


def _draw(seed: int, shapes: list[tuple[int, int]]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def _normalise(x: np.ndarray, norm: str) -> np.ndarray:
    if norm == "l2":
        return x / np.maximum(np.sqrt((x * x).sum(1, keepdims=True)), 1e-12)
    if norm == "layernorm":
        centred = x - x.mean(1, keepdims=True)
        return centred / np.sqrt((centred * centred).mean(1, keepdims=True) + 1e-5)
    return x

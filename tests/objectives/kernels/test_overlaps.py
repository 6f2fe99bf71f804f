"""The log overlap of Gaussians, in blocks, is that of the plain formula, with its gradients."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clinical_symile.objectives.kernels import overlaps
from clinical_symile.objectives.kernels.overlaps import log_overlaps

ROOT = Path(overlaps.__file__).resolve().parents[3]
# A step of ProbMED from embeddings in memory; prints the bytes above what was there before.
PEAK = """
import torch
from pathlib import Path
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.probmed import ProbMed

def step(samples):
    z = torch.randn(samples, 3, 1024).requires_grad_()
    every = torch.ones(samples, 3, dtype=torch.bool)
    batch = Embeddings(z, every, ("a", "b", "c"), torch.arange(samples), spread=True)
    ProbMed()(batch, generator=torch.Generator().manual_seed(0)).backward()

def peak(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])

step(4)
Path("/proc/self/clear_refs").write_text("5")
before = peak("VmRSS")
step({samples})
print(peak("VmHWM") - before)
"""


def _plain(means: Tensor, logs: Tensor, other_means: Tensor, other_logs: Tensor) -> Tensor:
    first, second = logs.exp()[:, None], other_logs.exp()
    overlap = 0.5 * (2 * (first * second).sqrt() / (first + second)).log()
    return (overlap - (means[:, None] - other_means) ** 2 / (4 * (first + second))).sum(dim=2)


@pytest.mark.parametrize("dim", [1, 4, 7])
@pytest.mark.parametrize("block", [1, 30, 2**17])
def test_values_and_gradients_are_those_of_the_plain_formula(
    dim: int, block: int, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlaps, "_BLOCK", block)
    tensors = [
        torch.randn(rows, dim, generator=generator, dtype=torch.float64).requires_grad_()
        for rows in (5, 5, 3, 3)
    ]
    into = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    found, expected = log_overlaps(*tensors), _plain(*tensors)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for actual, wanted in zip(
        torch.autograd.grad(found, tensors, into),
        torch.autograd.grad(expected, tensors, into),
        strict=True,
    ):
        torch.testing.assert_close(actual, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("log_variance", [-10.0, 10.0])
def test_the_widest_and_the_narrowest_gaussians_are_finite_in_float32(log_variance: float) -> None:
    means, logs = torch.zeros(2, 64), torch.full((2, 64), log_variance)
    torch.testing.assert_close(
        log_overlaps(means, logs, means, logs), torch.zeros(2, 2), rtol=0, atol=1e-3
    )


def test_a_second_derivative_is_refused(generator: torch.Generator) -> None:
    tensors = [torch.randn(2, 3, generator=generator).requires_grad_() for _ in range(4)]
    with pytest.raises(NotImplementedError, match="create_graph=False"):
        torch.autograd.grad(log_overlaps(*tensors).sum(), tensors, create_graph=True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="/proc tells of memory")
def test_a_step_of_wide_gaussians_needs_little_more_than_its_embeddings() -> None:
    samples = 1024
    inputs = 4 * samples * 3 * 1024
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # Large blocks go back to the system at once; kept ones would count, and how many varies.
    environment["MALLOC_MMAP_THRESHOLD_"] = "65536"
    words = [sys.executable, "-c", PEAK.replace("{samples}", str(samples))]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    assert int(done.stdout) <= 1.5 * 2 * inputs + 64 * 2**20

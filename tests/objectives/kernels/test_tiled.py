import os
import subprocess
import sys
from pathlib import Path
from string import ascii_lowercase

import pytest
import torch

from clinical_symile.objectives.kernels import _tiles, tiled
from clinical_symile.objectives.kernels.base import MATMUL_PRECISIONS
from clinical_symile.objectives.kernels.tiled import product_logsumexp

SIZES = [(4, 5), (3, 4, 5), (7, 6, 5), (4, 3, 2, 5), (2, 3, 4, 3, 2), (2, 2, 3, 2, 2, 3)]


def dense_logsumexp(matrices, scale):
    """With every logit in memory."""
    axes = ascii_lowercase[: len(matrices)]
    logits = scale * torch.einsum(",".join(f"{a}z" for a in axes) + f"->{axes}", *matrices)
    return [logits.movedim(m, 0).flatten(1).logsumexp(dim=1) for m in range(len(matrices))]


def drawn(sizes, generator, dim=6):
    return [
        torch.randn(n, dim, generator=generator, dtype=torch.float64).requires_grad_()
        for n in sizes
    ]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("tile", [1, 7, 40, 2**19])
@pytest.mark.parametrize(("scale", "kept"), [(1.0, 2**20), (1.0, 400), (300.0, 2**20)])
def test_values_and_gradients_are_the_dense_ones(sizes, tile, scale, kept, generator, monkeypatch):
    monkeypatch.setattr(tiled, "KEPT_BYTES", kept)
    monkeypatch.setattr(_tiles, "_tile_logits", lambda device: tile)
    matrices = drawn(sizes, generator)
    factor = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    # Gradients of either sign, and of different sizes.
    into = [torch.randn(n, generator=generator, dtype=torch.float64) for n in sizes]
    found = []
    for function in (product_logsumexp, dense_logsumexp):
        values = function(matrices, factor)
        weighted = torch.stack([g @ v for g, v in zip(into, values, strict=True)]).sum()
        found.append([*values, *torch.autograd.grad(weighted, [factor, *matrices])])
    for actual, expected in zip(*found, strict=True):
        assert (actual - expected).abs().max() <= 1e-12 * max(expected.abs().max(), scale)


def test_gradients_do_not_depend_on_the_memory_that_is_free_on_the_way_back(generator, monkeypatch):
    matrices = drawn((7, 6, 5), generator)
    numbers = iter([40, 7])
    monkeypatch.setattr(_tiles, "_tile_logits", lambda device: next(numbers, 3))
    found = []
    for function in (product_logsumexp, dense_logsumexp):
        total = torch.cat(function(matrices, 1.0)).square().sum()
        found.append(torch.autograd.grad(total, matrices, retain_graph=True))
        found.append(torch.autograd.grad(total, matrices))  # nothing that is kept was used up
    for gradients in zip(*found, strict=True):
        for actual in gradients[:3]:
            assert (actual - gradients[3]).abs().max() <= 1e-12 * gradients[3].abs().max()


def test_one_exponential_is_used_only_where_it_loses_nothing(generator):
    matrices = [z.detach().float() for z in drawn((5, 6, 4), generator)]
    for scale, shared in ((1.0, True), (300.0, False)):
        _, found = tiled._logsumexps([scale * matrices[0], *matrices[1:]])
        assert (found is not None) == shared
        actual = product_logsumexp(matrices, scale)
        expected = dense_logsumexp([z.double() for z in matrices], scale)
        for single, double in zip(actual, expected, strict=True):
            torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_the_largest_finite_logits_do_not_overflow():
    matrices = [torch.full((3, 2), 10.0) for _ in range(3)]
    for values in product_logsumexp(matrices, 1000.0):
        # 2 · 10³ · 1000, and log 9 that is less than a rounding beside it
        torch.testing.assert_close(values, torch.full((3,), 2e6))


def test_without_a_combination_log_sum_exps_are_those_of_nothing(generator):
    matrices = drawn((3, 0, 2), generator)
    values = product_logsumexp(matrices, 1.0)
    assert [len(v) for v in values] == [3, 0, 2]
    assert all((v == -torch.inf).all() for v in values)
    gradients = torch.autograd.grad([v.exp().sum() for v in values], matrices)
    assert all((g == 0).all() for g in gradients)


@pytest.mark.parametrize("matmul", MATMUL_PRECISIONS)
def test_the_precision_of_products_is_set_for_the_cube_alone(matmul, generator):
    matrices = [z.detach().float().requires_grad_() for z in drawn((16, 16, 16), generator)]
    before = torch.get_float32_matmul_precision()
    values = product_logsumexp(matrices, 0.5, matmul=matmul)
    torch.stack(values).sum().backward()
    assert torch.get_float32_matmul_precision() == before
    exact = dense_logsumexp([z.detach().double() for z in matrices], 0.5)
    # bfloat16 has 8 bits, of products up to about 10.
    tolerance = 1e-5 if matmul == "highest" else 0.2
    for single, double in zip(values, exact, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=0, atol=tolerance)


def test_one_matrix_is_refused(generator):
    with pytest.raises(ValueError, match="a cube of 1 matrices; expected at least 2"):
        product_logsumexp(drawn((3,), generator), 1.0)


PEAK = """
from pathlib import Path
import torch
from clinical_symile.objectives.kernels.tiled import product_logsumexp

def resident(field):
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))

def step(n):
    matrices = [torch.randn(n, 4).requires_grad_() for _ in range(3)]
    torch.stack(product_logsumexp(matrices, 1.0)).sum().backward()

step(8)
Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
before = resident("VmRSS")
step(1024)
print(resident("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="/proc tells of memory")
def test_no_memory_is_lost_from_tile_to_tile():
    # 8,192 tiles. All logits would be 4.3 GB; what is kept of them is 59 MB.
    root = Path(tiled.__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", PEAK]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    assert int(done.stdout) < 1.5 * tiled.KEPT_BYTES

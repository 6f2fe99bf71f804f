"""The fused kernels find what the tiles find; without what they need they refuse."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.objectives.symile import Symile, symile_loss
from tests.helpers import fused_cases

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_loss_and_gradients_are_those_in_tiles(tmp_path: Path) -> None:
    file = tmp_path / "found.safetensors"
    # Triton interprets kernels in Python if this is set before it is imported.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    subprocess.run([sys.executable, fused_cases.__file__, str(file)], check=True, env=environment)
    found = load_file(file)
    names = [name for name in found if name.endswith("/fused")]
    assert len(names) == 3 * len(fused_cases.SIZES) * len(fused_cases.SCALES)
    for name in names:
        expected = found[name.removesuffix("fused") + "tiles"]
        assert (found[name] - expected).abs().max() <= 2e-6 * expected.abs().max(), name


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_what_the_kernels_cannot_do_is_refused_with_every_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    z = torch.zeros(3, 4, 2, dtype=torch.float64)
    message = (
        "kernel 'fused' cannot run: there are 4 modalities; expected 3; embeddings are "
        "torch.float64; expected torch.float32; embeddings are on 'cpu'; expected 'cuda'; "
        "matmul is 'medium'; expected highest or high. Leave objective.kernel out"
    )
    with pytest.raises(ValueError, match=message):
        symile_loss(z, 1.0, kernel="fused", matmul="medium")


def test_without_triton_the_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="kernel 'fused' cannot run: Triton is not installed"):
        symile_loss(torch.zeros(3, 3, 2), 1.0, kernel="fused")


def test_an_unknown_kernel_or_one_for_other_negatives_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kernel 'cuda'; expected fused or tiles"):
        Symile(kernel="cuda")
    with pytest.raises(
        ValueError,
        match="kernel 'fused' computes negatives 'all' only; expected 'tiles' with 'shuf",
    ):
        Symile(negatives="shuffled", kernel="fused")

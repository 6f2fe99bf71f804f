"""The energy counter of a GPU, and why there is no number without one."""

from importlib.util import find_spec

import pytest
import torch

from clinical_symile.training.gpu_energy import GpuEnergy


def test_the_energy_of_a_processor_is_not_read() -> None:
    energy = GpuEnergy(torch.device("cpu"))
    assert energy.read() is None
    assert energy.missing == "the energy of processors is not read"


@pytest.mark.skipif(find_spec("pynvml") is not None, reason="nvidia-ml-py is installed")
def test_without_the_library_the_reason_says_how_to_install_it() -> None:
    energy = GpuEnergy(torch.device("cuda", 0))
    assert energy.read() is None
    assert energy.missing is not None
    assert "pip install 'clinical-symile[energy]'" in energy.missing


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_that_works_uses_energy_or_says_why_it_is_unknown() -> None:
    energy = GpuEnergy(torch.device("cuda", 0))
    before = energy.read()
    if before is None:
        assert energy.missing
        return
    block = torch.randn(4096, 4096, device="cuda")
    for _ in range(200):
        block = block @ block / 4096
    torch.cuda.synchronize()
    after = energy.read()
    assert after is not None
    assert after > before

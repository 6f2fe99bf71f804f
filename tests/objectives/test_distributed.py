"""Processes that hold shares of a batch find what one process finds with all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.helpers import shared_batch

ROOT = Path(__file__).resolve().parents[2]


def _run(sizes: list[int], folder: Path) -> list[dict[str, Tensor]]:
    """What each process found."""
    script = Path(shared_batch.__file__)
    words = ",".join(map(str, sizes)), str(folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, script, str(rank), *words], env=environment)
        for rank in range(len(sizes))
    ]
    try:
        codes = [process.wait(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert codes == [0] * len(sizes)
    return [load_file(folder / f"{rank}.safetensors") for rank in range(len(sizes))]


@pytest.mark.parametrize("sizes", [[5, 3], pytest.param([3, 4, 0, 2], marks=pytest.mark.slow)])
def test_loss_and_gradients_are_those_of_one_process_with_the_whole_batch(
    sizes: list[int], tmp_path: Path
) -> None:
    shares = _run(sizes, tmp_path)
    for name, objective, batch in shared_batch.cases(sizes):
        inputs = shared_batch.whole_input(objective, batch, sizes)
        drawn = torch.Generator().manual_seed(0)
        loss = objective.training_loss(inputs, group=None, generator=drawn).total
        for key, expected in shared_batch.kept(objective).items():
            for share in shares:
                actual = share[f"{name}/{key}"]
                assert actual.flatten().tolist() == pytest.approx(
                    expected.flatten().tolist(), rel=1e-12, abs=0, nan_ok=True
                ), (name, key)
        for key, expected in shared_batch.found(objective, loss, batch).items():
            values = [share[f"{name}/{key}"] for share in shares]
            if key == "loss":
                actual = torch.stack(values)
                expected = expected.expand(len(sizes))
            elif key == "z":
                # As data-parallel training averages over processes, shares have their number times.
                actual = torch.cat(values) / len(sizes)
            else:
                actual = torch.stack(values).mean(dim=0)
            error = (actual - expected).abs().max()
            assert error <= 1e-10 * expected.abs().max(), (name, key)

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from clinical_symile.training.processors import (
    GPU_VARIABLE,
    available_processors,
    limited_threads,
    visible_gpus,
)


def _threads() -> set[int]:
    np.linalg.inv(np.eye(2))  # loads the library of NumPy's matrix products
    return {torch.get_num_threads(), *(one["num_threads"] for one in threadpool_info())}


def test_all_libraries_use_the_threads_that_are_chosen_and_then_as_many_as_before():
    before = _threads()
    with limited_threads(1):
        assert _threads() == {1}
    assert _threads() == before
    with limited_threads(None):
        assert _threads() == before


def test_a_process_knows_the_gpus_that_it_may_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(GPU_VARIABLE, "3, GPU-5a")
    assert visible_gpus() == ["3", "GPU-5a"]
    monkeypatch.setenv(GPU_VARIABLE, "")
    assert visible_gpus() == []
    monkeypatch.delenv(GPU_VARIABLE)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert visible_gpus() == ["0", "1"]


def test_there_is_a_processor():
    assert available_processors() >= 1

"""An objective of one file of another package passes the checks from the command line."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from clinical_symile.data.store import CohortStore
from clinical_symile.training.checkpoint import save_epoch
from tests.helpers import outside_objective

NAME = "tests.helpers.outside_objective:LabelledQueue"
ROOT = Path(__file__).resolve().parents[2]
SET = (
    f'objective={{name="{NAME}"}}',
    'side={labels=["deterioration"]}',
    *(f'encoders.{name}={{name="mlp", hidden=[8]}}' for name in ("cxr", "ecg", "labs")),
    "dim=8",
    "epochs=3",
)


def _train(store: CohortStore, runs: Path, *more: str) -> list[str]:
    words = ["train", "pretraining/symile", "--store", str(store.path), "--out", str(runs)]
    settings = [word for setting in (*SET, *more) for word in ("--set", setting)]
    return [*words, "--name", "outside", "--accelerator", "cpu", *settings]


def _history(runs: Path) -> list[dict[str, float]]:
    lines = (runs / "outside" / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_it_is_one_file_of_under_120_lines() -> None:
    text = Path(outside_objective.__file__).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120


def test_it_leaks_nothing(run: Callable[..., tuple[int, str, str]]) -> None:
    status, _, said = run("check", "--canary", NAME)
    assert (status, said) == (0, "")


def test_a_stopped_training_ends_with_the_same_bytes(
    run: Callable[..., tuple[int, str, str]],
    synthetic_store: CohortStore,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(*_train(synthetic_store, runs, "batch_size=16"))[0] == 0

    def stop_after_two(*given: Any, **named: Any) -> None:
        save_epoch(*given, **named)
        if len(given[3]) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("clinical_symile.training.train.save_epoch", stop_after_two)
        assert run(*_train(synthetic_store, runs / "again", "batch_size=16"))[0] != 0
    assert len(_history(runs / "again")) == 2
    assert run(*_train(synthetic_store, runs / "again", "batch_size=16"))[0] == 0
    files = [folder / "outside" / "last" / "3.safetensors" for folder in (runs, runs / "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert "training.objective.keys" in load_file(files[0])
    weights = load_file(runs / "outside" / "model.safetensors")
    assert not any("keys" in name or "labels" in name.split(".")[-1] for name in weights)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(synthetic_store: CohortStore, tmp_path: Path) -> None:
    # One batch of an odd number of samples, in float64: shares differ, and rounding does not.
    more = ("batch_size=31", "precision=64-true")
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": ""}
    for devices in ("1", "2"):
        words = _train(synthetic_store, tmp_path / devices, *more)
        subprocess.run(
            [sys.executable, "-m", "clinical_symile", *words, "--devices", devices],
            check=True,
            cwd=tmp_path,
            timeout=300,
            env=environment,
        )
    one, two = (_history(tmp_path / devices) for devices in ("1", "2"))
    assert len(one) == len(two) == 3
    for alone, together in zip(one, two, strict=True):
        assert math.isfinite(alone["loss"])
        for key in ("loss", "gradient_norm", "logit_scale"):
            assert together[key] == pytest.approx(alone[key], rel=1e-6), key

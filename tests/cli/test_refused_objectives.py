"""The command line refuses at once what an objective cannot be trained with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clinical_symile.data.store import CohortStore

MLPS = [f'encoders.{name}={{name="mlp", hidden=[8]}}' for name in ("cxr", "ecg", "labs")]
BAD = [
    ("clip", ["objective.temperature=-1.0"], "temperature is -1.0; expected a positive number"),
    (
        "objectives/distilled",
        ["objective.share=2.0"],
        "share is 2.0; expected a number from 0 to 1",
    ),
    ("objectives/queue", ["objective.momentum=-1.0"], "momentum is -1.0; expected a number from 0"),
    ("objectives/queue", ["objective.keep=9999"], "keep is 9999; expected at most size"),
    ("objectives/queue", ["objective.size=4"], "size is 4, shorter than a batch of 16; expected"),
    ("objectives/cmc", ['objective.core="mri"'], "core is 'mri'; expected one of cxr, ecg, labs"),
    ("objectives/gram", ['norm="layer_norm"'], "norm is 'layer_norm', but this objective is def"),
    ("objectives/supcon", ['side={labels=["gout"]}'], "gout"),
    ("objectives/supcon", ["batch_size=1"], "batch"),
    ("clip", ["batch_size=1"], "batch"),
    ("objectives/balanced_symile", ["objective.bank_size=0"], "bank_size is 0; expected a number"),
    ("objectives/sigmoid_symile", ["objective.bank_size=0"], "bank_size is 0; expected a number"),
]


@pytest.mark.parametrize(("task", "settings", "message"), BAD)
def test_it_is_told_at_once(
    task: str,
    settings: list[str],
    message: str,
    refused: Callable[..., str],
    synthetic_store: CohortStore,
    runs: Path,
) -> None:
    every = [*MLPS, "dim=8", "batch_size=16", "epochs=1", *settings]
    words = ["train", f"pretraining/{task}", "--store", synthetic_store.path, "--out", runs]
    words += ["--accelerator", "cpu", *(word for one in every for word in ("--set", one))]
    said = refused(*words)
    assert message in said
    assert len(said.splitlines()) == 1
    assert not runs.exists() or not list(runs.glob("*/model.safetensors"))

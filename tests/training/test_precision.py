"""A training takes the precision that its task names, or the fastest of the device."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.run import Run
from clinical_symile.training import precision
from clinical_symile.training.precision import (
    chosen_precision,
    favors_speed,
    processor_has_bf16,
)
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task, tiny

CPU = torch.device("cpu")


def _processor(monkeypatch: pytest.MonkeyPatch, *, has_bf16: bool) -> None:
    monkeypatch.setattr(precision, "processor_has_bf16", lambda: has_bf16)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "avx512_f": True}, True),
        ({"amx_bf16": True}, True),
        ({"bf16": True}, True),  # ARM
        ({"avx512_bf16": False, "avx512_f": True, "avx2": True}, False),
        ({}, False),
    ],
)
def test_instructions_for_bfloat16_are_looked_up_and_not_timed(
    capabilities: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert processor_has_bf16() is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile\n", True),
        ("Features\t: fp asimd sve bf16 i8mm\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        (None, False),
    ],
)
def test_with_an_older_pytorch_linux_says_which_instructions_there_are(
    words: str | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    file = tmp_path / "cpuinfo"
    if words is not None:
        file.write_text(words)
    monkeypatch.setattr(precision, "_LINUX_PROCESSOR", file)
    assert processor_has_bf16() is expected


def test_a_named_precision_is_taken_and_auto_follows_the_device_and_then_the_record(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = tiny(catalog, "pretraining/symile", "precision=auto")
    for has_bf16, expected in ((True, "bf16-mixed"), (False, "32-true")):
        _processor(monkeypatch, has_bf16=has_bf16)
        assert chosen_precision(auto, {}, accelerator="cpu") == expected
        for kept in ("bf16-mixed", "32-true"):
            assert chosen_precision(auto, {"precision": kept}, accelerator="cpu") == kept
        named = tiny(catalog, "pretraining/symile", "precision=64-true")
        assert chosen_precision(named, {}, accelerator="cpu") == "64-true"


def test_only_auto_changes_the_last_bits_on_a_processor_and_no_task_of_ours_has_it(
    catalog: Catalog,
) -> None:
    assert favors_speed(tiny(catalog, "pretraining/symile", "precision=auto"), CPU)
    names = [name for name in catalog.of("tasks") if name.startswith("pretraining/")]
    assert "pretraining/paper/symile" in names
    for name in names:
        task = read_task(catalog, name)
        assert isinstance(task, Pretraining)
        assert task.precision != "auto", name
        assert not favors_speed(task, CPU), name


def tiny_symile(catalog: Catalog, *overrides: str) -> Pretraining:
    return tiny(catalog, "pretraining/symile", *overrides)


@pytest.mark.parametrize("has_bf16", [True, False])
def test_a_run_says_its_precision_and_goes_on_in_it_on_another_processor(
    has_bf16: bool,
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class StoppedError(Exception):
        pass

    def stop(run: Run) -> None:
        raise StoppedError

    def learn(name: str, task: Pretraining, on_epoch: Callable[[Run], object]) -> Run:
        run = Run(tmp_path / name)
        return train(
            task, store=synthetic_store, run=run, seed=0, accelerator="cpu", on_epoch=on_epoch
        )

    make = mlp_task if has_bf16 else tiny_symile  # convolutions have their channels last
    task = make(catalog, "precision=auto", "batch_size=16", "epochs=2")
    _processor(monkeypatch, has_bf16=has_bf16)
    whole = learn("whole", task, lambda run: None)
    with pytest.raises(StoppedError):
        learn("stopped", task, stop)
    _processor(monkeypatch, has_bf16=not has_bf16)
    stopped = learn("stopped", task, lambda run: None)
    expected = "bf16-mixed" if has_bf16 else "32-true"
    assert whole.metadata["precision"] == stopped.metadata["precision"] == expected
    assert whole.metadata["definition"]["precision"] == "auto"
    first, second = load_file(whole.weights), load_file(stopped.weights)
    assert all(torch.equal(first[key], second[key]) for key in first)
    plain = make(catalog, "batch_size=16", "epochs=2")
    single = learn("single", plain, lambda run: None)
    assert "precision" not in single.metadata
    losses = [run.history[0]["loss"] for run in (whole, single)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # they differ by rounding alone

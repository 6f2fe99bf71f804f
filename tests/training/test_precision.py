"""A training takes the precision that its task names, or the fastest of the device."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import parametrize

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.run import Run
from clinical_symile.training import precision
from clinical_symile.training.precision import (
    chosen_precision,
    favors_speed,
    guard_narrow_convolutions,
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


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 40])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (7, 2), (3, 3), (3, 1), (1, 2)])
def test_a_strided_convolution_over_few_columns_is_computed_in_float32(
    width: int, kernel: int, stride: int, generator: torch.Generator
) -> None:
    for convolution, shape in ((nn.Conv2d, (40, width)), (nn.Conv1d, (width,))):
        plain = convolution(4, 8, kernel, stride=stride, padding=kernel // 2)
        model = nn.Sequential(copy.deepcopy(plain))
        guard_narrow_convolutions(model)
        assert model.state_dict().keys() == {"0.weight", "0.bias"}
        model = copy.deepcopy(model)  # as a teacher is made
        x = torch.randn(3, 4, *shape, generator=generator)
        exact = stride > 1 and kernel > 1 and width <= 2 * stride
        with torch.autocast("cpu", torch.bfloat16):
            found = model(x)
        assert found.dtype == (torch.float32 if exact else torch.bfloat16)
        if exact:
            torch.testing.assert_close(found, plain(x), rtol=0, atol=0)
        torch.testing.assert_close(model(x), plain(x), rtol=0, atol=0)  # without autocast


class _OwnConvolution(nn.Conv1d):
    """A subclass, as other packages have them."""


def test_adapted_convolutions_and_subclasses_are_guarded_once(generator: torch.Generator) -> None:
    model = nn.Sequential(nn.Conv1d(4, 8, 7, stride=2, padding=3), _OwnConvolution(8, 8, 7, 2, 3))
    parametrize.register_parametrization(model[0], "weight", nn.Identity())
    x = torch.randn(3, 4, 3, generator=generator)
    plain = model(x)
    names = model.state_dict().keys()
    guard_narrow_convolutions(model)
    guard_narrow_convolutions(model)
    assert model.state_dict().keys() == names
    assert isinstance(model[1], _OwnConvolution)
    with torch.autocast("cpu", torch.bfloat16):
        found = copy.deepcopy(model)(x)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), (1, 1)), ((7, 3), (3, 2)), ((2, 1), 0)])
def test_padding_beside_a_single_column_is_skipped_without_another_result(
    kernel: tuple[int, int],
    padding: tuple[int, int] | int,
    stride: tuple[int, int],
    bias: bool,
    generator: torch.Generator,
) -> None:
    plain = nn.Conv2d(4, 8, kernel, stride, padding, groups=2, bias=bias).double()
    model = copy.deepcopy(nn.Sequential(plain))
    guard_narrow_convolutions(model, skip_padding=True)
    for width in (1, 2, 5):
        x = torch.randn(3, 4, 11, width, generator=generator, dtype=torch.float64)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        if width + 2 * plain.padding[-1] < kernel[-1]:  # pyright: ignore[reportOperatorIssue]
            continue
        expected, found = plain(inputs[0]), model(inputs[1])
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        for output in (expected, found):
            output.square().sum().backward()
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-10, atol=1e-10)
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-10)


def test_a_single_column_needs_no_float32(generator: torch.Generator) -> None:
    """A kernel of one column is none of those that read memory that is not their own."""
    model = nn.Sequential(nn.Conv2d(64, 64, 3, stride=2, padding=1))
    guard_narrow_convolutions(model, skip_padding=True)
    x = torch.randn(8, 64, 157, 1, generator=generator)
    expected = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.05)

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.tracking.run import Run
from clinical_symile.training.interpolate import interpolate_weights, write_interpolated_run
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task


def test_weights_lie_on_the_line_between_the_ends() -> None:
    before, after = torch.tensor([0.0, 1.0, -2.0]), torch.tensor([4.0, 1.0, 2.0])
    found = interpolate_weights(before, after, 0.25)
    assert found.tolist() == [1.0, 1.0, -1.0]


@pytest.mark.parametrize("value", [-0.0, float("inf"), 1e-45, 0.1])
def test_the_ends_are_the_runs_to_the_bit(value: float) -> None:
    before, after = torch.tensor([value]), torch.tensor([3.3])
    for alpha, end in ((0.0, before), (1.0, after)):
        found = interpolate_weights(before, after, alpha)
        assert found.view(torch.int32).equal(end.view(torch.int32))


def test_counters_are_those_of_the_nearer_end() -> None:
    before, after = torch.tensor(3), torch.tensor(8)
    found = [int(interpolate_weights(before, after, alpha)) for alpha in (0.0, 0.4, 0.6, 1.0)]
    assert found == [3, 3, 8, 8]


def _runs(catalog: Catalog, store: CohortStore, folder: Path) -> tuple[Run, Run]:
    first = Run(folder / "first")
    train(mlp_task(catalog, "epochs=1"), store=store, run=first, seed=0, accelerator="cpu")
    further = mlp_task(catalog, "epochs=1", f'start="{first.path.as_posix()}"')
    second = Run(folder / "second")
    train(further, store=store, run=second, seed=0, accelerator="cpu")
    return first, second


@pytest.mark.slow
def test_runs_between_two_runs_have_weights_on_the_line_and_the_ends_to_the_bit(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    first, second = _runs(catalog, synthetic_store, tmp_path)
    ends = [load_file(one.weights) for one in (first, second)]
    for alpha in (0.0, 0.3, 1.0):
        run = Run(tmp_path / f"at-{alpha}")
        about = {"store": synthetic_store, "run": run}
        made = write_interpolated_run(first, second, alpha, **about)
        found = load_file(made.weights)
        assert found.keys() == ends[0].keys() == ends[1].keys()
        for name, values in found.items():
            if alpha in (0, 1):
                assert values.equal(ends[int(alpha)][name])
            else:
                line = 0.7 * ends[0][name] + 0.3 * ends[1][name]
                torch.testing.assert_close(values, line)
        assert made.is_finished
        assert made.metadata["interpolated"]["alpha"] == alpha
        assert made.metadata["task"] == f"{second.metadata['task']}-wiseft-{100 * alpha:g}"
        again = write_interpolated_run(first, second, alpha, **about)
        assert again.path == made.path
        with pytest.raises(DataError, match="holds another run"):
            write_interpolated_run(first, second, 0.5, **about)
        if alpha == 0.3:
            (run.path / "run.toml").unlink()  # as if writing had been cut short
            again = write_interpolated_run(first, second, alpha, **about)
            assert again.is_finished
            assert load_file(again.weights).keys() == found.keys()
    stranger = Run(tmp_path / "stranger")
    stranger.path.mkdir()
    (stranger.path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="holds another run"):
        write_interpolated_run(first, second, 0.5, store=synthetic_store, run=stranger)


@pytest.mark.slow
def test_runs_that_were_trained_apart_are_refused(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    first, second = _runs(catalog, synthetic_store, tmp_path)
    about = {"store": synthetic_store, "run": Run(tmp_path / "new")}
    with pytest.raises(DataError, match="did not start from the weights of"):
        write_interpolated_run(second, first, 0.5, **about)
    with pytest.raises(DefinitionError, match="expected a share from 0 to 1"):
        write_interpolated_run(first, second, 1.5, **about)
    assert not (tmp_path / "new").exists()

"""Pictures of signals and values, and one network for all modalities."""

from pathlib import Path

import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.models.encoders.pixels import Pixels
from clinical_symile.models.multimodal import build_model
from clinical_symile.tracking.run import Run
from clinical_symile.training.checkpoint import load_weights, save_weights
from clinical_symile.training.learner import build_learner


def _task(catalog: Catalog) -> Pretraining:
    task = read_task(catalog, "pretraining/encoders/clippo", overrides=["dim=8"])
    assert isinstance(task, Pretraining)
    return task


def test_a_signal_is_drawn_with_a_band_of_rows_for_each_lead_over_time() -> None:
    signal = torch.zeros(1, 2, 100)
    signal[0, 1, 50:] = 100.0
    three = torch.cat([signal, torch.zeros(1, 1, 100)], dim=1)
    found = Pixels((3, 100), 4, layout="signal", size_px=9).picture(three)[0, 0]
    expected = torch.full((9, 9), 0.5)
    expected[3:6, 5:] = 1.0
    torch.testing.assert_close(found[:, [0, 1, 2, 3, 6, 7, 8]], expected[:, [0, 1, 2, 3, 6, 7, 8]])


def test_a_recording_of_two_leads_is_drawn_as_a_signal() -> None:
    signal = torch.zeros(1, 2, 100)
    signal[0, 1, 50:] = 100.0
    found = Pixels((2, 100), 4, layout="signal", size_px=8).picture(signal)[0, 0]
    expected = torch.full((8, 8), 0.5)
    expected[4:, 4:] = 1.0
    torch.testing.assert_close(found[:, [0, 1, 2, 5, 6, 7]], expected[:, [0, 1, 2, 5, 6, 7]])


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((1, 8, 8), "signal"),
        ((1, 8, 8), "panel"),
        ((2, 8), "image"),
        ((3, 8), "panel"),
        ((8,), "panel"),
        ((2, 8), "events"),
    ],
)
def test_an_input_of_another_layout_is_refused(shape: tuple[int, ...], layout: str) -> None:
    with pytest.raises(ValueError, match=f"layout is '{layout}'; expected 'image' for"):
        Pixels(shape, 4, layout=layout)


def test_values_and_what_was_measured_are_two_halves_of_a_grid() -> None:
    inputs = torch.tensor([[[0.1, 0.2, 0.3], [1.0, 0.0, 1.0]]])
    found = Pixels((2, 3), 4, layout="panel", size_px=4).picture(inputs)[0, 0]
    row = [[0.1, 0.2, 1.0, 0.0], [0.3, 0.0, 1.0, 0.0]]
    torch.testing.assert_close(found, torch.tensor([row[0], row[0], row[1], row[1]]))


def test_three_modalities_have_a_third_of_the_weights_of_three_networks(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    model = build_model(_task(catalog), synthetic_store, seed=0)
    one = sum(p.numel() for p in Pixels((1, 64, 64), 8, layout="image").parameters())
    assert sum(p.numel() for p in model.encoders.parameters()) == one
    networks = [encoder.network for encoder in model.encoders.values()]
    assert all(network is networks[0] for network in networks)


def test_shared_weights_are_saved_and_are_shared_again_when_they_are_read(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task, run = _task(catalog), Run(tmp_path / "run")
    run.path.mkdir()
    learner = build_learner(task, synthetic_store, seed=0)
    save_weights(learner, run)
    again = build_learner(task, synthetic_store, seed=1)
    again.load_state_dict(load_weights(run))
    networks = [encoder.network for encoder in again.model.encoders.values()]
    assert all(network is networks[0] for network in networks)
    for one, other in zip(learner.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("field", ["frozen=true", 'adapter={name="lora"}'])
def test_a_shared_network_is_neither_frozen_nor_adapted(
    field: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    override = f'encoders.cxr={{name="pixels", layout="image", {field}}}'
    task = read_task(catalog, "pretraining/encoders/clippo", overrides=["dim=8", override])
    assert isinstance(task, Pretraining)
    name = field.partition("=")[0]
    with pytest.raises(DefinitionError, match=rf"encoders\.cxr: .* which {name} does not share"):
        build_model(task, synthetic_store, seed=0)


def test_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="size_px is 16; expected at least 24"):
        Pixels((12, 5000), 4, layout="signal", size_px=16)
    with pytest.raises(ValueError, match="size_px is 0"):
        Pixels((1, 8, 8), 4, layout="image", size_px=0)

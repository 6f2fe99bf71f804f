"""Inputs are read as events: of events, of a panel and of a vector."""

import pytest
import torch

from clinical_symile.objectives.events import event_sequences


def test_inputs_of_events_have_times_values_and_codes() -> None:
    inputs = torch.zeros(1, 4, 3)
    inputs[0, :, 1] = torch.tensor([0.5, 0.9, 0.0, 1.0])
    events = event_sequences(inputs, layout="events")
    assert events.times.tolist() == [[0, 0.5, 0]]
    assert events.values[0, 1] == pytest.approx(0.9)
    assert events.codes[0, 1].tolist() == [0, 1]
    assert events.is_event.tolist() == [[False, True, False]]


def test_a_panel_has_one_event_for_each_measured_analyte() -> None:
    panel = torch.tensor([[[0.2, 0.7, 0.9], [1.0, 0.0, 1.0]]])
    events = event_sequences(panel, layout="panel")
    assert events.codes.tolist() == [[[1, 0, 0], [0, 0, 0], [0, 0, 1]]]
    front = events.in_front()
    assert front.values[0, :2].tolist() == pytest.approx([0.2, 0.9])
    assert front.is_event.tolist() == [[True, True, False]]
    assert front.codes[0, 1].tolist() == [0, 0, 1]


def test_features_are_filled_up_to_the_number_of_codes() -> None:
    events = event_sequences(torch.tensor([[0.1, 0.2]]), layout="panel")
    assert events.features(3)[0, 1].tolist() == pytest.approx([0, 0.2, 1, 0, 0])


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("events", (2, 1, 5)),
        ("events", (2, 2, 5)),  # a panel
        ("events", (2, 5)),
        ("events", (2, 3, 4, 5)),
        ("panel", (2, 3, 5)),  # events of one code
        ("panel", (2, 1, 5)),
        ("panel", (2, 3, 4, 5)),
    ],
)
def test_the_shape_of_another_layout_is_refused(layout: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"expected \[sample, .* since layout is '{layout}'"):
        event_sequences(torch.zeros(shape), layout=layout)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="layout is 'table'; expected 'events' or 'panel'"):
        event_sequences(torch.zeros(2, 3, 5), layout="table")

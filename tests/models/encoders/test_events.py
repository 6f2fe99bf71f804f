"""The encoder of events reads them in order, and nothing of what is empty."""

import pytest
import torch

from clinical_symile.models.encoders.events import EventGru


def encoder(shape: tuple[int, ...] = (4, 5), layout: str = "events") -> EventGru:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return EventGru(shape, 3, layout=layout, width=8).eval()


def sequence(*events: tuple[int, float, float, int]) -> torch.Tensor:
    """One sample with events at places: a time, a value and a code each."""
    inputs = torch.zeros(1, 4, 5)
    for place, time, value, code in events:
        inputs[0, :2, place] = torch.tensor([time, value])
        inputs[0, 2 + code, place] = 1
    return inputs


def test_empty_places_between_events_change_nothing() -> None:
    close = sequence((0, 0.1, 0.5, 0), (1, 0.2, 0.6, 1))
    apart = sequence((1, 0.1, 0.5, 0), (4, 0.2, 0.6, 1))
    torch.testing.assert_close(encoder()(close), encoder()(apart))


def test_order_times_values_and_codes_count() -> None:
    first = encoder()(sequence((0, 0.1, 0.5, 0), (1, 0.2, 0.6, 1)))
    for other in (
        sequence((1, 0.1, 0.5, 0), (0, 0.2, 0.6, 1)),
        sequence((0, 0.3, 0.5, 0), (1, 0.2, 0.6, 1)),
        sequence((0, 0.1, 0.4, 0), (1, 0.2, 0.6, 1)),
        sequence((0, 0.1, 0.5, 1), (1, 0.2, 0.6, 1)),
    ):
        assert not torch.allclose(encoder()(other), first)


def test_a_sample_without_events_has_the_first_state() -> None:
    made = encoder()
    torch.testing.assert_close(made(sequence()), made.head(made.start)[None])


def test_a_panel_is_read_as_events() -> None:
    panel = torch.tensor([[[0.2, 0.7, 0.9], [1.0, 0.0, 1.0]]])
    hidden = panel.clone()
    hidden[0, 0, 1] = 0.1
    made = encoder((2, 3), "panel")
    assert torch.equal(made(panel), made(hidden))


@pytest.mark.parametrize(("shape", "layout"), [((2, 3), "events"), ((12, 500), "panel")])
def test_an_input_of_another_layout_is_refused(shape: tuple[int, ...], layout: str) -> None:
    with pytest.raises(ValueError, match=f"since layout is '{layout}'"):
        encoder(shape, layout)

"""Read an encoder's input as a sequence of events: when, which code, and which value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

TIME_ROW, VALUE_ROW, CODE_ROWS = 0, 1, 2  # of events; each code has a row from the third on


@dataclass(frozen=True, repr=False)
class EventSequences:
    """The events of some samples, in order.

    Attributes:
        times: when each event was; 0 where the input has no times.
        values: its value, from 0 to 1.
        codes: 1 for the code of an event, else 0; no code where there is no event.
    """

    times: Float[Tensor, "sample event"]
    values: Float[Tensor, "sample event"]
    codes: Float[Tensor, "sample event code"]

    @property
    def is_event(self) -> Bool[Tensor, "sample event"]:
        """True where there is an event."""
        return (self.codes > 0.5).any(dim=2)

    def features(self, codes: int) -> Float[Tensor, "sample event feature"]:
        """Return a vector for each event: time, value, and codes filled up to a number.

        Args:
            codes: the number of codes, at least that of the sequences.
        """
        filled = torch.nn.functional.pad(self.codes, (0, codes - self.codes.shape[2]))
        return torch.cat([self.times[:, :, None], self.values[:, :, None], filled], dim=2)

    def in_front(self) -> "EventSequences":
        """Return the sequences with events first, in their order, and then what is empty."""
        order = (~self.is_event).to(torch.int8).argsort(dim=1, stable=True)
        each = order[:, :, None].expand_as(self.codes)
        return EventSequences(
            self.times.gather(1, order), self.values.gather(1, order), self.codes.gather(1, each)
        )


def event_sequences(inputs: Float[Tensor, "sample ..."], *, layout: str) -> EventSequences:
    """Read inputs as events.

    Args:
        inputs: the inputs of an encoder.
        layout: what they are. `events` are those of `lab_events`, `[sample, 2 + code, event]`:
            times, values and a row for each code. A `panel`, as of labs, is
            `[sample, 2, analyte]`: one event for each measured analyte, in the order of the panel
            and without times. A panel of values alone, `[sample, value]`, has them all, of one
            code.

    Raises:
        ValueError: the layout is unknown, or inputs have another shape.
    """
    if layout not in _READERS:
        raise ValueError(f"layout is '{layout}'; expected 'events' or 'panel'.")
    return _READERS[layout](inputs)


def _read_events(inputs: Float[Tensor, "sample ..."]) -> EventSequences:
    if inputs.ndim != 3 or inputs.shape[1] <= CODE_ROWS:
        raise _wrong_shape(inputs, "events", "[sample, 2 + code, event]")
    return EventSequences(
        inputs[:, TIME_ROW], inputs[:, VALUE_ROW], inputs[:, CODE_ROWS:].transpose(1, 2)
    )


def _read_panel(inputs: Float[Tensor, "sample ..."]) -> EventSequences:
    if inputs.ndim == 2:
        return EventSequences(torch.zeros_like(inputs), inputs, torch.ones_like(inputs)[:, :, None])
    if inputs.ndim != 3 or inputs.shape[1] != 2:
        raise _wrong_shape(inputs, "panel", "[sample, 2, analyte]")
    values, measured = inputs[:, 0], inputs[:, 1]
    return EventSequences(torch.zeros_like(values), values, measured.diag_embed())


def _wrong_shape(inputs: Tensor, layout: str, expected: str) -> ValueError:
    return ValueError(
        f"inputs have shape {list(inputs.shape)}; expected {expected}, since layout is '{layout}'. "
        "Set layout to 'events' for lab_events and to 'panel' for labs, or name such a modality."
    )


_READERS: Mapping[str, Callable[[Tensor], EventSequences]] = {
    "events": _read_events,
    "panel": _read_panel,
}

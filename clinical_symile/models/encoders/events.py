"""Encode a sequence of lab events by a recurrent network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinical_symile.models.encoders._validation import require_counts
from clinical_symile.objectives.events import event_sequences


class EventGru(nn.Module):
    """A gated recurrent unit over events in their order; its last state is the output.

    An event is a time, a value and a code. A sample without any event has the learned first state.
    Labs as a panel are read as one event for each measured analyte, without times. Which of both
    the input is, the task says: the shape does not tell it.

    Source: the event encoder and the recurrent network of Babaev et al., "CoLES: Contrastive
    Learning for Event Sequences with Self-Supervision", SIGMOD 2022,
    https://arxiv.org/abs/2002.08232, from a summary.

    Args:
        shape: `(2 + code, event)`, or `(2, analyte)` of labs as a panel.
        dim: width of the output.
        layout: `events`, or `panel` for labs as a panel.
        width: the width of an event's vector and of the state.

    Raises:
        ValueError: the input has another shape than the layout, the layout is unknown, or a width
            is no whole number of 1 or more.
    """

    display_name = "GRU over events"
    description = "A gated recurrent unit over lab events, in the order of their times."
    source = "Babaev et al. (CoLES), SIGMOD 2022, https://arxiv.org/abs/2002.08232"

    def __init__(
        self, shape: tuple[int, ...], dim: int, *, layout: str = "events", width: int = 64
    ):
        require_counts(width=width)
        super().__init__()
        self.layout = layout
        codes = event_sequences(torch.zeros(1, *shape), layout=layout).codes.shape[2]
        self.events = nn.Sequential(nn.Linear(2 + codes, width), nn.GELU())
        self.start = nn.Parameter(0.1 * torch.randn(width))
        self.network = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, dim)

    def forward(self, inputs: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        events = event_sequences(inputs, layout=self.layout).in_front()
        features = events.features(events.codes.shape[2])
        start = self.start.expand(1, len(inputs), -1).contiguous()
        states, _ = self.network(self.events(features), start)
        whole = torch.cat([start.transpose(0, 1), states], dim=1)
        last = events.is_event.sum(dim=1)[:, None, None].expand(-1, 1, whole.shape[2])
        return self.head(whole.gather(1, last)[:, 0])

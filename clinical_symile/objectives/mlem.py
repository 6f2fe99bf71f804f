"""MLEM: align a generative and a contrastive encoding of event sequences, as two modalities."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.data.loader import Batch
from clinical_symile.objectives.arguments import above, at_least, column_of, one_of, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.events import EventSequences, event_sequences
from clinical_symile.objectives.infonce import clip_loss, two_way_losses
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.slots import filled_slots
from clinical_symile.objectives.starting_weights import starting_weights
from clinical_symile.objectives.views import View, part_view

EVENTS = "events"  # what the first view of a part carries: all events


class NextEvent(nn.Module):
    """Predict each next event from the events before it, by a gated recurrent unit.

    Args:
        codes: the largest number of codes.
        width: the width of an event's vector and of the state.
        dim: the width of the encoding.
        generator: the source of starting values.
    """

    def __init__(self, codes: int, width: int, dim: int, generator: torch.Generator):
        super().__init__()
        self.codes = codes
        with starting_weights(generator):
            self.read = nn.Sequential(nn.Linear(2 + codes, width), nn.GELU())
            self.network = nn.GRU(width, width, batch_first=True)
            self.code = nn.Linear(width, codes)
            self.numbers = nn.Linear(width, 2)
            self.encode = nn.Linear(width, dim)

    def forward(
        self, events: EventSequences
    ) -> tuple[Float[Tensor, "sample dim"], Float[Tensor, ""]]:
        """Return the encoding of the whole sequence, of length 1, and the loss of next events.

        The loss is the cross-entropy of the code plus the square errors of time and value, a mean
        over all events but the first of each sample; 0 if there is none.

        Args:
            events: at least one sample; events come first in each.
        """
        features = events.features(self.codes)
        states, _ = self.network(self.read(features))
        has = events.is_event
        last = (has.sum(dim=1) - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
        encoded = functional.normalize(self.encode(states.gather(1, last)[:, 0]), dim=1)
        follows = has[:, 1:]
        if not follows.any():
            return encoded, states.sum() * 0
        before, after = states[:, :-1][follows], features[:, 1:][follows]
        codes = functional.cross_entropy(self.code(before), after[:, 2:].argmax(dim=1))
        errors = (self.numbers(before) - after[:, :2]).square().sum(dim=1).mean()
        return encoded, codes + errors


class Mlem(Objective):
    """Contrast every pair of modalities, and align two encodings of a modality of events.

    The modality's encoder h is contrastive: two random parts of a sample's events are encoded, and
    each is to find the other among those of other samples. A network g of the objective's own is
    generative: it predicts each next event from those before. g of all events and h of all events
    are aligned as if they were two modalities. To CLIP's loss over pairs of modalities come:

    - `contrastive`: CLIP's loss between the encodings of two parts;
    - `generative`: the loss of next events, see `NextEvent`;
    - `aligned`: CLIP's loss between g and h.

    A part is a stretch of `share` of a sample's events, at least one; other analytes of labs are as
    if they were not measured. Inputs are read by `event_sequences`, in the layout that the task
    states. `score` is CLIP's: g is for training alone.

    Source: Moskvoretskii et al., "MLEM: Generative and Contrastive Learning as Distinct Modalities
    for Event Sequences", 2024, https://arxiv.org/abs/2401.15935, from its abstract and a summary.
    There h is trained before and stays as it is, g restores the whole sequence, and SigLIP aligns;
    here all are trained together, g predicts the next event, CLIP aligns, and other modalities are
    contrasted too. The parts are those of Babaev et al., "CoLES", SIGMOD 2022,
    https://arxiv.org/abs/2002.08232.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        modality: the modality of events.
        layout: `panel` for labs as a panel, `events` for those of `lab_events`.
        weight: weight of the three further terms; 0 is CLIP.
        share: the share of a sample's events that a part has.
        codes: the largest number of codes that the events may have.
        width: the width of g's state.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: an argument is out of range, the modality is none of the task, its inputs have
            another layout, are no events or have more codes, or no two samples have the same two
            modalities.
    """

    display_name = "MLEM"
    description = "Contrasts pairs of modalities, and aligns two encodings of lab events."
    source = (
        'Moskvoretskii et al., "MLEM: Generative and Contrastive Learning as Distinct Modalities '
        'for Event Sequences", 2024, https://arxiv.org/abs/2401.15935'
    )
    of_one_modality = True

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        modality: str = "labs",
        layout: str = "panel",
        weight: float = 1.0,
        share: float = 0.6,
        codes: int = 64,
        width: int = 64,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(
            at_least(0, weight=weight),
            above(0, 1, share=share),
            at_least(1, codes=codes, width=width),
            one_of(("events", "panel"), layout=layout),
        )
        self.modality, self.layout, self.weight, self.share = modality, layout, weight, share
        self.codes, self.width = codes, width

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the generative encoder.

        Raises:
            ValueError: the modality is none of the task.
        """
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        self.column = column_of(self.modality, modalities)
        self.next_event = NextEvent(self.codes, self.width, dim, generator)

    def views(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Sequence[View]:
        """Return the batch, and with a weight two views with parts of the events alone.

        Raises:
            ValueError: the inputs have another layout, are no events, or have more codes than
                `codes`.
        """
        if not self.weight:
            return [View(batch)]
        name = batch.modalities[self.column]
        inputs = batch.inputs[name]
        try:
            events = event_sequences(inputs, layout=self.layout)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        codes = events.codes[batch.available[:, self.column]]
        if not (((codes == 0) | (codes == 1)).all() and (codes.sum(dim=2) <= 1).all()):
            raise ValueError(
                f"{name} has no events; expected for each event 1 in the row of its code and 0 in "
                "the others. Name a modality of lab_events or labs."
            )
        found = events.codes.shape[2]
        if found > self.codes:
            raise ValueError(
                f"{name} has {found} codes, and codes is {self.codes}; expected at least as many. "
                "Raise codes."
            )
        unmeasured = batch.unmeasured.get(name)
        absent = torch.zeros_like(inputs) if unmeasured is None else unmeasured.to(inputs)
        views = [View(batch)]
        for _ in range(2):
            kept = draw_part(events.is_event, self.share, generator=generator)
            shape = (len(inputs), *[1] * (inputs.ndim - 2), inputs.shape[-1])
            part = torch.where(kept.reshape(shape), inputs, absent)
            carried = {} if len(views) > 1 else {EVENTS: inputs.detach()}
            views.append(part_view(batch, part, column=self.column, carried=carried))
        return views

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Add CLIP's loss and the three terms of the class."""
        scale = self.logit_scale.to(z.dtype)
        terms = {"across": clip_loss(z, self.logit_scale, available=available)}
        has = inputs.embeddings.available[:, self.column]  # a substitute has no events
        if not inputs.further or has.sum() < 2:
            return sum_of_terms(**terms)
        first, second = (filled_slots(view.embeddings)[has, self.column] for view in inputs.further)
        carried = inputs.further[0].carried[EVENTS][has].to(z.dtype)
        read = event_sequences(carried, layout=self.layout).in_front()
        encoded, next_events = self.next_event(read)
        for name, loss in {
            "contrastive": torch.cat(two_way_losses(first, second, scale)).mean(),
            "generative": next_events,
            "aligned": torch.cat(two_way_losses(encoded, z[has, self.column], scale)).mean(),
        }.items():
            terms[name] = self.weight * loss
        return sum_of_terms(**terms)


def draw_part(
    is_event: Bool[Tensor, "sample event"], share: float, *, generator: torch.Generator
) -> Bool[Tensor, "sample event"]:
    """Draw a stretch of each sample's events; True for those of the stretch.

    Args:
        is_event: True where there is an event.
        share: the share of the events that the stretch has, rounded up.
        generator: the source of where it begins, on the CPU.
    """
    counts = is_event.sum(dim=1, keepdim=True)
    lengths = (share * counts).ceil()
    drawn = torch.rand(len(is_event), 1, generator=generator).to(is_event.device)
    starts = (drawn * (counts - lengths + 1)).floor()
    number = is_event.cumsum(dim=1) - 1
    return is_event & (number >= starts) & (number < starts + lengths)

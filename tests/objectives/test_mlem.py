"""MLEM: the loss of next events by hand, its parts, its terms, and that lab events train it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks.objectives import objective_leaks
from clinical_symile.models.encoders.events import EventGru
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.events import event_sequences
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.mlem import EVENTS, Mlem, NextEvent, draw_part
from tests.helpers.objective_values import connected, loss_value, unit_batch

NAMES = ("cxr", "ecg", "labs")
CODES, EVENT_COUNT = 3, 8


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lab_events(rng: np.random.Generator, samples: int) -> Tensor:
    """Events of which codes come in a circle, and whose value is that of the sample."""
    inputs = np.zeros((samples, 2 + CODES, EVENT_COUNT), dtype=np.float32)
    for sample in range(samples):
        count, first, value = rng.integers(3, EVENT_COUNT + 1), rng.integers(CODES), rng.random()
        for event in range(count):
            inputs[sample, 0, event] = event / 10
            inputs[sample, 1, event] = value
            inputs[sample, 2 + (first + event) % CODES, event] = 1
    return torch.from_numpy(inputs)


def batch_of(labs: Tensor, available: Tensor | None = None) -> Batch:
    has = torch.ones(len(labs), 3, dtype=torch.bool) if available is None else available
    other = torch.zeros(len(labs), 2)
    return Batch({"cxr": other, "ecg": other, "labs": labs}, has, NAMES, torch.arange(len(labs)))


def test_the_loss_of_next_events_is_that_by_hand() -> None:
    model = NextEvent(3, 4, 2, drawn()).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # every code is as probable, and times and values are foretold as 0
    inputs = torch.zeros(2, 5, 4).double()
    inputs[0, :, 0] = torch.tensor([0.1, 0.2, 1, 0, 0])
    inputs[0, :, 1] = torch.tensor([0.3, 0.4, 0, 1, 0])
    inputs[0, :, 2] = torch.tensor([0.5, 0.6, 0, 0, 1])
    inputs[1, :, 0] = torch.tensor([0.7, 0.8, 1, 0, 0])  # a single event foretells none
    _, loss = model(event_sequences(inputs, layout="events"))
    errors = (0.3**2 + 0.4**2 + 0.5**2 + 0.6**2) / 2
    assert loss.item() == pytest.approx(math.log(3) + errors, rel=1e-6)
    _, none = model(event_sequences(inputs[1:], layout="events"))
    assert none.item() == 0


def test_a_prediction_reads_no_later_event(rng: np.random.Generator) -> None:
    model = NextEvent(CODES, 8, 2, drawn())
    inputs = lab_events(rng, 3)
    changed = inputs.clone()
    changed[:, 1, 2] += 1.0
    states, other = (
        model.network(model.read(event_sequences(of, layout="events").features(CODES)))[0]
        for of in (inputs, changed)
    )
    assert torch.equal(states[:, :2], other[:, :2])
    assert not torch.equal(states[:, 2], other[:, 2])


def test_a_part_is_a_stretch_of_the_events_of_its_share() -> None:
    is_event = torch.tensor([[1, 0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0]])
    found = set()
    for seed in range(40):
        part = draw_part(is_event.bool(), 0.6, generator=drawn(seed))
        found.add(tuple(part[0].nonzero()[:, 0].tolist()))
        assert not part[1].any()
        assert part[2].nonzero()[:, 0].tolist() == [1]
    assert found == {(0, 2, 3), (2, 3, 5), (3, 5, 6)}


def test_views_have_parts_of_the_events_alone(rng: np.random.Generator) -> None:
    labs = lab_events(rng, 4)
    available = torch.ones(4, 3, dtype=torch.bool)
    available[2, 2] = False
    labs[2] = torch.nan
    objective = connected(Mlem(layout="events", codes=CODES))
    whole, *parts = objective.views(batch_of(labs, available), generator=drawn(), progress=0.0)
    assert whole.batch.inputs["labs"] is labs
    assert parts[0].carried[EVENTS] is not None
    assert not parts[1].carried
    for view in parts:
        part = view.batch.inputs["labs"]
        assert view.batch.available[:, :2].sum() == 0
        for sample in (0, 1, 3):
            kept = part[sample].any(dim=0)
            assert kept.any()
            assert torch.equal(part[sample][:, kept], labs[sample][:, kept])


def test_an_analyte_that_a_part_lacks_is_as_one_that_was_not_measured(rng) -> None:
    labs = torch.stack([torch.from_numpy(rng.random((4, 6))), torch.ones(4, 6)], dim=1).float()
    unmeasured = torch.stack([torch.linspace(0.4, 0.6, 6), torch.zeros(6)])
    batch = replace(batch_of(labs), unmeasured={"labs": unmeasured})
    _, *parts = connected(Mlem()).views(batch, generator=drawn(), progress=0.0)
    for view in parts:
        part = view.batch.inputs["labs"]
        measured = part[:, 1] == 1
        assert measured.sum(dim=1).tolist() == [4] * 4
        assert torch.equal(part, torch.where(measured[:, None], labs, unmeasured))


def input_of(objective: Mlem, encoder: EventGru, labs: Tensor, others: Tensor) -> ObjectiveInput:
    """The input of a step in which a network encodes the events, and others are given."""
    rows = torch.arange(len(labs))
    every = torch.ones(len(labs), 3, dtype=torch.bool)
    views = objective.views(batch_of(labs), generator=drawn(), progress=0.0)

    def embedded(inputs: Tensor, available: Tensor) -> Embeddings:
        own = normalize(encoder(inputs), dim=1)[:, None]
        return Embeddings(torch.cat([others, own], dim=1), available, NAMES, rows)

    first, *further = (
        view.encoded(embedded(view.batch.inputs["labs"], view.batch.available)) for view in views
    )
    whole = Embeddings(first.embeddings.z, every, NAMES, rows)
    return ObjectiveInput(whole, SideInformation(rows), tuple(further))


def infonce(first: Tensor, second: Tensor, scale: float) -> float:
    """The mean cross-entropy of finding each sample's partner, both ways, in loops."""
    scores = scale * (first @ second.T).detach().numpy()
    losses = [
        -(table[i, i] - np.log(sum(np.exp(table[i, j]) for j in range(len(table)))))
        for table in (scores, scores.T)
        for i in range(len(table))
    ]
    return float(np.mean(losses))


def test_the_terms_are_those_of_its_parts_and_a_substitute_has_no_events(rng) -> None:
    objective = connected(Mlem(layout="events", codes=CODES, width=8, weight=2.0), dim=6).double()
    encoder = EventGru((2 + CODES, EVENT_COUNT), 6, width=8).double()
    labs = lab_events(rng, 5).double()
    others = normalize(torch.from_numpy(rng.normal(size=(5, 2, 6))), dim=2)
    inputs = input_of(objective, encoder, labs, others)
    has = torch.tensor([True, True, False, True, True])
    available = torch.ones(5, 3, dtype=torch.bool)
    available[2, 2] = False
    substitute = normalize(torch.from_numpy(rng.normal(size=(3, 6))), dim=1)
    whole = replace(inputs.embeddings, available=available, substitute=substitute)
    found = objective.training_loss(
        replace(inputs, embeddings=whole), group=None, generator=drawn()
    ).terms
    scale = objective.logit_scale.item()
    first, second = (view.embeddings.z[has, 2] for view in inputs.further)
    encoded, following = objective.next_event(
        event_sequences(labs[has], layout="events").in_front()
    )
    expected = {
        "contrastive": infonce(first, second, scale),
        "generative": following.item(),
        "aligned": infonce(encoded, whole.z[has, 2], scale),
    }
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(2 * value, rel=1e-10)


def test_inputs_that_are_no_events_are_refused(rng: np.random.Generator) -> None:
    told = "labs has no events; expected for each event 1 in the"
    for layout, leads in (("events", 12), ("panel", 2)):
        signal = torch.from_numpy(rng.normal(size=(3, leads, 20)))
        objective = connected(Mlem(layout=layout))
        with pytest.raises(ValueError, match=told):
            objective.views(batch_of(signal), generator=drawn(), progress=0.0)


def test_a_layout_that_the_inputs_do_not_have_is_refused(rng: np.random.Generator) -> None:
    events, panel = lab_events(rng, 3), torch.ones(3, 2, 5)
    for layout, labs in (("panel", events), ("events", panel)):
        objective = connected(Mlem(layout=layout))
        with pytest.raises(ValueError, match=rf"labs: inputs .* since layout is '{layout}'"):
            objective.views(batch_of(labs), generator=drawn(), progress=0.0)
    with pytest.raises(ValueError, match="layout is 'table'; expected 'events' or 'panel'"):
        Mlem(layout="table")


@pytest.mark.slow
def test_both_encodings_of_lab_events_are_learned_and_aligned(rng: np.random.Generator) -> None:
    objective = connected(Mlem(layout="events", codes=CODES, width=16), dim=6).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = EventGru((2 + CODES, EVENT_COUNT), 6, width=16)
    labs = lab_events(rng, 24)
    others = torch.from_numpy(rng.normal(size=(24, 2, 6))).float()
    others = normalize(others, dim=2)
    optimizer = torch.optim.Adam([*objective.parameters(), *encoder.parameters()], lr=0.01)
    found = []
    for _ in range(40):
        inputs = input_of(objective, encoder, labs, others)
        loss = objective.training_loss(inputs, group=None, generator=drawn())
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        found.append({name: value.item() for name, value in loss.terms.items()})
    for name in ("contrastive", "generative", "aligned"):
        assert found[-1][name] < 0.6 * found[0][name]


def test_with_a_weight_of_0_it_is_clip(rng: np.random.Generator) -> None:
    z = unit_batch(rng, 6)
    found = loss_value(connected(Mlem(weight=0.0)), z, temperature=0.5)
    assert found == loss_value(connected(Clip()), z, temperature=0.5)


def test_wrong_settings_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"share is 2\.0; expected more than 0, at most 1"):
        Mlem(share=2.0)
    with pytest.raises(ValueError, match="modality is 'eeg'; expected one of the task: cxr, ecg"):
        connected(Mlem(modality="eeg"))
    objective = connected(Mlem(layout="events", codes=2))
    with pytest.raises(ValueError, match="labs has 3 codes, and codes is 2; expected at least as"):
        objective.views(batch_of(lab_events(rng, 2)), generator=drawn(), progress=0.0)


def test_nothing_hidden_leaks() -> None:
    assert not list(objective_leaks(Mlem()))

"""REBAR: its loss in loops, its attention, its views, and that like restores like."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks.objectives import objective_leaks
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.rebar import (
    SEGMENT,
    Rebar,
    SegmentRetrieval,
    at_places,
    segment_losses,
    segment_of,
)
from clinical_symile.objectives.views import EncodedView
from tests.helpers.objective_values import connected, loss_value, unit_batch

NAMES = ("cxr", "ecg", "labs")


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(ecg: Tensor, available: Tensor | None = None) -> Batch:
    has = torch.ones(len(ecg), 3, dtype=torch.bool) if available is None else available
    other = torch.zeros(len(ecg), 2, dtype=ecg.dtype)
    inputs = {"cxr": other, "ecg": ecg, "labs": other}
    return Batch(inputs, has, NAMES, torch.arange(len(ecg)))


def test_the_losses_are_those_of_the_definition_in_loops(rng: np.random.Generator) -> None:
    anchor = torch.from_numpy(rng.normal(size=(5, 3)))
    candidates = torch.from_numpy(rng.normal(size=(5, 4, 3)))
    positives = torch.tensor([3, 0, 1, 1, 2])
    found = segment_losses(anchor, candidates, positives, torch.tensor(2.0).double())
    for i in range(5):
        positive = np.exp(2 * float(anchor[i] @ candidates[i, positives[i]]))
        others = sum(np.exp(2 * float(anchor[i] @ anchor[j])) for j in range(5) if j != i)
        own = sum(np.exp(2 * float(anchor[i] @ candidates[i, k])) for k in range(4))
        assert found[0][i].item() == pytest.approx(-np.log(positive / (positive + others)))
        assert found[1][i].item() == pytest.approx(-np.log(positive / own))


def test_what_is_restored_is_an_average_of_the_other_segments_values(rng) -> None:
    attention = SegmentRetrieval(8, drawn()).double()
    query, other = (torch.from_numpy(rng.normal(size=(3, 2, 20))) for _ in range(2))
    hidden = torch.zeros(20, dtype=torch.bool)
    hidden[4:9] = True
    weights = attention.weights(query, hidden, other)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(3, 5).double())
    restored = attention.restore(query, hidden, other)
    for i in range(3):
        torch.testing.assert_close(restored[i], other[i] @ weights[i].T)
    assert (restored.amax(dim=2) <= other.amax(dim=2)).all()
    assert (restored.amin(dim=2) >= other.amin(dim=2)).all()
    changed = query.clone()
    changed[:, :, hidden] = torch.nan
    assert torch.equal(attention.restore(changed, hidden, other), restored)


def test_a_constant_segment_restores_by_its_constant() -> None:
    attention = SegmentRetrieval(8, drawn()).double()
    hidden = torch.arange(10) < 3
    query = torch.arange(10.0).double()[None, None]
    other = torch.full_like(query, 4.0)
    # the squares of 0 - 4, 1 - 4 and 2 - 4
    assert attention.errors(query, hidden, other).item() == pytest.approx((16 + 9 + 4) / 3)


def test_views_are_the_segments_each_once_and_of_one_modality(rng: np.random.Generator) -> None:
    ecg = torch.from_numpy(rng.normal(size=(3, 2, 22)))
    ecg[1] = torch.nan
    available = torch.ones(3, 3, dtype=torch.bool)
    available[1, 1] = False
    objective = connected(Rebar(places=3))
    whole, *segments = objective.views(batch_of(ecg, available), generator=drawn(), progress=0.0)
    assert whole.batch.inputs["ecg"] is ecg
    total = torch.stack([view.batch.inputs["ecg"][0] for view in segments]).sum(dim=0)
    assert torch.equal(total, torch.cat([ecg[0, :, :20], torch.zeros(2, 2).double()], dim=1))
    for view in segments:
        assert (view.batch.inputs["ecg"][0] != 0).sum() == 2 * 5
        assert view.batch.available.tolist() == [[False, has, False] for has in (True, False, True)]
        assert view.carried[SEGMENT].shape == (3, 2, 3)


def test_places_are_averages_and_never_more_than_there_are() -> None:
    signal = torch.arange(12.0)[None, None]
    assert at_places(segment_of(signal, 1, 2), 3).tolist() == [[[6.5, 8.5, 10.5]]]
    assert at_places(signal[:, 0], 99).shape == (1, 1, 12)


def encoded(
    objective: Rebar, ecg: Tensor, z: Tensor, available: Tensor | None = None
) -> ObjectiveInput:
    """The input of a step whose embedding of a segment is its first numbers."""
    _, *views = objective.views(batch_of(ecg, available), generator=drawn(), progress=0.0)
    has = torch.ones(len(ecg), 3, dtype=torch.bool) if available is None else available
    rows = torch.arange(len(ecg))
    further = []
    for view in views:
        made = view.carried[SEGMENT][:, 0, :4].to(z.dtype)
        vectors = torch.nn.functional.normalize(made, dim=1)[:, None].expand(-1, 3, -1)
        further.append(view.encoded(Embeddings(vectors, view.batch.available, NAMES, rows)))
    return ObjectiveInput(Embeddings(z, has, NAMES, rows), SideInformation(rows), tuple(further))


def test_the_terms_are_those_of_its_parts(rng: np.random.Generator) -> None:
    objective = connected(Rebar(places=6, between=0.3, weight=2.0, hidden=0.5))
    ecg, z = torch.from_numpy(rng.normal(size=(5, 2, 24))), unit_batch(rng, 5)
    available = torch.ones(5, 3, dtype=torch.bool)
    available[2, 1] = False
    inputs = encoded(objective, ecg, z, available)
    substitute = unit_batch(rng, 1)[0]  # it has no segments
    batch = replace(inputs.embeddings, substitute=substitute)
    found = objective.training_loss(
        replace(inputs, embeddings=batch), group=None, generator=drawn(3)
    ).terms
    has = available[:, 1]
    cut = [view.carried[SEGMENT][has] for view in inputs.further]
    anchor, *others = (view.embeddings.z[has, 1] for view in inputs.further)
    draws = drawn(3)
    positives = objective.find_positives(cut[0], cut[1:], generator=draws)
    candidates = torch.stack(others, dim=1)
    scale = objective.logit_scale
    between, within = segment_losses(anchor, candidates, positives, scale)
    expected = 2 * (0.3 * between.mean() + 0.7 * within.mean())
    assert found["segments"].item() == pytest.approx(expected.item(), rel=1e-12)
    start = int(torch.randint(4, (), generator=draws))  # of 3 hidden places among 6
    stretch = torch.zeros(6, dtype=torch.bool)
    stretch[start : start + 3] = True
    weights = objective.retrieval.weights(cut[0], stretch, cut[0]).detach()
    errors = [
        float(weights[i, h] @ cut[0][i, lead] - cut[0][i, lead, start + h]) ** 2
        for i in range(4)
        for lead in range(2)
        for h in range(3)
    ]
    assert found["restoration"].item() == pytest.approx(2 * np.mean(errors), rel=1e-10)


def test_with_a_weight_of_0_it_is_clip(rng: np.random.Generator) -> None:
    z = unit_batch(rng, 6)
    found = loss_value(connected(Rebar(weight=0.0)), z, temperature=0.5)
    assert found == loss_value(connected(Clip()), z, temperature=0.5)


def rhythm(rng: np.random.Generator, fast: bool) -> np.ndarray:
    """Two leads of narrow peaks at one of two rates, at a random phase, with noise."""
    time, period = np.arange(64), 9 if fast else 15
    since = (time + rng.integers(period)) % period
    peaks = np.exp(-((since - 4.0) ** 2) / 2)
    return np.stack([peaks, -0.5 * peaks]) + 0.05 * rng.normal(size=(2, 64))


@pytest.mark.slow
def test_a_retrieved_segment_has_the_same_rhythm_more_often_than_a_random_one(rng) -> None:
    objective = connected(Rebar(places=64))
    attention = objective.retrieval
    optimizer = torch.optim.Adam(attention.parameters(), lr=0.01)
    for step in range(60):
        some = np.stack([rhythm(rng, bool(fast)) for fast in rng.integers(0, 2, 32)])
        hidden = torch.zeros(64, dtype=torch.bool)
        hidden[step % 56 : step % 56 + 8] = True
        segments = torch.from_numpy(some)
        optimizer.zero_grad()
        attention.errors(segments, hidden, segments).mean().backward()
        optimizer.step()
    fast = rng.integers(0, 2, (200, 5))
    cut = torch.from_numpy(np.stack([[rhythm(rng, bool(f)) for f in row] for row in fast]))
    found = objective.find_positives(cut[:, 0], list(cut[:, 1:].unbind(dim=1)), generator=drawn())
    same = fast[:, 1:] == fast[:, :1]
    could, took = same.any(axis=1), same[np.arange(200), found.numpy()]
    assert took[could].mean() > same[could].mean() + 0.2


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"segments is 1; .* at least 2.*between is 2"):
        Rebar(segments=1, between=2.0)
    with pytest.raises(ValueError, match="modality is 'eeg'; expected one of the task: cxr, ecg"):
        connected(Rebar(modality="eeg"))
    objective = connected(Rebar())
    short = batch_of(torch.zeros(2, 1, 3))
    with pytest.raises(ValueError, match="ecg has 3 places in time; expected at least 4"):
        objective.views(short, generator=drawn(), progress=0.0)


def test_nothing_hidden_leaks() -> None:
    assert not list(objective_leaks(Rebar()))


def test_a_view_hands_on_what_it_carries(rng: np.random.Generator) -> None:
    objective = connected(Rebar(places=6))
    ecg, z = torch.from_numpy(rng.normal(size=(5, 2, 24))), unit_batch(rng, 5)
    inputs = encoded(objective, ecg, z)
    changed = inputs.map_views(lambda e: e, lambda mixing: mixing, lambda carried: carried[:2])
    view = changed.further[0]
    assert isinstance(view, EncodedView)
    assert view.carried[SEGMENT].shape == (2, 2, 6)

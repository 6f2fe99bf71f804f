"""Find leaks of objectives: of their losses, gradients, states, scores and predictions."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks._comparison import (
    Outputs,
    differences,
    factory,
    gradients,
    saved_state,
    state,
    with_zeros,
)
from clinical_symile.evaluation.leak_checks.fixtures import (
    TOY_DIM,
    TOY_LABELS,
    TOY_MODALITIES,
    TOY_SAMPLES,
    toy_embeddings,
    toy_input,
    toy_side,
)
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.label_predictor import LabelPredictor
from clinical_symile.objectives.subsets import SubsetSum


def objective_leaks(component: Any) -> Iterator[str]:
    """Yield a sentence for each leak of an objective's loss, gradients, state and scores.

    Args:
        component: an objective, or a class that is made without arguments.
    """
    make = connected(factory(component))
    spread = make().spread
    z, available = toy_embeddings(2 * TOY_DIM if spread else TOY_DIM)
    rows = torch.arange(TOY_SAMPLES)

    def loss_of(objective: Objective, slots: Tensor, side: SideInformation | None = None) -> Tensor:
        embeddings = Embeddings(slots, available, TOY_MODALITIES, rows, spread=spread)
        drawn = torch.Generator().manual_seed(0)
        if type(objective).forward not in (Objective.forward, SubsetSum.forward):
            return objective(embeddings, generator=drawn)
        inputs = toy_input(objective, embeddings, side)
        loss = objective.training_loss(inputs, group=None, generator=drawn).total
        objective.after_step()
        return loss

    def outputs(slots: Tensor) -> Outputs:
        objective, leaf = make(), slots.clone().requires_grad_()
        loss = loss_of(objective, leaf)
        return {
            "the loss": loss,
            **gradients(loss, {"embeddings": leaf}, objective),
            **state(objective),
            "the loss of the next batch": loss_of(objective, with_zeros(z, available)),
        }

    yield from differences(outputs, z, available)
    yield from _side_leaks(make, lambda objective, side: loss_of(objective, z, side), rows)
    if isinstance(make(), LabelPredictor):
        yield from _log_odds_leaks(make, z, available)
        return
    for target in TOY_MODALITIES:
        yield from _score_leaks(make, z, available, target)


def _side_leaks(
    make: Callable[[], Objective],
    loss_of: Callable[[Objective, SideInformation], Tensor],
    rows: Tensor,
) -> Iterator[str]:
    """Yield what an objective keeps of labels, subjects or values in the state that is saved.

    Args:
        make: makes the objective.
        loss_of: computes the loss of the same batch with some side information.
        rows: the samples.
    """
    states = []
    for of in (rows, rows.flip(0)):
        objective = make()
        loss_of(objective, replace(toy_side(of), rows=rows))
        states.append(saved_state(objective))
    for name, value in states[0].items():
        if not torch.equal(value, states[1][name]):
            yield f"{name} changes with the labels, subjects or values of samples."


def connected(make: Callable[[], Objective]) -> Callable[[], Objective]:
    """Return a factory of objectives that are connected to a toy model."""

    def connect() -> Objective:
        objective = make()
        objective.label_names = TOY_LABELS
        objective.connect(
            modalities=TOY_MODALITIES,
            dim=TOY_DIM,
            norm="l2",
            generator=torch.Generator().manual_seed(0),
        )
        objective.begin_training(rows=TOY_SAMPLES, batch_size=TOY_SAMPLES)
        return objective

    return connect


def _score_leaks(
    make: Callable[[], Objective], z: Tensor, available: Tensor, target: str
) -> Iterator[str]:
    """Yield the leaks of the score for one target, which may read the other modalities only."""
    column = TOY_MODALITIES.index(target)
    present = available.clone()
    present[:, column] = True
    readable = present.clone()
    readable[:, column] = False
    queries = readable.any(dim=1).nonzero()[:, 0]

    def scores(slots: Tensor, some: Tensor = queries) -> Outputs:
        objective, rows = make(), torch.arange(TOY_SAMPLES)
        query = Embeddings(slots, present, TOY_MODALITIES, rows, spread=objective.spread).take(some)
        with torch.inference_mode():
            return {f"the score for {target}": objective.score(query, z[:, column], target=target)}

    where = f"hidden slots and the query's own {target}"
    yield from differences(scores, z, readable, where=where)
    for name, together in scores(z).items():
        if not torch.allclose(scores(z, queries[:1])[name], together[:1]):
            yield f"{name} of a query depends on the other queries."


def _log_odds_leaks(make: Callable[[], Objective], z: Tensor, available: Tensor) -> Iterator[str]:
    """Yield the leaks of the log odds that a supervised objective predicts."""
    name = "a predicted log odds"

    def predicted(slots: Tensor, some: slice = slice(None)) -> Outputs:
        objective, rows = make(), torch.arange(TOY_SAMPLES)
        assert isinstance(objective, LabelPredictor)
        with torch.inference_mode():
            embeddings = Embeddings(slots, available, TOY_MODALITIES, rows)
            return {name: objective.log_odds(embeddings)[some]}

    yield from differences(predicted, z, available)
    with torch.inference_mode():
        objective = make()
        assert isinstance(objective, LabelPredictor)
        alone = Embeddings(z[:1], available[:1], TOY_MODALITIES, torch.arange(1))
        if not torch.allclose(objective.log_odds(alone), predicted(z)[name][:1]):
            yield f"{name} depends on the other samples."

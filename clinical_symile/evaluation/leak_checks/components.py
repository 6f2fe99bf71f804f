"""The leaks of each kind of part: what of it changes when withheld slots hold something else.

Every part is run with zeros there, with NaN, and with the values of other people.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clinical_symile.data.batch import Batch
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.baselines.base import BaselineInputs
from clinical_symile.evaluation.leak_checks.fixtures import (
    ANALYTES,
    DIM,
    MODALITIES,
    SAMPLES,
    SPLITS,
    toy_classification,
    toy_embeddings,
    toy_labelled_rows,
    toy_labels,
    toy_pretraining,
    toy_store,
)
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.probes.base import (
    EmbeddedSamples,
    Encoders,
    LabelledSamples,
    ProbeInputs,
)
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.missing_modality.base import MissingModalityMethod
from clinical_symile.models.missing_modality.drop import DROP
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.clip import Clip
from clinical_symile.training.learner import build_learner

CHECK_DIM = 6
# An image, a waveform and a panel that the encoders of the package take.
SHAPES = {"image": (1, 32, 32), "signal": (12, 500), "vector": (2, 5)}
FILLINGS = {"NaN": torch.nan, "values of other people": None}

# The rows that predictions are asked of.
ASKED = np.flatnonzero(SPLITS == "held_out")
LEAVES = ("the gradient of embeddings", "the gradient of inputs")

Outputs = Mapping[str, Tensor]


def maker(thing: Any) -> Callable[[], Any]:
    """What gives the part, of a class that is made without arguments or of an object."""
    return thing if isinstance(thing, type) else lambda: thing


def objective_leaks(thing: Any) -> Iterator[str]:
    """The leaks of an objective; none if it keeps the contract."""
    objective = maker(thing)()
    z, present = toy_embeddings(DIM)
    rows = torch.arange(SAMPLES)

    def outputs(filled: Tensor) -> Outputs:
        leaf = filled.clone().requires_grad_()
        embeddings = Embeddings(leaf, present, MODALITIES, rows)
        loss = objective(embeddings, generator=torch.Generator().manual_seed(0))
        return {"the loss": loss, **_gradients(loss, {"embeddings": leaf}, objective)}

    yield from _changes(outputs, z, present)
    for target in MODALITIES:
        yield from _score_leaks(objective, z, present, target)


def _score_leaks(objective: Objective, z: Tensor, present: Tensor, target: str) -> Iterator[str]:
    """The leaks of the score for one target: it may read what is seen of the others, no more."""
    column = MODALITIES.index(target)
    known = present.clone()
    known[:, column] = True
    available = known.clone()
    available[:, column] = False
    asked = available.any(dim=1).nonzero()[:, 0]

    def scores(filled: Tensor, queries: Tensor = asked) -> Outputs:
        query = Embeddings(filled, known, MODALITIES, torch.arange(SAMPLES)).take(queries)
        with torch.inference_mode():
            return {f"the score for {target}": objective.score(query, z[:, column], target=target)}

    about = f"withheld slots and the query's own {target}"
    yield from _changes(scores, z, available, about=about)
    for name, together in scores(z).items():
        if not torch.allclose(scores(z, asked[:1])[name], together[:1]):
            yield f"{name} of a query depends on the other queries."


def missing_modality_leaks(method: MissingModalityMethod) -> Iterator[str]:
    """The leaks of a missing-modality method."""
    yield from _model_leaks(_model(method, lambda: _Tower(CHECK_DIM, DIM)), (CHECK_DIM,))
    yield from objective_leaks(method.wrap_objective(Clip, len(MODALITIES)))


def encoder_leaks(make: Callable[..., nn.Module]) -> Iterator[str]:
    """The leaks of an encoder, on whichever kind of input it takes."""
    refused = []
    for kind, shape in SHAPES.items():
        try:
            make(shape, DIM)(torch.rand(2, *shape))
        except Exception as error:
            refused.append(f"{kind} {list(shape)}: {error}")
            continue
        model = _model(DROP, lambda shape=shape: make(shape, DIM))
        yield from _model_leaks(model, shape)
        return
    raise DefinitionError(
        "an encoder is made with (shape, dim) and reads images, signals or vectors; this one "
        f"reads none: {'; '.join(refused)}. Correct it."
    )


def augmentation_leaks(make: Callable[..., Any]) -> Iterator[str]:
    """The leaks of an augmentation, on whichever kind of input it takes.

    Args:
        make: gives one that moves inputs a little.
    """
    augment, refused = make(), []
    _, present = toy_embeddings(1)
    there = present[:, :1]
    for kind, shape in SHAPES.items():
        generator = torch.Generator().manual_seed(0)
        inputs = torch.rand(SAMPLES, 1, *shape, generator=generator)

        def outputs(filled: Tensor) -> Outputs:
            generator = torch.Generator().manual_seed(0)
            return {"a present sample": augment(filled[:, 0], generator=generator)[there[:, 0]]}

        mixed = torch.where(there.reshape(-1, 1, *[1] * len(shape)), inputs, 0.0)[:, 0]
        try:
            expected = augment(mixed, generator=generator)
        except Exception as error:
            refused.append(f"{kind} {list(shape)}: {error}")
            continue
        if expected[~there[:, 0]].any():
            yield "what is absent, and so zero, is not zero any more."
        yield from _changes(outputs, inputs, there)
        return
    raise DefinitionError(
        "an augmentation takes images, signals or vectors, and a generator; this one takes none: "
        f"{'; '.join(refused)}. Correct it."
    )


def probe_leaks(thing: Any) -> Iterator[str]:
    """The leaks of a probe, which reads embeddings and may train encoders on that read a store."""
    probe = maker(thing)()
    # Embeddings and, behind them, measurements: both are filled in the same slots.
    everything, present = toy_embeddings(DIM + ANALYTES, samples=len(SPLITS))
    available, there = present.numpy(), np.ones(present.shape, dtype=bool)
    store = toy_store(everything[..., DIM:].numpy(), there)
    learner = build_learner(toy_pretraining(), store, seed=0).eval()

    def predicted(
        filled: Tensor,
        asked: slice = slice(None),
        outcome: np.ndarray | None = None,
        measured: np.ndarray = there,
    ) -> Tensor:
        z = filled[..., :DIM].numpy()
        read = toy_store(filled[..., DIM:].numpy(), measured, outcome)
        known = [
            LabelledSamples(some.rows, z[some.rows], some.available, MODALITIES, some.label)
            for some in (
                toy_labelled_rows("train", available),
                toy_labelled_rows("tuning", available),
            )
        ]
        rows = ASKED[asked]
        shown = EmbeddedSamples(rows, z[rows], available[rows], MODALITIES)
        encoders = Encoders(learner, read)
        return _as_tensor(probe.predict(ProbeInputs(known[0], known[1], shown, encoders, seed=0)))

    yield from _prediction_leaks(predicted, everything, present, there)


def baseline_leaks(thing: Any) -> Iterator[str]:
    """The leaks of a baseline, which reads a store."""
    measured, present = toy_embeddings(ANALYTES, samples=len(SPLITS))
    available = present.numpy()
    # Who learns from all of training is held there to what was not measured.
    learns_from_all = maker(thing)().learns_from_all
    there = available | ((SPLITS == "held_out")[:, None] | (not learns_from_all))

    def predicted(
        filled: Tensor,
        asked: slice = slice(None),
        outcome: np.ndarray | None = None,
        measured: np.ndarray = there,
    ) -> Tensor:
        # Anew each time, since a baseline may keep what it has learned.
        baseline = thing() if isinstance(thing, type) else copy.deepcopy(thing)
        rows = ASKED[asked]
        found = baseline.predict(
            BaselineInputs(
                toy_labelled_rows("train", available),
                toy_labelled_rows("tuning", available),
                Request(toy_classification(), rows, available[rows], parse_pattern("observed")),
                toy_store(filled.numpy(), measured, outcome),
                toy_pretraining(),
            )
        )
        return _as_tensor(found)

    yield from _prediction_leaks(predicted, measured, present, there)


def _prediction_leaks(
    predicted: Callable[..., Tensor], values: Tensor, present: Tensor, there: np.ndarray
) -> Iterator[str]:
    """The leaks of predictions of those who are asked, of whom neither outcome nor more is known.

    Args:
        predicted: from what slots hold, perhaps who is asked, and what a store says of outcomes and
            of what was measured.
        values: what slots hold.
        present: which slots are seen.
        there: which the store says were measured.
    """
    yield from _changes(lambda filled: {"the prediction": predicted(filled)}, values, present)
    if not torch.allclose(predicted(values, slice(0, 1)), predicted(values)[:1]):
        yield "the prediction for one person depends on who else is asked."
    others = toy_labels(len(SPLITS))
    others[ASKED] = 1 - others[ASKED]
    if not torch.equal(predicted(values, outcome=others), predicted(values)):
        yield "the prediction changes with the outcome of those who are asked."
    fewer = there.copy()
    fewer[ASKED] &= present.numpy()[ASKED]
    if not torch.equal(predicted(values, measured=fewer), predicted(values)):
        yield "the prediction changes with whether what is withheld was measured."


def _as_tensor(found: Any) -> Tensor:
    return torch.from_numpy(np.asarray(found, dtype=np.float64))


def _model_leaks(model: MultimodalEncoder, shape: tuple[int, ...]) -> Iterator[str]:
    """The leaks of encoders and slots together, in training and in use."""
    _, present = toy_embeddings(1)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(SAMPLES, len(MODALITIES), *shape, generator=generator)
    rows = torch.arange(SAMPLES)

    def run(filled: Tensor, kept: Tensor = rows) -> Embeddings:
        columns: dict[str, Tensor] = {
            name: filled[kept, column] for column, name in enumerate(MODALITIES)
        }
        return model(Batch(columns, present[kept], MODALITIES, kept))

    def outputs(filled: Tensor) -> Outputs:
        leaf = filled.clone().requires_grad_()
        torch.manual_seed(0)
        embeddings = run(leaf)
        z, _ = embeddings.with_substitutes()
        weight = torch.linspace(-1, 1, z.numel()).reshape(z.shape)
        loss = (weight * z).sum()
        return {"an embedding": z, **_gradients(loss, {"inputs": leaf}, model)}

    with torch.random.fork_rng(devices=[]):
        for training in (True, False):
            model.train(training)
            yield from _changes(outputs, inputs, present)
        first = run(inputs, rows[:1]).z[present[:1]]
        if not torch.allclose(first, run(inputs).z[:1][present[:1]], atol=1e-5):
            yield "an embedding of one person depends on who else is in the batch, in use."


def _changes(
    outputs: Callable[[Tensor], Outputs],
    values: Tensor,
    present: Tensor,
    *,
    about: str = "withheld slots",
) -> Iterator[str]:
    """What changes when withheld slots hold something else than zeros."""
    there = present.reshape(*present.shape, *[1] * (values.ndim - 2))
    expected = outputs(torch.where(there, values, torch.zeros_like(values)))
    for name, output in expected.items():
        if name in LEAVES and (output[~present] != 0).any():
            yield f"{name} is not zero in {about}."
    for words, filling in FILLINGS.items():
        others = values.roll(1, dims=0) if filling is None else torch.full_like(values, filling)
        found = outputs(torch.where(there, values, others))
        for name, output in expected.items():
            if not torch.equal(output, found[name]):
                yield f"{name} changes when {about} hold {words}."


def _gradients(loss: Tensor, leaves: Mapping[str, Tensor], module: nn.Module) -> Outputs:
    named = {**leaves, **dict(module.named_parameters())}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {
        f"the gradient of {name}": gradient
        for name, gradient in zip(named, found, strict=True)
        if gradient is not None
    }


def _model(method: MissingModalityMethod, tower: Callable[[], nn.Module]) -> MultimodalEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MultimodalEncoder(
            {name: tower() for name in MODALITIES}, dim=DIM, norm="l2", missing_modality="drop"
        )
        model.missing_modality = method.handler(len(MODALITIES), DIM)
    return model


class _Tower(nn.Module):
    """A layer whose output is centred over the batch, as in encoders of the package."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, dim), nn.BatchNorm1d(dim), nn.Tanh())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)

"""The canary: what is withheld from a model is unreachable, or the leak is named.

A part is run on a small batch three times. Where something is withheld there stand first zeros,
then NaN, then the values of other people. Nothing may change, to the last bit: no output, and no
gradient. What may be held to this is

- an objective: its loss, the gradients, and its scores, which must not read a query's own target;
- a way of training with absence (`Absence`, or its slots): embeddings, what stands in, gradients;
- an encoder: embeddings of what is present, and that people in a batch do not mix when it is used;
- a probe: its predictions, from what is seen of the people it learned from and of those asked.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clinical_symile.absence import OMIT, Absence
from clinical_symile.batch import Batch
from clinical_symile.embeddings import Embeddings
from clinical_symile.errors import CannotScore, DefinitionError
from clinical_symile.model import Model
from clinical_symile.names import find
from clinical_symile.objectives.objective import Objective
from clinical_symile.probes.probe import Labelled, Shown

MODALITIES = ("cxr", "ecg", "labs")
SAMPLES, WIDTH, DIM = 12, 6, 8
# An image, a waveform and a panel that the encoders of the package take.
SHAPES = {"image": (1, 32, 32), "signal": (12, 500), "vector": (2, 5)}
FILLINGS = {"NaN": torch.nan, "values of other people": None}

LEAVES = ("the gradient of embeddings", "the gradient of inputs")

Outputs = Mapping[str, Tensor]


def canary(name: str) -> str:
    """Hold a part of one's own to the contract; a sentence on what it is, if it keeps it.

    Args:
        name: `package.module:Name` of a class that is made without arguments, or of an object.

    Raises:
        DefinitionError: it leaks, with a sentence for each leak; or it is none of the above.
    """
    thing = find(name, {}, what="part")
    what, check = _kind(thing, name)
    try:
        problems = list(check(thing))
    except DefinitionError:
        raise
    except Exception as error:
        # It is code of someone else: whatever it raises, it could not stand what was withheld.
        raise DefinitionError(
            f"{name}: {what} that stops with {type(error).__name__}: {error}; expected one that "
            "runs, whatever withheld slots hold. Mend it, or name an object that is made already."
        ) from error
    if problems:
        raise DefinitionError(*(f"{name}: {what} that leaks: {problem}" for problem in problems))
    return f"{name}: {what}; nothing that is withheld reaches it."


def _kind(thing: Any, name: str) -> tuple[str, Callable[[Any], Iterator[str]]]:
    made = thing if isinstance(thing, type) else type(thing)
    if issubclass(made, Objective):
        return "an objective", objective_leaks
    if issubclass(made, Absence):
        return "a way with absent modalities", absence_leaks
    if hasattr(thing, "predict"):
        return "a probe", probe_leaks
    forward = getattr(thing, "forward", None)
    if forward is not None and "column" in inspect.signature(forward).parameters:
        return "a filling of slots", lambda slots: absence_leaks(Absence(slots=slots))
    if callable(thing):
        return "an encoder", encoder_leaks
    raise DefinitionError(
        f"{name}: a {made.__name__}; expected an objective, a way with absent modalities, an "
        "encoder or a probe. Name one of these."
    )


def objective_leaks(thing: Any) -> Iterator[str]:
    """The leaks of an objective; none if it keeps the contract."""
    objective = thing() if isinstance(thing, type) else thing
    z, present = _people(DIM)
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
    seen = known.clone()
    seen[:, column] = False
    asked = seen.any(dim=1).nonzero()[:, 0]

    def scores(filled: Tensor, queries: Tensor = asked) -> Outputs:
        query = Embeddings(filled, known, MODALITIES, torch.arange(SAMPLES)).take(queries)
        with torch.inference_mode():
            return {f"the score for {target}": objective.score(query, z[:, column], target=target)}

    about = f"withheld slots and the query's own {target}"
    yield from _changes(scores, z, seen, about=about)
    for name, together in scores(z).items():
        if not torch.allclose(scores(z, asked[:1])[name], together[:1]):
            yield f"{name} of a query depends on the other queries."


def absence_leaks(way: Absence) -> Iterator[str]:
    """The leaks of a way with absent modalities."""
    yield from _model_leaks(_model(way, lambda: _Tower(WIDTH, DIM)), (WIDTH,))


def encoder_leaks(make: Callable[..., nn.Module]) -> Iterator[str]:
    """The leaks of an encoder, on whichever kind of input it takes."""
    refused = []
    for kind, shape in SHAPES.items():
        try:
            make(shape, DIM)(torch.rand(2, *shape))
        except Exception as error:
            refused.append(f"{kind} {list(shape)}: {error}")
            continue
        model = _model(OMIT, lambda shape=shape: make(shape, DIM))
        yield from _model_leaks(model, shape)
        return
    raise DefinitionError(
        "an encoder is made with (shape, dim) and reads images, signals or vectors; this one "
        f"reads none: {'; '.join(refused)}. Correct it."
    )


def probe_leaks(thing: Any) -> Iterator[str]:
    """The leaks of a probe that needs nothing but embeddings."""
    probe = thing() if isinstance(thing, type) else thing
    z, present = _people(DIM)
    seen = present.numpy()
    label = (np.arange(SAMPLES) // 2) % 2
    rows = np.arange(SAMPLES)

    def predicted(filled: Tensor, asked: slice = slice(None)) -> Tensor:
        known = Labelled(rows, filled.numpy(), seen, MODALITIES, label)
        shown = Shown(rows[asked], filled.numpy()[asked], seen[asked], MODALITIES)
        found = probe.predict(known, known.take(rows[::2]), shown, encoders=None, seed=0)
        return torch.from_numpy(np.asarray(found, dtype=np.float64))

    try:
        whole = predicted(torch.where(present[:, :, None], z, 0.0))
    except CannotScore as reason:
        raise DefinitionError(
            f"this probe cannot be asked with embeddings alone: {reason} Its canary needs a store."
        ) from reason
    yield from _changes(lambda filled: {"the prediction": predicted(filled)}, z, present)
    if not torch.allclose(predicted(z, slice(0, 1)), whole[:1]):
        yield "the prediction for one person depends on who else is asked."


def _model_leaks(model: Model, shape: tuple[int, ...]) -> Iterator[str]:
    """The leaks of encoders and slots together, in training and in use."""
    _, present = _people(1)
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
        z, _ = embeddings.filled()
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


def _people(width: int) -> tuple[Tensor, Tensor]:
    """Embeddings of unit length and what is present: half are complete, half lack something."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(SAMPLES, len(MODALITIES), width, generator=generator)
    lacking = torch.eye(len(MODALITIES), dtype=torch.bool)
    whole = torch.ones(SAMPLES // 2, len(MODALITIES), dtype=torch.bool)
    present = torch.cat([whole, ~lacking, lacking])
    return nn.functional.normalize(z, dim=2), present


def _model(way: Absence, tower: Callable[[], nn.Module]) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Model({name: tower() for name in MODALITIES}, dim=DIM, norm="l2", absent="omit")
        model.slots = way.slots(len(MODALITIES), DIM)
    return model


class _Tower(nn.Module):
    """A layer whose output is centred over the batch, as in encoders of the package."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, dim), nn.BatchNorm1d(dim), nn.Tanh())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)

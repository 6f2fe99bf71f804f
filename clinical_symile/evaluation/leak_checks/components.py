"""Find leaks of fusions, missing-modality methods, encoders, adapters and augmentations.

Each component runs with zeros, with NaN and with values of other subjects in the hidden slots. Each
run starts from a copy of the same state. After each run, further batches without hidden values show
whether the state has kept any.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks._comparison import (
    Outputs,
    differences,
    factory,
    fresh_copy,
    gradients,
    state,
    with_zeros,
)
from clinical_symile.evaluation.leak_checks.fitted import fitted_leaks
from clinical_symile.evaluation.leak_checks.fixtures import (
    TOY_DIM,
    TOY_MODALITIES,
    TOY_SAMPLES,
    toy_embeddings,
)
from clinical_symile.evaluation.leak_checks.objectives import objective_leaks
from clinical_symile.models.adapters.base import AdaptedEncoder
from clinical_symile.models.encoders.image import SmallCnn
from clinical_symile.models.kept_tokens import keep_tokens
from clinical_symile.models.missing_modality.base import MissingModalityMethod
from clinical_symile.models.missing_modality.drop import DROP
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.models.tokens import TokenSetEncoder
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.token_attention import TokenQueries

_WIDTH = 6
_QUERIES = TokenQueries(2, 4)
# Inputs of an image, a waveform and a tabular encoder, without the samples.
_SHAPES = {"image": (1, 32, 32), "signal": (12, 500), "vector": (2, 5)}


def fusion_leaks(make: Callable[..., ModalityFusion]) -> Iterator[str]:
    """Yield a sentence for each leak of a fusion: its output, its losses and every gradient.

    Args:
        make: makes the fusion from the names of modalities, the width and a generator.
    """

    def made() -> ModalityFusion:
        return make(TOY_MODALITIES, TOY_DIM, torch.Generator().manual_seed(0))

    z, available = toy_embeddings(TOY_DIM + made().summary_width)

    def outputs(slots: Tensor) -> Outputs:
        fusion, leaf = made(), slots.clone().requires_grad_()
        fused = fusion(leaf, available)
        further = fusion.extra_losses(with_zeros(leaf, available), available)
        weights = torch.linspace(-1, 1, fused.numel()).reshape(fused.shape)
        loss = (weights * fused).sum() + sum(further.values())
        return {
            "the output": fused,
            **{f"the loss '{name}'": value for name, value in further.items()},
            **gradients(loss, {"embeddings": leaf}, fusion),
            **state(fusion),
            "the output of the next batch": fusion(with_zeros(z, available), available),
        }

    yield from differences(outputs, z, available)
    alone, together = (made()(z[:some], available[:some]) for some in (1, TOY_SAMPLES))
    if not torch.allclose(alone, together[:1], atol=1e-6):
        yield "the output of a sample depends on the other samples."


def missing_modality_leaks(method: MissingModalityMethod) -> Iterator[str]:
    """Yield a sentence for each leak of a missing-modality method."""
    model = _toy_model(method, lambda: _Tower(_WIDTH, TOY_DIM))
    yield from _model_leaks(model, (_WIDTH,))
    yield from _filled_score_leaks(model.eval())
    yield from fitted_leaks(model)
    yield from objective_leaks(method.wrap_objective(Clip, len(TOY_MODALITIES)))


def _filled_score_leaks(model: MultimodalEncoder) -> Iterator[str]:
    """Yield the leaks of a score whose replacements could read the query's own target."""
    summary = getattr(model.missing_modality, "summary_width", 0)
    z, available = toy_embeddings(TOY_DIM + summary)
    rows = torch.arange(TOY_SAMPLES)
    for column, target in enumerate(TOY_MODALITIES):
        readable = available.clone()
        readable[:, column] = False
        queries = readable.any(dim=1).nonzero()[:, 0]
        present = available.clone()
        present[:, column] = True

        def scores(
            slots: Tensor,
            present: Tensor = present,
            queries: Tensor = queries,
            column: int = column,
            target: str = target,
        ) -> Outputs:
            vectors, rest = slots.split((TOY_DIM, summary), dim=2)
            query = Embeddings(
                vectors,
                present,
                TOY_MODALITIES,
                rows,
                fill=model.fill,
                summary=rest if summary else None,
            ).take(queries)
            with torch.inference_mode():
                scored = Clip().score(query, z[:, column, :TOY_DIM], target=target)
            return {f"the score for {target} with replacements": scored}

        if model.fill is not None:
            where = f"hidden slots and the query's own {target}"
            yield from differences(scores, z, readable, where=where)


def encoder_leaks(make: Callable[..., nn.Module]) -> Iterator[str]:
    """Yield a sentence for each leak of an encoder, on the first kind of input that it takes.

    Args:
        make: makes the encoder from the shape of an input and the width of embeddings.

    Raises:
        DefinitionError: it takes no kind of input.
    """
    refused = []
    for kind, shape in _SHAPES.items():
        try:
            with torch.random.fork_rng(devices=[]):
                encoder = make(shape, TOY_DIM)
                encoder(torch.rand(2, *shape))
        except Exception as error:
            refused.append(f"{kind} {list(shape)}: {error}")
            continue
        yield from _model_leaks(_toy_model(DROP, lambda shape=shape: make(shape, TOY_DIM)), shape)
        if isinstance(encoder, TokenSetEncoder):
            kept = keep_tokens(DROP, _QUERIES)
            yield from _model_leaks(
                _toy_model(kept, lambda shape=shape: make(shape, TOY_DIM)), shape
            )
        return
    raise DefinitionError(
        "an encoder is made with (shape, dim) and reads images, signals or vectors; this one "
        f"reads none: {'; '.join(refused)}. Correct it.",
        code="CS-M021",
    )


def adapter_leaks(component: Any) -> Iterator[str]:
    """Yield a sentence for each leak of a convolutional network that an adapter changes.

    Args:
        component: an adapter, or a class that is made without arguments.
    """
    make = factory(component)

    def adapted(shape: tuple[int, ...], dim: int) -> nn.Module:
        return AdaptedEncoder(SmallCnn(shape, dim, size_px=_SHAPES["image"][1]), make())

    yield from encoder_leaks(adapted)


def augmentation_leaks(component: Any) -> Iterator[str]:
    """Yield a sentence for each leak of an augmentation, on the first kind of input that it takes.

    Args:
        component: an augmentation, or a class that is made without arguments.

    Raises:
        DefinitionError: it takes no kind of input.
    """
    make, refused = factory(component), []
    available = toy_embeddings(1)[1][:, :1]
    for kind, shape in _SHAPES.items():
        inputs = torch.rand(TOY_SAMPLES, 1, *shape, generator=torch.Generator().manual_seed(0))
        clean = with_zeros(inputs, available)[:, 0]

        def outputs(slots: Tensor, clean: Tensor = clean) -> Outputs:
            augment, generator = make(), torch.Generator().manual_seed(0)
            kept = available[:, 0]
            return {
                "an available sample": augment(slots[:, 0], generator=generator)[kept],
                "an available sample of the next batch": augment(clean, generator=generator)[kept],
            }

        try:
            augmented = make()(clean, generator=torch.Generator().manual_seed(0))
        except Exception as error:
            refused.append(f"{kind} {list(shape)}: {error}")
            continue
        if augmented[~available[:, 0]].any():
            yield "the input of a hidden sample is zero before and not after."
        yield from differences(outputs, inputs, available)
        return
    raise DefinitionError(
        "an augmentation takes images, signals or vectors, and a generator; this one takes none: "
        f"{'; '.join(refused)}. Correct it.",
        code="CS-M021",
    )


def _model_leaks(model: MultimodalEncoder, shape: tuple[int, ...]) -> Iterator[str]:
    """Yield the leaks of encoders and their missing-modality handler, in training and in use."""
    _, available = toy_embeddings(1)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(TOY_SAMPLES, len(TOY_MODALITIES), *shape, generator=generator)
    rows, clean = torch.arange(TOY_SAMPLES), with_zeros(inputs, available)

    def embed(module: MultimodalEncoder, slots: Tensor, kept: Tensor = rows) -> Tensor:
        columns = {name: slots[kept, column] for column, name in enumerate(TOY_MODALITIES)}
        return _read(module(Batch(columns, available[kept], TOY_MODALITIES, kept)))

    def outputs(slots: Tensor) -> Outputs:
        module, leaf = fresh_copy(model), slots.clone().requires_grad_()
        torch.manual_seed(0)
        z = embed(module, leaf)
        loss = (torch.linspace(-1, 1, z.numel()).reshape(z.shape) * z).sum()
        found = {"an embedding": z, **gradients(loss, {"inputs": leaf}, module), **state(module)}
        with torch.no_grad():
            found["an embedding of the next batch"] = embed(module, clean)
            found["an embedding in later use"] = embed(module.eval(), clean)
            # Encoded while it is there, and hidden afterwards, as evaluation does.
            columns = {name: slots[:, column] for column, name in enumerate(TOY_MODALITIES)}
            every = Batch(columns, torch.ones_like(available), TOY_MODALITIES, rows)
            hidden = module(every).with_visible(available)
            found["an embedding that is hidden later"] = _read(hidden)
        return found

    with torch.random.fork_rng(devices=[]):
        for training in (True, False):
            model.train(training)
            yield from differences(outputs, inputs, available)
        together = embed(fresh_copy(model), inputs)
        complete, incomplete = rows[:1], rows[TOY_SAMPLES // 2 :][:1]
        alone = [embed(fresh_copy(model), inputs, some) for some in (complete, incomplete)]
        if not torch.allclose(torch.cat(alone), together[[0, TOY_SAMPLES // 2]], atol=1e-5):
            yield "an embedding in use depends on the other samples of the batch."


def _read(embeddings: Embeddings) -> Tensor:
    """Return what objectives read: vectors with replacements, and what is kept of tokens."""
    z, _ = embeddings.with_substitutes()
    return z if embeddings.summary is None else torch.cat([z, embeddings.summary], dim=2)


def _toy_model(method: MissingModalityMethod, tower: Callable[[], nn.Module]) -> MultimodalEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        towers = {name: tower() for name in TOY_MODALITIES}
        model = MultimodalEncoder(towers, dim=TOY_DIM, norm="l2", missing_modality="drop")
        model.missing_modality = model.connect(method)
        model.fit, model.panel = method.fit, method.panel
    return model


class _Tower(nn.Module):
    """A layer with batch normalization, as in the package's encoders; each number is a token."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, dim), nn.BatchNorm1d(dim), nn.Tanh())
        self.token_shape = (width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)

    def tokens(self, inputs: Tensor) -> Tensor:
        return inputs[:, :, None]

    def from_tokens(self, tokens: Tensor) -> Tensor:
        return self.layers(tokens[:, :, 0])

"""`MultimodalEncoder`: one encoder per modality, from a `Batch` to `Embeddings`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.config.component import WEIGHTS
from clinical_symile.config.tasks.encoders import EncoderConfig
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch, BatchLoader, load_batch, open_loader
from clinical_symile.data.store import CohortStore, InputSource
from clinical_symile.errors import DefinitionError
from clinical_symile.models.adapters.base import AdaptedEncoder, FrozenEncoder
from clinical_symile.models.encoders.weights import check_weights
from clinical_symile.models.gradient_cache import batch_dependent_modules, encode_in_chunks
from clinical_symile.models.missing_modality.base import FillingHandler, missing_modality_method
from clinical_symile.objectives.slots import FewSamplesError
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import ADAPTERS, ENCODERS

# Log variances are from -10 to 10, so that variances and their inverses stay far from the limits of
# float32.
_MOST_LOG_VARIANCE = 10.0


class MultimodalEncoder(nn.Module):
    """One encoder per modality, whose outputs are normalized.

    An unavailable input cannot change any embedding: see `missing_modality/base.py`.

    Args:
        encoders: for each modality `[sample, ...]` → `[sample, dim]`, in the order of `modalities`.
        dim: width of the embeddings.
        norm: `l2` or `layer_norm`, see `Pretraining`.
        missing_modality: a name of `list missing_modality`, see `Pretraining`.
        spread: embeddings are Gaussians; encoders give twice `dim` numbers, of which the first half
            is normalized and the second is log variances.
        encode_at_a_time: the number of samples whose activations are held in training; None for
            the whole batch.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        dim: int,
        norm: str,
        missing_modality: str,
        spread: bool = False,
        encode_at_a_time: int | None = None,
    ):
        super().__init__()
        self.spread = spread
        self.encode_at_a_time = encode_at_a_time
        self.modalities = tuple(encoders)
        self.encoders = nn.ModuleDict(encoders)
        self.norms = nn.ModuleDict(
            {
                name: _GaussianNorm(_NORMS[norm](dim), dim) if spread else _NORMS[norm](dim)
                for name in encoders
            }
        )
        method = missing_modality_method(missing_modality)
        self.missing_modality = method.handler(len(encoders), 2 * dim if spread else dim)
        self.dim = dim

    def forward(self, batch: Batch) -> Embeddings:
        """Embed the available modalities of a batch; embeddings of the others are zero."""
        encoded = [
            self.encode(name, batch.inputs[name], batch.available[:, column])
            for column, name in enumerate(self.modalities)
        ]
        substitutes = [substitute for _, substitute in encoded if substitute is not None]
        return Embeddings(
            z=torch.stack([vectors for vectors, _ in encoded], dim=1),
            available=batch.available,
            modalities=self.modalities,
            rows=batch.rows,
            substitute=torch.stack(substitutes) if substitutes else None,
            spread=self.spread,
            fill=self.fill,
        )

    @property
    def fill(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The function that replaces missing embeddings, see `Embeddings`; None without one."""
        return self._filled if isinstance(self.missing_modality, FillingHandler) else None

    def _filled(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Replace the embeddings of missing modalities by what the handler makes of the others."""
        handler = self.missing_modality
        assert isinstance(handler, FillingHandler)
        weight = next(handler.parameters())
        hidden = torch.where(available[:, :, None], z, torch.zeros_like(z))
        # Scores are computed on the CPU, also while the model is on a GPU.
        made = handler.fill(hidden.to(weight), available.to(weight.device))
        columns = zip(self.norms.values(), made.unbind(dim=1), strict=True)
        normed = torch.stack([norm(vectors) for norm, vectors in columns], dim=1)
        return torch.where(available[:, :, None], hidden, normed.to(hidden))

    def encode(
        self, name: str, inputs: Float[Tensor, "sample ..."], available: Bool[Tensor, " sample"]
    ) -> tuple[Float[Tensor, "sample dim"], Float[Tensor, " dim"] | None]:
        """Embed one modality; return its embeddings and its substitute.

        Raises:
            ValueError: the batch has too few samples with the modality to train on.
        """
        column = self.modalities.index(name)
        try:
            return self.missing_modality(
                self._encoder(name), self.norms[name], inputs, available, column=column
            )
        except FewSamplesError as error:
            raise error.at(f"{name} in a batch of {len(available)}") from error
        except ValueError as error:
            raise ValueError(f"{name} in a batch of {len(available)}: {error}") from error

    def _encoder(self, name: str) -> Callable[[Tensor], Tensor]:
        """Return the encoder of a modality, in chunks where the task says so."""
        encoder, at_a_time = self.encoders[name], self.encode_at_a_time
        if self.training and at_a_time is not None:
            return partial(encode_in_chunks, encoder, at_a_time=at_a_time)
        return encoder


class _UnitLength(nn.Module):
    """Scale to length 1."""

    def __init__(self, dim: int):
        super().__init__()

    def forward(self, z: Tensor) -> Tensor:
        return functional.normalize(z, dim=-1)


class _GaussianNorm(nn.Module):
    """Normalize the means and limit the log variances that follow them.

    Args:
        norm: normalizes the means.
        dim: the number of means.
    """

    def __init__(self, norm: nn.Module, dim: int):
        super().__init__()
        self.norm = norm
        self.dim = dim

    def forward(self, z: Tensor) -> Tensor:
        means, log_variances = z.split(self.dim, dim=-1)
        limited = log_variances.clamp(-_MOST_LOG_VARIANCE, _MOST_LOG_VARIANCE)
        return torch.cat([self.norm(means), limited], dim=-1)


_NORMS = {"l2": _UnitLength, "layer_norm": nn.LayerNorm}


def build_model(
    task: Pretraining, store: InputSource, *, seed: int, spread: bool = False
) -> MultimodalEncoder:
    """Build a model with new weights.

    Args:
        task: has the encoders, their width and norm, and the missing-modality method.
        store: has the shapes of the inputs.
        seed: seed of the weights; the global random state is left unchanged.
        spread: encoders give a mean and a log variance; see `MultimodalEncoder`.

    Raises:
        DefinitionError: an encoder does not accept the arguments of the task, shall run in chunks
            and normalises over the batch, or shall give tokens of Gaussians.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders, problems = {}, []
        for name in task.modalities:
            named = task.encoders[name]
            shape = store.inputs(name, np.zeros(0, dtype=np.int64)).shape[1:]
            try:
                encoders[name] = build_encoder(named, shape, 2 * task.dim if spread else task.dim)
            except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
                problems.append(f"task '{task.name}': encoders.{name}: {error}")
            if spread and named.arguments.get("tokens", 1) != 1:
                problems.append(
                    f"task '{task.name}': encoders.{name}: tokens is {named.arguments['tokens']}, "
                    f"but the objective '{task.objective.name}' reads means and variances, not "
                    "tokens. Leave tokens out."
                )
        problems += _chunking_problems(task, encoders)
        if problems:
            raise DefinitionError(*problems, code="CS-F020")
        return MultimodalEncoder(
            encoders,
            dim=task.dim,
            norm=task.norm,
            missing_modality=task.missing_modality,
            spread=spread,
            encode_at_a_time=task.encode_at_a_time,
        )


def build_encoder(named: EncoderConfig, shape: tuple[int, ...], dim: int) -> nn.Module:
    """Build an encoder with new weights or those of its file, frozen or adapted as its task says.

    Args:
        named: its name, arguments and fields.
        shape: the shape of one input.
        dim: width of the output.

    Raises:
        DefinitionError: the file of weights is missing or not the one of the task's digest.
        ValueError: the encoder or its adapter does not accept its arguments.
    """
    weights = named.arguments.get(WEIGHTS)
    if isinstance(weights, str):
        check_weights(Path(weights), named.sha256)
    encoder = resolve(named.name, ENCODERS)(shape, dim, **named.arguments)
    if getattr(encoder, "is_frozen", False) and not named.frozen:
        raise ValueError(
            f"'{named.name}' computes no gradients of its weights; expected frozen = true. Add it."
        )
    if named.frozen:
        arguments = {key: value for key, value in named.arguments.items() if key != WEIGHTS}
        definition = json.dumps({"name": named.name, **arguments}, sort_keys=True)
        return FrozenEncoder(encoder, shape, definition=definition)
    if named.adapter is not None:
        adapter = resolve(named.adapter.name, ADAPTERS)(**named.adapter.arguments)
        return AdaptedEncoder(encoder, adapter)
    return encoder


def _chunking_problems(task: Pretraining, encoders: Mapping[str, nn.Module]) -> list[str]:
    """List the reasons why the encoders cannot run in chunks; empty if they can."""
    if task.encode_at_a_time is None or task.batch_statistics == "parts":
        return []
    layers = {name: batch_dependent_modules(encoder) for name, encoder in encoders.items()}
    return [
        f"task '{task.name}': encoders.{name} normalises over the batch, in {', '.join(found[:3])}"
        f"{f' and {len(found) - 3} other layers' if len(found) > 3 else ''}; expected none, since "
        f"encode_at_a_time = {task.encode_at_a_time} would change its gradients. Take an encoder "
        'without it, leave encode_at_a_time out, or set batch_statistics = "parts" to have each '
        "part normalised by its own statistics. That is not what a whole batch learns."
        for name, found in layers.items()
        if found
    ]


@torch.inference_mode()
def reencode_modality(
    model: MultimodalEncoder,
    store: CohortStore,
    embeddings: Embeddings,
    modality: str,
    *,
    batch_size: int = 256,
) -> Embeddings:
    """Return the embeddings with one modality encoded again from a changed store, on the CPU."""
    training, dtype = model.training, next(model.parameters()).dtype
    model.eval()
    column = embeddings.modalities.index(modality)
    z = embeddings.z.clone()
    rows = embeddings.rows.numpy()
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        batch = load_batch(store, rows[part], modalities=[modality])
        inputs = batch.inputs[modality].to(dtype)
        z[part, column] = model.encode(modality, inputs, batch.available[:, 0])[0].float()
    model.train(training)
    return replace(embeddings, z=z)


@torch.inference_mode()
def embed_rows(
    model: MultimodalEncoder,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    *,
    batch_size: int = 256,
    loader: BatchLoader | None = None,
) -> Embeddings:
    """Embed some rows with all their present modalities, on the CPU in float32.

    Every row is encoded once. Modalities that a query may not use are hidden afterwards.

    Args:
        model: on the device of the loader.
        store: a prepared cohort.
        rows: the rows to embed.
        batch_size: rows per batch.
        loader: of the same store, with the model's modalities; by default one on the CPU.
    """
    loader = loader or open_loader(store, model.modalities, device=torch.device("cpu"))
    training, dtype = model.training, next(model.parameters()).dtype
    model.eval()
    parts = []
    for start in range(0, max(len(rows), 1), batch_size):
        batch = loader.batch(rows[start : start + batch_size])
        inputs = {name: value.to(dtype) for name, value in batch.inputs.items()}
        parts.append(model(Batch(inputs, batch.available, batch.modalities, batch.rows)))
    model.train(training)
    substitute = parts[0].substitute
    return Embeddings(
        z=torch.cat([part.z.float().cpu() for part in parts]),
        available=torch.cat([part.available.cpu() for part in parts]),
        modalities=model.modalities,
        rows=torch.cat([part.rows.cpu() for part in parts]),
        substitute=None if substitute is None else substitute.float().cpu(),
        spread=model.spread,
        fill=model.fill,
    )

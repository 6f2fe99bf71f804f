"""`MultimodalEncoder`: one encoder per modality, from `Batch` to `Embeddings`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.batch import Batch, load_batch
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import BatchLoader, open_loader
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.models.gradient_cache import batch_dependent_modules, encode_in_chunks
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.registry import ENCODERS, resolve


class MultimodalEncoder(nn.Module):
    """Encoders whose outputs are brought to one length.

    An unavailable input cannot change any embedding: see `missing_modality/base.py`.

    Args:
        encoders: for each modality `[sample, ...]` → `[sample, dim]`, in the order of `modalities`.
        dim: width of the embeddings.
        norm: `l2` or `layer_norm`, see `Pretraining`.
        missing_modality: a name of `list missing_modality`, see `Pretraining`.
        encode_at_a_time: how many samples' activations training holds; None for the whole batch's.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        dim: int,
        norm: str,
        missing_modality: str,
        encode_at_a_time: int | None = None,
    ):
        super().__init__()
        self.encode_at_a_time = encode_at_a_time
        self.modalities = tuple(encoders)
        self.encoders = nn.ModuleDict(encoders)
        self.norms = nn.ModuleDict({name: NORMS[norm](dim) for name in encoders})
        method = missing_modality_method(missing_modality)
        self.missing_modality = method.handler(len(encoders), dim)
        self.dim = dim

    def forward(self, batch: Batch) -> Embeddings:
        """Embeddings of what is present in a batch; the other slots are zero."""
        encoded = [
            self.encode(name, batch.inputs[name], batch.present[:, column])
            for column, name in enumerate(self.modalities)
        ]
        stand_ins = [stand_in for _, stand_in in encoded if stand_in is not None]
        return Embeddings(
            z=torch.stack([vectors for vectors, _ in encoded], dim=1),
            present=batch.present,
            modalities=self.modalities,
            rows=batch.rows,
            substitute=torch.stack(stand_ins) if stand_ins else None,
        )

    def encode(
        self, name: str, inputs: Float[Tensor, "sample ..."], present: Bool[Tensor, " sample"]
    ) -> tuple[Float[Tensor, "sample dim"], Float[Tensor, " dim"] | None]:
        """Embeddings of one modality and what stands in for it, as `MissingModalityHandler`.

        Raises:
            ValueError: the modality cannot be learned from in this batch.
        """
        column = self.modalities.index(name)
        try:
            return self.missing_modality(
                self._encoder(name), self.norms[name], inputs, present, column=column
            )
        except ValueError as error:
            raise ValueError(f"{name} in a batch of {len(present)}: {error}") from error

    def _encoder(self, name: str) -> Callable[[Tensor], Tensor]:
        encoder, at_a_time = self.encoders[name], self.encode_at_a_time
        if self.training and at_a_time is not None:
            return partial(encode_in_chunks, encoder, at_a_time=at_a_time)
        return encoder


class _Unit(nn.Module):
    """Scale to length 1."""

    def __init__(self, dim: int):
        super().__init__()

    def forward(self, z: Tensor) -> Tensor:
        return functional.normalize(z, dim=-1)


NORMS = {"l2": _Unit, "layer_norm": nn.LayerNorm}


def build_model(task: Pretraining, store: CohortStore, *, seed: int) -> MultimodalEncoder:
    """A model with fresh weights, as a task says.

    Args:
        task: encoders, width, norm and the missing-modality method.
        store: shapes of the inputs.
        seed: draws the weights; the global random stream is left as it was.

    Raises:
        DefinitionError: an encoder does not take the arguments that the task gives it, or is to run
            in parts and normalises over the batch.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders, problems = {}, []
        for name in task.modalities:
            named = task.encoders[name]
            encoder = resolve(named.name, ENCODERS, what="encoder")
            shape = store.inputs(name, np.zeros(0, dtype=np.int64)).shape[1:]
            try:
                encoders[name] = encoder(shape, task.dim, **named.arguments)
            except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
                problems.append(f"task '{task.name}': encoders.{name}: {error}")
        problems += _of_parts(task, encoders)
        if problems:
            raise DefinitionError(*problems)
        return MultimodalEncoder(
            encoders,
            dim=task.dim,
            norm=task.norm,
            missing_modality=task.missing_modality,
            encode_at_a_time=task.encode_at_a_time,
        )


def _of_parts(task: Pretraining, encoders: Mapping[str, nn.Module]) -> list[str]:
    """Why the encoders cannot run in parts as the task says; empty if they can."""
    if task.encode_at_a_time is None or task.batch_statistics == "parts":
        return []
    layers = {name: batch_dependent_modules(encoder) for name, encoder in encoders.items()}
    return [
        f"task '{task.name}': encoders.{name} normalises over the batch, in {', '.join(found[:3])}"
        f"{f' and {len(found) - 3} other layers' if len(found) > 3 else ''}; expected none, since "
        f"encode_at_a_time = {task.encode_at_a_time} would change its gradients. Take an encoder "
        'without it, leave encode_at_a_time out, or set batch_statistics = "parts" to have each '
        "part normalised by its own statistics, which is not what a whole batch learns."
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
    """The embeddings with one modality's encoded from what a store shows of it now, on the CPU."""
    training, dtype = model.training, next(model.parameters()).dtype
    model.eval()
    column = embeddings.modalities.index(modality)
    z = embeddings.z.clone()
    rows = embeddings.rows.numpy()
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        batch = load_batch(store, rows[part], modalities=[modality])
        inputs = batch.inputs[modality].to(dtype)
        z[part, column] = model.encode(modality, inputs, batch.present[:, 0])[0].float()
    model.train(training)
    return replace(embeddings, z=z)


@torch.inference_mode()
def embed_rows(
    model: MultimodalEncoder,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    *,
    batch_size: int = 256,
    feed: BatchLoader | None = None,
) -> Embeddings:
    """Embeddings of some rows with all that they have, on the CPU in float32.

    Every row is encoded once: what a query may not use is hidden afterwards.

    Args:
        model: where the feed's batches are.
        store: what is encoded.
        rows: of it.
        batch_size: rows at a time.
        feed: of the same store, with the model's modalities; None for the CPU.
    """
    feed = feed or open_loader(store, model.modalities, device=torch.device("cpu"))
    training, dtype = model.training, next(model.parameters()).dtype
    model.eval()
    parts = []
    for start in range(0, max(len(rows), 1), batch_size):
        batch = feed.batch(rows[start : start + batch_size])
        inputs = {name: value.to(dtype) for name, value in batch.inputs.items()}
        parts.append(model(Batch(inputs, batch.present, batch.modalities, batch.rows)))
    model.train(training)
    substitute = parts[0].substitute
    return Embeddings(
        z=torch.cat([part.z.float().cpu() for part in parts]),
        present=torch.cat([part.present.cpu() for part in parts]),
        modalities=model.modalities,
        rows=torch.cat([part.rows.cpu() for part in parts]),
        substitute=None if substitute is None else substitute.float().cpu(),
    )

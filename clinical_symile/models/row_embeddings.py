"""Embed rows of a store by a `MultimodalEncoder`, in batches."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings, SetEncodings
from clinical_symile.data.loader import Batch, BatchLoader, load_batch, open_loader
from clinical_symile.data.store import CohortStore
from clinical_symile.models._summaries import split_summary
from clinical_symile.models.multimodal import MultimodalEncoder


@torch.inference_mode()
def reencode_modality(
    model: MultimodalEncoder,
    store: CohortStore,
    embeddings: Embeddings,
    modality: str,
    *,
    batch_size: int = 256,
) -> Embeddings:
    """Return the embeddings with one modality encoded again from a changed store, on the CPU.

    With a method that encodes by set, all modalities are encoded again.
    """
    if model.encodes_by_set:
        return embed_rows(model, store, embeddings.rows.numpy(), batch_size=batch_size)
    training, dtype = model.training, next(model.parameters()).dtype
    model.eval()
    column = embeddings.modalities.index(modality)
    made, rows = embeddings.readable.clone(), embeddings.rows.numpy()
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        batch = load_batch(store, rows[part], modalities=[modality])
        inputs = batch.inputs[modality].to(dtype)
        made[part, column] = model.encode(modality, inputs, batch.available[:, 0])[0].float()
    model.train(training)
    z, summary = split_summary(made, model.missing_modality)
    return replace(embeddings, z=z, summary=summary)


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

    Every row is encoded once. Modalities that a query may not use are hidden afterwards. With a
    method that encodes by set, every row is encoded once more for each other set that is asked for.

    Args:
        model: on the device of the loader.
        store: a prepared cohort.
        rows: the rows to embed.
        batch_size: rows per batch.
        loader: of the same store, with the model's modalities; by default one on the CPU.
    """
    loader = loader or open_loader(store, model.modalities, device=torch.device("cpu"))
    embeddings = _embed_batches(model, loader, rows, batch_size)
    if not model.encodes_by_set:
        return embeddings

    @cache
    def encode(code: int) -> Tensor:
        if not code:
            return torch.zeros_like(embeddings.z)
        visible = [bool(code >> column & 1) for column in range(len(model.modalities))]
        return _embed_batches(model, loader, rows, batch_size, visible=visible).z

    return replace(embeddings, sets=SetEncodings(encode, torch.arange(len(rows))))


@torch.inference_mode()
def _embed_batches(
    model: MultimodalEncoder,
    loader: BatchLoader,
    rows: Int[np.ndarray, " sample"],
    batch_size: int,
    *,
    visible: Sequence[bool] | None = None,
) -> Embeddings:
    """Embed some rows batch by batch, as if they had only what is visible."""
    training, dtype = model.training, next(model.parameters()).dtype
    model.eval()
    parts = []
    for start in range(0, max(len(rows), 1), batch_size):
        batch = loader.batch(rows[start : start + batch_size])
        inputs = {name: value.to(dtype) for name, value in batch.inputs.items()}
        converted = Batch(inputs, batch.available, batch.modalities, batch.rows)
        seen = None if visible is None else batch.available.new_tensor(visible)
        parts.append(model(converted, seen))
    model.train(training)
    substitute = parts[0].substitute
    made = torch.cat([part.readable.float().cpu() for part in parts])
    z, summary = split_summary(made, model.missing_modality)
    return Embeddings(
        z=z,
        summary=summary,
        available=torch.cat([part.available.cpu() for part in parts]),
        modalities=model.modalities,
        rows=torch.cat([part.rows.cpu() for part in parts]),
        substitute=None if substitute is None else substitute.float().cpu(),
        spread=model.spread,
        fill=model.fill,
        fill_reads_vectors=model.fill_reads_vectors,
    )

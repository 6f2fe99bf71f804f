"""Draw and keep the bank of train embeddings that stands for a missing query modality."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.errors import DataError
from clinical_symile.files import write_file
from clinical_symile.objectives.missing_query import Bank

FILE_NAME = "bank.safetensors"


def draw_bank(train: Embeddings, *, size: int, seed: int) -> Bank:
    """Draw train embeddings of each modality at random, without replacement.

    Args:
        train: embeddings of the samples that the model learned from; no other enters the bank.
        size: entries of each modality; fewer where fewer train samples have it.
        seed: of the draw, and of how several missing modalities are shuffled.

    Returns:
        The bank; a modality that no train sample has is left out.
    """
    bank = {}
    for column, name in enumerate(train.modalities):
        rows = np.flatnonzero(train.available[:, column].numpy())
        rng = np.random.default_rng([seed, column])
        drawn = rng.permutation(rows)[:size]
        if len(drawn):
            bank[name] = train.z[torch.from_numpy(drawn), column].clone()
    return Bank(bank, seed)


def write_bank(bank: Bank, folder: Path) -> None:
    """Keep a bank in a run's folder; it holds vectors without the names of their samples."""
    tensors = {name: z.contiguous() for name, z in bank.z.items()}
    about = {"seed": str(bank.seed)}
    write_file(folder / FILE_NAME, lambda file: save_file(tensors, file, metadata=about))


def read_bank(folder: Path, *, seed: int) -> Bank | None:
    """Read the bank of a run's folder; None where there is none.

    Raises:
        DataError: the file cannot be read.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return None
    try:
        return Bank(load_file(file), seed)
    except Exception as error:  # safetensors raises its own error, which it does not export
        raise DataError(
            f"{file}: cannot be read: {error}. Remove it; `clinical-symile evaluate` draws the "
            "same bank again.",
            code="CS-R015",
        ) from error

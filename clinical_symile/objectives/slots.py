"""The slots of a batch that a loss computes with, and the errors of batches that are too small."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings

MORE_WITH_TWO = "Raise batch_size, or train on a cohort where more samples have two modalities."


class FewSamplesError(ValueError):
    """A batch that has too few samples of what an objective or an encoder needs.

    Args:
        problem: what is needed and what the batch has, as a sentence.
        advice: what helps where a larger batch has more of such samples, as a sentence.
    """

    def __init__(self, problem: str, advice: str):
        super().__init__(problem, advice)
        self.problem, self.advice = problem, advice

    def __str__(self) -> str:
        return f"{self.problem} {self.advice}"

    def at(self, where: str) -> "FewSamplesError":
        """Return the same error with the place before it."""
        return FewSamplesError(f"{where}: {self.problem}", self.advice)


def prepare_slots(
    z: Float[Tensor, "sample modality dim"], available: Bool[Tensor, "sample modality"] | None
) -> tuple[Float[Tensor, "sample modality dim"], Bool[Tensor, "sample modality"]]:
    """Return embeddings that are zero where unavailable and float32 at least, and availability.

    Raises:
        ValueError: fewer than two modalities, or `available` has another shape than `z`.
    """
    if z.shape[1] < 2:
        raise ValueError(f"embeddings have {z.shape[1]} modality; expected at least 2 to contrast.")
    if available is None:
        available = torch.ones(z.shape[:2], dtype=torch.bool, device=z.device)
    if available.shape != z.shape[:2]:
        raise ValueError(
            f"available has shape {list(available.shape)}; expected {list(z.shape[:2])}, one for "
            "each sample and modality of z."
        )
    if z.dtype in (torch.bfloat16, torch.float16):
        z = z.float()
    if available.all():
        return z, available  # without a copy, of which a wide batch has no room
    return torch.where(available[:, :, None], z, torch.zeros_like(z)), available


def other_columns(modalities: int, target: int) -> list[int]:
    """Return the columns of all modalities but one."""
    return [m for m in range(modalities) if m != target]


def filled_slots(embeddings: Embeddings) -> Float[Tensor, "sample modality dim"]:
    """Return embeddings with substitutes, as `prepare_slots` does."""
    return prepare_slots(*embeddings.with_substitutes())[0]


@contextmanager
def open_slots(
    embeddings: Embeddings,
) -> Iterator[tuple[Float[Tensor, "sample modality dim"], Bool[Tensor, "sample modality"]]]:
    """Give the vectors and availability that a loss computes with, and end autocast meanwhile."""
    z, available = prepare_slots(*embeddings.with_substitutes())
    with torch.autocast(z.device.type, enabled=False):
        yield z, available


def complete_samples(
    available: Bool[Tensor, "sample modality"], *, objective: str
) -> Bool[Tensor, " sample"]:
    """Return which samples have every modality.

    Args:
        available: True where a sample has the modality.
        objective: the step that needs them, such as "a GRAM step", for the message.

    Raises:
        FewSamplesError: fewer than two samples are complete.
    """
    complete = available.all(dim=1)
    if complete.sum() < 2:
        raise few_complete(len(available), int(complete.sum()), objective=objective)
    return complete


def modality_counts(
    available: Bool[Tensor, "sample modality"], *, objective: str
) -> Int[Tensor, " sample"]:
    """Return the number of modalities of each sample.

    Args:
        available: True where a sample has the modality.
        objective: the step that needs them, for the message.

    Raises:
        FewSamplesError: fewer than two samples have two modalities.
    """
    counts = available.sum(dim=1)
    several = int((counts >= 2).sum())
    if several < 2:
        raise FewSamplesError(
            f"{objective} needs at least 2 samples with two modalities or more; this batch of "
            f"{len(available)} has {several}.",
            MORE_WITH_TWO,
        )
    return counts


def few_complete(samples: int, complete: int, *, objective: str) -> FewSamplesError:
    """Return the error of a batch with fewer than two complete samples."""
    return FewSamplesError(
        f"{objective} needs at least 2 complete samples; this batch of {samples} has {complete}.",
        "Raise batch_size, or train on a cohort where more samples are complete.",
    )


def no_pair(samples: int, *, objective: str) -> FewSamplesError:
    """Return the error of a batch in which no pair of modalities has two samples."""
    return FewSamplesError(
        f"{objective} needs at least 2 samples with the same two modalities; this batch of "
        f"{samples} has no such pair.",
        MORE_WITH_TWO,
    )

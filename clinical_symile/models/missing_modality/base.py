"""The contract of a missing-modality method: how to learn from samples that lack a modality.

| `missing_modality` | learns from samples with | a missing modality |
|---|---|---|
| `complete` | every modality | does not occur in training; scores leave it out |
| `drop` | two modalities or more | losses and scores leave it out: for Symile, the masked cube |
| `subsets` | two modalities or more | is left out; the loss is over every subset of modalities |
| `zero` | two modalities or more | has a vector of zeros |
| `mean` | two modalities or more | has the mean embedding of train samples |
| `learned` | two modalities or more | has a learned vector |
| `dropout` | two modalities or more | as `learned`; each epoch hides some of what is available |
| `bank` | two modalities or more | has a learned vector of the set that is available |
| `predicted` | two modalities or more | has a vector that is predicted from what is available |
| `adapted` | two modalities or more | chooses SSF adapters of the others' encoders |
| `adapted_lora` | two modalities or more | chooses LoRA adapters of the others' encoders |
| `projected` | two modalities or more | has a vector that is projected from tokens of the others |
| `proxies` | two modalities or more | has the mean of the others' proxy tokens for it |
| `translated` | two modalities or more | has the mean translation of what is available |
| `disentangled` | two modalities or more | has what the available ones share with it |
| `imputed` | two modalities or more | is left out; scores have five imputations of it |
| `imputed_values` | two modalities or more | as `imputed`, and so has an unmeasured lab value |
| `neighbours` | two modalities or more | is left out; scores have that of similar train samples |
| `prototypes` | two modalities or more | is left out; scores have a mixture of train centroids |
| `indicator` | one modality or more | enters its encoder as zeros, with an indicator |

`docs/explanation/missingness.md` says what each method assumes and when it misleads.

A method of your own is a `MissingModalityMethod`, named `package.module:NAME`. Its handler keeps
one promise, which `clinical-symile check --canary` tests: an unavailable input may hold any value,
such as NaN or another subject's recording, and no embedding and no gradient changes. A method whose
replacement depends on the other modalities has a `FillingHandler`: it sees embeddings after hiding.
One that trains nothing of its own has `fit`: it makes replacements of train embeddings afterwards.
With `panel`, values that were not measured are imputed too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.slots import FewSamplesError
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import MISSING_MODALITY_METHODS

_LEAST_SQUARE = 1e-12

Vectors = Float[Tensor, "sample dim"]
Encode = Callable[[Tensor], Tensor]
Fill = Callable[[Tensor, Tensor], Tensor]  # see `FillingHandler.fill`
ImputeValues = Callable[[np.ndarray, Sequence[str]], np.ndarray]  # see `PanelImputation`


class MissingModalityHandler(Protocol):
    """Protocol of the module that makes one modality's embeddings, available or not.

    It is made with the number of modalities and the width of the embeddings. With an attribute
    `encodes_available_only = True` it gives the encoder inputs of available samples alone, so that
    features of frozen encoders may be computed before. The embedding of an
    available input is `norm(encoder(input))`; that of an unavailable one is zero.
    """

    def __call__(
        self,
        encoder: Encode,
        norm: nn.Module,
        inputs: Float[Tensor, "sample ..."],
        available: Bool[Tensor, " sample"],
        *,
        column: int,
    ) -> tuple[Vectors, Float[Tensor, " dim"] | None]:
        """Return embeddings of a modality, and the vector that replaces a missing one.

        Args:
            encoder: the modality's encoder.
            norm: normalizes the encoder's output.
            inputs: the encoder's inputs; any values where unavailable.
            available: True where the modality may be used.
            column: the position of the modality among all.

        Returns:
            The embeddings, and the replacement; None if objectives leave a missing modality out.
        """
        ...


class DropModality(nn.Module):
    """Encode available samples only and replace nothing."""

    encodes_available_only = True
    freezes_encoders = False

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.modalities, self.dim = modalities, dim

    def forward(
        self,
        encoder: Encode,
        norm: nn.Module,
        inputs: Float[Tensor, "sample ..."],
        available: Bool[Tensor, " sample"],
        *,
        column: int,
    ) -> tuple[Vectors, None]:
        """See `MissingModalityHandler`."""
        return encode_available(encoder, norm, inputs, available, dim=self.dim), None


class FillingHandler(DropModality):
    """A handler whose replacement of a missing embedding depends on what is available.

    It has parameters, and gives `fill`. The embeddings are hidden first, so that what it makes in
    evaluation rests on what the pattern leaves. A contrastive loss makes replacements for each
    target anew, without the target; see `objectives.replacements`.

    Attributes:
        reads_vectors: False if `fill` reads `available` alone.

    Args:
        modalities: the number of modalities.
        dim: the width of the embeddings.
    """

    reads_vectors: ClassVar[bool] = True

    def fill(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Return a vector for each slot, which is normalized and used where it is missing.

        Args:
            z: the embeddings; zero where unavailable.
            available: True where a sample has the modality; a sample may have none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `fill`; define it.")

    def extra_losses(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        norms: Sequence[Callable[[Tensor], Tensor]],
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return terms of the loss of a batch by name, with their weights; by default none.

        Args:
            z: the embeddings of the whole batch, over all processes; zero where unavailable.
            available: True where a sample has the modality.
            norms: normalizes what replaces each modality.
        """
        return {}


class TokenHandler(DropModality):
    """A handler that reads tokens of encoders, such as the places of a feature map.

    Of a modality's tokens it keeps a summary, which is made with the embedding and from this
    modality alone. So a sample is encoded once, and modalities are hidden later. The `fill` and
    `extra_losses` of one that is a `FillingHandler` too read vectors that are followed by the
    summary.
    """

    summary_width: int

    def connect(self, encoders: Mapping[str, nn.Module]) -> None:
        """Make what depends on the encoders.

        Args:
            encoders: the encoder of each modality, in order.

        Raises:
            ValueError: an encoder gives no tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `connect`; define it.")

    def summarize(
        self,
        tokens: Float[Tensor, "sample token width"],
        *,
        column: int,
        exists: Bool[Tensor, "sample token"] | None = None,
    ) -> Float[Tensor, "sample number"]:
        """Return what is kept of the tokens of one modality.

        Args:
            tokens: those of available samples; zero where they do not exist.
            column: the position of the modality among all.
            exists: True for the tokens that exist, such as those of measured analytes; None if all
                do.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `summarize`; define it.")

    def updates_of(self, column: int) -> Mapping[str, nn.Module]:
        """Return updates of an encoder's layers by name; by default none."""
        return {}


class SetEncodingHandler(FillingHandler):
    """A handler whose encoding of a sample depends on the set of modalities that it has.

    The model's own weights are frozen. Batches with several sets are encoded set by set, and
    evaluation encodes all samples once for each set that occurs.
    """

    freezes_encoders = True

    def connect(self, encoders: Mapping[str, nn.Module]) -> None:
        """Make what depends on the encoders, which are frozen already.

        Args:
            encoders: the encoder of each modality, in order.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `connect`; define it.")

    def encoder_of_set(self, encoder: nn.Module, *, column: int, code: int) -> nn.Module:
        """Return the module that encodes a modality of samples with a set of modalities.

        Args:
            encoder: the modality's own encoder.
            column: the position of the modality among all.
            code: the number of the set, see `pattern_codes`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `encoder_of_set`; define it.")

    def has_moved(self, code: int) -> bool:
        """Return True if training has changed what encodes a set, or if the set is whole."""
        raise NotImplementedError(f"{type(self).__name__} has no `has_moved`; define it.")


def encode_available(
    encoder: Encode,
    norm: nn.Module,
    inputs: Float[Tensor, "sample ..."],
    available: Bool[Tensor, " sample"],
    *,
    dim: int,
) -> Vectors:
    """Encode the available samples alone, so that batch statistics are computed from these only.

    Raises:
        FewSamplesError: there is one sample only, in training.
    """
    z = inputs.new_zeros(len(available), dim)
    count = int(available.sum())
    if not count:
        return z
    if norm.training and count == 1:
        raise FewSamplesError(
            "only one sample has it, and batch statistics need at least 2.", "Raise batch_size."
        )
    # Avoid copying the inputs where all are available: they may be large.
    encoded = norm(encoder(inputs if count == len(inputs) else inputs[available]))
    return z.to(encoded.dtype).index_put((available.nonzero()[:, 0],), encoded)


def scaled_vectors(
    z: Float[Tensor, "sample modality dim"],
) -> Float[Tensor, "sample modality dim"]:
    """Scale each embedding so that its numbers have a mean square of 1; zeros stay zeros."""
    return z / z.square().mean(dim=2, keepdim=True).clamp(min=_LEAST_SQUARE).sqrt()


def keep_objective(make: Callable[[], Objective], modalities: int) -> Objective:
    """Return the task's objective unchanged."""
    return make()


@dataclass(frozen=True, kw_only=True)
class PanelImputation:
    """Imputations of values of a panel, such as labs, that were not measured.

    Attributes:
        number: the number of imputations, over which scores and log odds are averaged.
        fit_values: makes a function of `[sample, analyte]` values, NaN where not measured, and of
            the samples' names, that fills these in; from the values of the train samples and a
            seed. What it fills in depends on the sample's own values and name alone.
        fit_vectors: makes what replaces a missing modality from the embeddings of train samples,
            whose values are filled in, and a seed; see `MissingModalityMethod.fit`.
    """

    number: int
    fit_values: Callable[[np.ndarray, int], ImputeValues]
    fit_vectors: Callable[[Embeddings, int], Fill]


@dataclass(frozen=True, kw_only=True)
class MissingModalityMethod:
    """One way to learn from samples that lack a modality.

    Attributes:
        handler: makes the `MissingModalityHandler` from the number of modalities and the width.
        min_modalities: number of modalities that a train sample must have; None for all that
            the missingness pattern leaves visible.
        dropout_rate: the share of available modalities that each epoch hides anew, unless the
            task's `modality_dropout` says. Every sample keeps at least one.
        wrap_objective: makes the objective from a function that makes the task's own.
        fit: makes what replaces missing modalities in use from the embeddings of the train samples,
            zero where unavailable, and a seed: functions as `FillingHandler.fill`. Of several, such
            as multiple imputations, scores and log odds are averaged. Training leaves out what is
            missing. None if nothing is fitted.
        panel: also imputes values of panels; None if what was not measured is read as such.
        display_name: a short name.
        description: one sentence whose subject is the model, such as "Trains on all admissions.";
            reports show it.
        source: the publication; empty if there is none.
        needs_start: the task must start from a trained run, whose weights stay as they are.
    """

    handler: Callable[[int, int], nn.Module]
    min_modalities: int | None = 2
    dropout_rate: float = 0.0
    wrap_objective: Callable[[Callable[[], Objective], int], Objective] = keep_objective
    fit: Callable[[Embeddings, int], Sequence[Fill]] | None = None
    panel: PanelImputation | None = None
    display_name: str = ""
    description: str = ""
    source: str = ""
    needs_start: bool = False


def missing_modality_method(name: str) -> MissingModalityMethod:
    """Return the method that a pretraining task names.

    Raises:
        DefinitionError: the name is unknown or cannot be imported.
    """
    return resolve(name, MISSING_MODALITY_METHODS)

"""`Embeddings`: a model's vectors with the modalities they may be used for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def pattern_codes(available: Bool[Tensor, "sample modality"]) -> Int[Tensor, " sample"]:
    """Return a number for the set of available modalities of each sample.

    It is the sum of 2^m over the columns m that are available, so that no modality has 0.
    """
    powers = 2 ** torch.arange(available.shape[1], device=available.device)
    return (available * powers).sum(dim=1)


@dataclass(frozen=True, eq=False, repr=False)
class SetEncodings:
    """The vectors of samples for each set of modalities, where an encoding depends on the set.

    Attributes:
        encode: a function of a set's number, see `pattern_codes`, that returns the vectors of all
            samples as if each had the set's modalities alone; zero for those that it lacks.
        index: the position of each sample among those of `encode`.
    """

    encode: Callable[[int], Tensor]
    index: Int[Tensor, " sample"]

    def vectors(
        self, available: Bool[Tensor, "sample modality"]
    ) -> Float[Tensor, "sample modality dim"]:
        """Return the vectors of each sample, encoded as its own set of modalities says.

        Args:
            available: True where a sample has the modality.
        """
        codes = pattern_codes(available)
        parts = [(c, (codes == c).nonzero()[:, 0]) for c in codes.unique().tolist()]
        made = [(at, self.encode(code)[self.index[at]]) for code, at in parts]
        if not made:
            return self.encode(0)[self.index]
        z = torch.empty(len(available), *made[0][1].shape[1:], dtype=made[0][1].dtype)
        for at, vectors in made:
            z[at] = torch.where(available[at][:, :, None], vectors, 0.0)
        return z


@dataclass(frozen=True, repr=False)
class Embeddings:
    """One vector per sample and modality.

    Read `z` only together with `available`. A model makes the vectors of unavailable modalities
    zero, but a test may fill them with any values.

    Attributes:
        z: the vectors.
        available: True where the modality is present in the store and visible to the model.
        modalities: the columns of `available`.
        rows: the samples, as rows of the store.
        substitute: for each modality the vector that replaces it where it is missing; None if
            objectives leave a missing modality out, or if there is `fill`.
        fill: a function of `readable` and `available` that returns the vectors with missing ones
            replaced, where the replacement depends on what is available. It reads available
            vectors alone, so that it is called after everything is hidden. None if there is none.
        fill_reads_vectors: False if `fill` depends on `available` alone. What it makes then tells
            nothing of a vector, and a loss may retrieve it as it may retrieve a substitute.
        spread: True if each embedding is a Gaussian: a vector holds its mean, followed by as many
            log variances. Whatever keeps or moves a mean does the same with its variance.
        summary: what is kept of each modality's tokens, for `fill` or a fusion; None if neither
            reads tokens.
        sets: the vectors for other sets of modalities, of a method that encodes by set; otherwise
            None. Then `restricted_to` takes the place of `with_visible`.
    """

    z: Float[Tensor, "sample modality dim"]
    available: Bool[Tensor, "sample modality"]
    modalities: tuple[str, ...]
    rows: Int[Tensor, " sample"]
    substitute: Float[Tensor, "modality dim"] | None = None
    spread: bool = False
    fill: Callable[[Tensor, Tensor], Tensor] | None = None
    summary: Float[Tensor, "sample modality number"] | None = None
    sets: SetEncodings | None = None
    fill_reads_vectors: bool = True

    def __post_init__(self) -> None:
        if self.spread and self.z.shape[-1] % 2:
            raise ValueError(
                f"embeddings with variances have width {self.z.shape[-1]}; expected an even one: "
                "means, followed by as many log variances."
            )

    def __repr__(self) -> str:
        samples, _, dim = self.z.shape
        return f"Embeddings({samples} samples, {', '.join(self.modalities)}, dim {dim})"

    @property
    def means(self) -> Float[Tensor, "sample modality mean"]:
        """The vectors without their log variances; all of `z` if there are none."""
        return self.z[..., : self.z.shape[-1] // 2] if self.spread else self.z

    @property
    def log_variance(self) -> Float[Tensor, "sample modality mean"] | None:
        """The log variance of each number of `means`; None if embeddings have none."""
        return self.z[..., self.z.shape[-1] // 2 :] if self.spread else None

    @property
    def readable(self) -> Float[Tensor, "sample modality number"]:
        """The vectors, followed by summaries of tokens if there are any, as `fill` reads them."""
        return self.z if self.summary is None else torch.cat([self.z, self.summary], dim=2)

    @property
    def replaces_missing(self) -> bool:
        """True if a missing modality has a replacement, so that objectives compute with it."""
        return self.substitute is not None or self.fill is not None

    def with_visible(self, visible: Bool[Tensor, "sample modality"]) -> "Embeddings":
        """Return these embeddings with only `visible` modalities available; the rest is zero."""
        available = self.available & visible
        return replace(
            self,
            z=_hidden(self.z, available),
            summary=None if self.summary is None else _hidden(self.summary, available),
            available=available,
        )

    def restricted_to(self, visible: Bool[Tensor, "sample modality"]) -> "Embeddings":
        """Return the embeddings as they were if only `visible` modalities had been encoded.

        Nothing is encoded again unless an encoding depends on the set of modalities.
        """
        hidden = self.with_visible(visible)
        if self.sets is None:
            return hidden
        return replace(hidden, z=self.sets.vectors(hidden.available), sets=None)

    def without(self, modality: str) -> "Embeddings":
        """Return these embeddings with a modality hidden, if a replacement could depend on it.

        A score calls this with its target before it reads replacements of other modalities.
        """
        if self.fill is None:
            return self
        visible = torch.ones_like(self.available)
        visible[:, self.modalities.index(modality)] = False
        return self.with_visible(visible)

    def filled_for(self, target: str) -> "Embeddings":
        """Return the vectors that a loss retrieves a target with, which have no `fill` any more.

        Replacements are made as for a score: without the target. Where the target itself is
        missing it stays so, unless `fill` reads no vectors. A sample that has nothing but the
        target is left out.
        """
        if self.fill is None:
            return self
        column = self.modalities.index(target)
        query = self.without(target)
        z, usable = query.with_substitutes()
        z = z.clone()
        z[:, column] = torch.where(
            self.available[:, column, None], self.z[:, column].to(z), z[:, column]
        )
        usable = usable & query.available.any(dim=1, keepdim=True)
        if self.fill_reads_vectors:
            usable[:, column] &= self.available[:, column]
        return replace(self, z=z, available=usable, fill=None, summary=None, sets=None)

    def take(self, index: Int[Tensor, " taken"]) -> "Embeddings":
        """Return the embeddings of some samples, in the order of `index`."""
        sets = None if self.sets is None else replace(self.sets, index=self.sets.index[index])
        return replace(
            self,
            z=self.z[index],
            summary=None if self.summary is None else self.summary[index],
            available=self.available[index],
            rows=self.rows[index],
            sets=sets,
        )

    def detached(self) -> "Embeddings":
        """Return the same embeddings without gradients."""
        substitute = None if self.substitute is None else self.substitute.detach()
        fill = None if self.fill is None else partial(_fill_without_gradient, self.fill)
        summary = None if self.summary is None else self.summary.detach()
        return replace(self, z=self.z.detach(), summary=summary, substitute=substitute, fill=fill)

    def to(self, device: torch.device | str) -> "Embeddings":
        """Return the same embeddings on another device."""
        z, available, rows = (value.to(device) for value in (self.z, self.available, self.rows))
        substitute = None if self.substitute is None else self.substitute.to(device)
        return replace(
            self,
            z=z,
            summary=None if self.summary is None else self.summary.to(device),
            available=available,
            rows=rows,
            substitute=substitute,
        )

    def select(self, columns: tuple[int, ...]) -> "Embeddings":
        """Return the embeddings of some modalities, given by their columns, encoded as they are."""
        kept = list(columns)
        return replace(
            self,
            z=self.z[:, kept],
            summary=None if self.summary is None else self.summary[:, kept],
            available=self.available[:, kept],
            modalities=tuple(self.modalities[column] for column in kept),
            substitute=None if self.substitute is None else self.substitute[kept],
            fill=None if self.fill is None else partial(self._fill_selected, kept),
            sets=None,
        )

    def _fill_selected(self, kept: list[int], z: Tensor, available: Tensor) -> Tensor:
        """Replace missing vectors of some modalities by what these alone tell."""
        assert self.fill is not None
        every = z.new_zeros(len(z), len(self.modalities), z.shape[2])
        has = available.new_zeros(len(z), len(self.modalities))
        every[:, kept], has[:, kept] = z, available
        return self.fill(every, has)[:, kept]

    def with_substitutes(
        self,
    ) -> tuple[Float[Tensor, "sample modality dim"], Bool[Tensor, "sample modality"]]:
        """Return the vectors that an objective computes with, and which of them it may use.

        With `substitute` or `fill`, every vector may be used and a missing modality has its
        replacement. Without, these are `z` and `available`.
        """
        if self.fill is not None:
            return self.fill(self.readable, self.available), torch.ones_like(self.available)
        if self.substitute is None:
            return self.z, self.available
        z = torch.where(self.available[:, :, None], self.z, self.substitute[None])
        return z, torch.ones_like(self.available)


def _hidden(
    values: Float[Tensor, "sample modality number"], available: Bool[Tensor, "sample modality"]
) -> Float[Tensor, "sample modality number"]:
    return torch.where(available[:, :, None], values, torch.zeros_like(values))


@torch.no_grad()
def _fill_without_gradient(
    fill: Callable[[Tensor, Tensor], Tensor], z: Tensor, available: Tensor
) -> Tensor:
    return fill(z, available)

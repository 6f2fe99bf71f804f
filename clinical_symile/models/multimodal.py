"""`MultimodalEncoder`: one encoder per modality, from a `Batch` to `Embeddings`."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.embeddings import Embeddings, pattern_codes
from clinical_symile.data.loader import Batch
from clinical_symile.data.store import InputSource
from clinical_symile.errors import DefinitionError
from clinical_symile.models._build_encoder import build_encoder, chunking_problems, share_networks
from clinical_symile.models._norms import NORMS, FirstNumbersNorm, GaussianNorm
from clinical_symile.models._summaries import SummarizingEncoder, split_summary
from clinical_symile.models.gradient_cache import encode_in_chunks
from clinical_symile.models.kept_tokens import keep_tokens
from clinical_symile.models.missing_modality.base import (
    Fill,
    FillingHandler,
    MissingModalityMethod,
    SetEncodingHandler,
    TokenHandler,
    encode_available,
    missing_modality_method,
)
from clinical_symile.objectives.slots import FewSamplesError
from clinical_symile.objectives.token_attention import TokenQueries


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
        token_queries: those whose attention to the tokens of each modality is kept for the
            objective's fusion; None if it reads no tokens.
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
        token_queries: TokenQueries | None = None,
    ):
        super().__init__()
        self.spread = spread
        self.encode_at_a_time = encode_at_a_time
        self.modalities = tuple(encoders)
        self.encoders = nn.ModuleDict(encoders)
        self.norms = nn.ModuleDict(
            {
                name: GaussianNorm(NORMS[norm](dim), dim) if spread else NORMS[norm](dim)
                for name in encoders
            }
        )
        self.dim = dim
        method = missing_modality_method(missing_modality)
        if token_queries is not None:
            method = keep_tokens(method, token_queries)
        self.missing_modality, self.fit = self.connect(method), method.fit
        self.panel = method.panel
        self.train(self.training)

    def connect(self, method: MissingModalityMethod) -> nn.Module:
        """Return a method's handler; freeze the encoders if it adapts them.

        Raises:
            ValueError: the handler reads tokens and has a `fill` that nothing would call.
        """
        handler = method.handler(len(self.modalities), (1 + self.spread) * self.dim)
        if hasattr(handler, "fill") and not isinstance(handler, FillingHandler):
            raise ValueError(
                f"the handler {type(handler).__name__} has a `fill` and is no FillingHandler, so "
                "that nothing calls it. Derive it from FillingHandler, too."
            )
        if isinstance(handler, SetEncodingHandler | TokenHandler):
            if handler.freezes_encoders:
                self.encoders.requires_grad_(False)
                self.norms.requires_grad_(False)
            handler.connect({name: self.encoders[name] for name in self.modalities})
        return handler

    def train(self, mode: bool = True) -> "MultimodalEncoder":
        """Set the mode; encoders that are frozen encode as in evaluation."""
        super().train(mode)
        if getattr(self.missing_modality, "freezes_encoders", False):
            self.encoders.eval()
            self.norms.eval()
        return self

    @property
    def encodes_by_set(self) -> bool:
        """True if the encoding of a sample depends on the set of its available modalities."""
        return isinstance(self.missing_modality, SetEncodingHandler)

    def forward(self, batch: Batch, visible: Bool[Tensor, " modality"] | None = None) -> Embeddings:
        """Embed the available modalities of a batch; embeddings of the others are zero.

        Args:
            batch: the inputs of samples.
            visible: of a method that encodes by set, encode samples as if each had these modalities
                alone; by default those that it has.
        """
        available, codes = batch.available, None
        if self.encodes_by_set:
            codes = pattern_codes(available if visible is None else visible.expand_as(available))
        if visible is not None:
            available = available & visible
        encoded = [
            self.encode(name, batch.inputs[name], available[:, column], codes)
            for column, name in enumerate(self.modalities)
        ]
        substitutes = [substitute for _, substitute in encoded if substitute is not None]
        made = torch.stack([vectors for vectors, _ in encoded], dim=1)
        z, summary = split_summary(made, self.missing_modality)
        return Embeddings(
            z=z,
            summary=summary,
            available=available,
            modalities=self.modalities,
            rows=batch.rows,
            substitute=torch.stack(substitutes) if substitutes else None,
            spread=self.spread,
            fill=self.fill,
            fill_reads_vectors=self.fill_reads_vectors,
        )

    @property
    def fill(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The function that replaces missing embeddings, see `Embeddings`; None without one."""
        return self._filled if isinstance(self.missing_modality, FillingHandler) else None

    @property
    def fill_reads_vectors(self) -> bool:
        """False if what replaces missing embeddings depends on availability alone."""
        return getattr(self.missing_modality, "reads_vectors", True)

    def _filled(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Replace the embeddings of missing modalities by what the handler makes of the others."""
        handler = self.missing_modality
        assert isinstance(handler, FillingHandler)
        return self._replaced(handler.fill, next(handler.parameters()), z, available)

    def fitted(self, train: Embeddings, *, seed: int) -> tuple[Fill, ...]:
        """Return what replaces missing embeddings in use, made of train embeddings; see `fit`.

        Empty if the method fits nothing.

        Args:
            train: embeddings of train samples alone, on the CPU.
            seed: of what is drawn.
        """
        if self.fit is None:
            return ()
        known = train.with_visible(torch.ones_like(train.available))
        return tuple(self.normalized(fill, known) for fill in self.fit(known, seed))

    def normalized(self, fill: Fill, like: Embeddings) -> Fill:
        """Return a replacement whose vectors are normalized as embeddings of this model.

        Args:
            fill: makes vectors of the type of `like`.
            like: the embeddings that it was fitted to.
        """
        return partial(self._replaced, fill, like.z)

    def _replaced(
        self,
        fill: Fill,
        like: Tensor,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample modality dim"]:
        """Replace missing embeddings by what `fill` makes, with the type and device of `like`."""
        hidden = torch.where(available[:, :, None], z, torch.zeros_like(z))
        own, _ = split_summary(hidden, self.missing_modality)
        # Scores are computed on the CPU, also while the model is on a GPU.
        made = fill(hidden.to(like), available.to(like.device))
        columns = zip(self.norms.values(), made.unbind(dim=1), strict=True)
        normed = torch.stack([norm(vectors) for norm, vectors in columns], dim=1)
        return torch.where(available[:, :, None], own, normed.to(own))

    def encode(
        self,
        name: str,
        inputs: Float[Tensor, "sample ..."],
        available: Bool[Tensor, " sample"],
        codes: Int[Tensor, " sample"] | None = None,
    ) -> tuple[Float[Tensor, "sample dim"], Float[Tensor, " dim"] | None]:
        """Embed one modality; return its embeddings and its substitute.

        Of a method that reads tokens, embeddings are followed by a summary of these.

        Args:
            name: the modality.
            inputs: its inputs.
            available: True where it may be used.
            codes: the set of modalities of each sample, where the encoding depends on it.

        Raises:
            ValueError: the batch has too few samples with the modality to train on.
        """
        column, norm = self.modalities.index(name), self.norms[name]
        encoder = self.encoders[name]
        try:
            if isinstance(self.missing_modality, TokenHandler):
                return self._with_summary(name, inputs, available), None
            if codes is None:
                return self.missing_modality(
                    self._chunked(encoder), norm, inputs, available, column=column
                )
            handler = self.missing_modality
            assert isinstance(handler, SetEncodingHandler)
            z = inputs.new_zeros(len(inputs), handler.dim)
            for code in codes[available].unique().tolist():
                part = available & (codes == code)
                of_set = handler.encoder_of_set(encoder, column=column, code=code)
                found, _ = handler(self._chunked(of_set), norm, inputs, part, column=column)
                z = torch.where(part[:, None], found, z.to(found.dtype))
            return z, None
        except FewSamplesError as error:
            raise error.at(f"{name} in a batch of {len(available)}") from error
        except ValueError as error:
            raise ValueError(f"{name} in a batch of {len(available)}: {error}") from error

    def _with_summary(
        self, name: str, inputs: Float[Tensor, "sample ..."], available: Bool[Tensor, " sample"]
    ) -> Float[Tensor, "sample number"]:
        """Embed one modality, and summarize its tokens."""
        column, handler = self.modalities.index(name), self.missing_modality
        assert isinstance(handler, TokenHandler)
        encoder = SummarizingEncoder(self.encoders[name], handler, name=name, column=column)
        return encode_available(
            self._chunked(encoder),
            FirstNumbersNorm(self.norms[name], handler.dim),
            inputs,
            available,
            dim=handler.dim + handler.summary_width,
        )

    def _chunked(self, encoder: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return an encoder that works in chunks where the task says so."""
        if self.training and self.encode_at_a_time is not None:
            return partial(encode_in_chunks, encoder, at_a_time=self.encode_at_a_time)
        return encoder


def build_model(
    task: Pretraining,
    store: InputSource,
    *,
    seed: int,
    spread: bool = False,
    token_queries: TokenQueries | None = None,
) -> MultimodalEncoder:
    """Build a model with new weights.

    Args:
        task: has the encoders, their width and norm, and the missing-modality method.
        store: has the shapes of the inputs.
        seed: seed of the weights; the global random state is left unchanged.
        spread: encoders give a mean and a log variance; see `MultimodalEncoder`.
        token_queries: of the objective's fusion; see `MultimodalEncoder`.

    Raises:
        DefinitionError: an encoder does not accept the arguments of the task, shall run in chunks
            and normalises over the batch, or shall give tokens of Gaussians; or the
            missing-modality method does not take the encoders.
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
        share_networks(encoders)
        problems += chunking_problems(task, encoders)
        if problems:
            raise DefinitionError(*problems, code="CS-F020")
        try:
            model = MultimodalEncoder(
                encoders,
                dim=task.dim,
                norm=task.norm,
                missing_modality=task.missing_modality,
                spread=spread,
                encode_at_a_time=task.encode_at_a_time,
                token_queries=token_queries,
            )
        except ValueError as error:
            where = f"task '{task.name}': missing_modality '{task.missing_modality}'"
            if token_queries is not None:
                where += " with a fusion that reads tokens"
            raise DefinitionError(f"{where}: {error}", code="CS-F020") from error
        if isinstance(model.missing_modality, SetEncodingHandler | TokenHandler) and task.compile:
            raise DefinitionError(
                f"task '{task.name}': compile is true, but missing_modality "
                f"'{task.missing_modality}' or the fusion changes or reads encoders' layers, which "
                "a compiled encoder does not see. Leave compile out.",
                code="CS-F020",
            )
        return model

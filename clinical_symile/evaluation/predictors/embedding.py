"""Predict from embeddings: an objective scores candidates, and a probe predicts outcomes."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import isqrt
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.parts import hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.labels import training_samples
from clinical_symile.evaluation.predictors._chosen_objective import check_spread
from clinical_symile.evaluation.predictors._trained_sets import trained_sets
from clinical_symile.evaluation.predictors.bank import draw_bank
from clinical_symile.evaluation.predictors.base import Embedder, Request
from clinical_symile.evaluation.predictors.query_modalities import (
    encoded_modalities,
    missing_modalities,
    queries_with_bank,
)
from clinical_symile.evaluation.probes.base import (
    EmbeddedSamples,
    Encoders,
    LabelledSamples,
    ProbeInputs,
)
from clinical_symile.evaluation.probes.head import Head
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.models.missing_modality.base import Fill
from clinical_symile.models.row_embeddings import reencode_modality
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.missing_query import Bank, MarginalizingScore, check_rule
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import PROBES
from clinical_symile.training.supervised import LabelledRows

# Scores held at a time for candidate lists. The queries of a block are scored with the union of
# their candidates. A larger block computes a smaller part of scores that a list asks for.
_CELLS = 2**18
# Embeddings without parts of a modality are kept from task to task, up to this many bytes.
_KEPT_BYTES = 2**30


@dataclass(frozen=True, repr=False)
class EmbeddingPredictor:
    """Embeddings of a store, with the score of an objective and the probe of each task.

    Attributes:
        embeddings: one row for each row of the store, in its order.
        objective: scores a query with candidates.
        store: the cohort; gives labels and splits to the probe.
        encoders: the trained encoders, for probes that train them further; None if unknown.
        embedder: a user's own encoder that made the embeddings; None for others.
        bank: train embeddings for missing query modalities; None to draw one where the objective
            needs it.
        fills: what replaces missing embeddings in turn, for a method that fits this to train
            embeddings, where None replaces nothing; None alone to fit it where it is needed.
        training: returns the embeddings that replacements are fitted to and the bank is drawn from;
            None for those of all train samples of `store`.
        source: of a model that was trained on another cohort, returns the same model on that
            cohort: the probe and replacements are fitted there, and the bank drawn. None if `store`
            is that cohort.
    """

    embeddings: Embeddings
    objective: Objective
    store: CohortStore
    encoders: Encoders | None = None
    embedder: Embedder | None = None
    bank: Bank | None = None
    fills: tuple[Fill | None, ...] | None = None
    training: Callable[[], Embeddings] | None = None
    source: "Callable[[], EmbeddingPredictor] | None" = None

    def __post_init__(self) -> None:
        check_spread(self.objective, self.embeddings)

    @property
    def missing_query(self) -> str | None:
        """The objective's rule for a missing query modality; None if it has no such rule."""
        if self.embeddings.replaces_missing or self._fits_replacements:
            return None  # a vector takes the missing place
        return self.objective.missing_query

    @property
    def bank_size(self) -> int | None:
        """The largest number of entries of a modality in the bank; None if there is no bank."""
        bank = self._used_bank
        return None if bank is None else max(map(len, bank.z.values()), default=0)

    @property
    def _fits_replacements(self) -> bool:
        """True if the run's method fits replacements to train embeddings."""
        return self.encoders is not None and self.encoders.learner.model.fit is not None

    @cached_property
    def _used_fills(self) -> tuple[Fill | None, ...]:
        """Return what replaces missing embeddings, one after the other: of most methods one."""
        if self.encoders is None or not self._fits_replacements:
            return (self.embeddings.fill,)
        if self.fills is not None:
            return self.fills
        if self.source is not None:
            return self.source()._used_fills
        return self.encoders.learner.model.fitted(self._learned_from, seed=0)

    @property
    def _learned_from(self) -> Embeddings:
        """The embeddings of the train samples; of a run, as its own training had them."""
        if self.training is not None:
            return self.training()
        return self.embeddings.take(torch.from_numpy(self.store.rows("train").copy()))

    @cached_property
    def _used_bank(self) -> Bank | None:
        """The bank, drawn from the train embeddings if none was given; None if none is needed."""
        if self.missing_query in (None, "drop"):
            return None
        if self.bank is not None:
            return self.bank
        if self.source is not None:
            try:
                return self.source()._used_bank
            except CannotScore:  # said where a query needs the bank
                return Bank({})
        return draw_bank(self._learned_from, size=self.objective.bank_size, seed=0)

    def score(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Score the candidates of each query, in blocks of bounded size; see the protocol.

        Raises:
            CannotScore: see `score_shared`.
        """
        scores = np.empty(candidates.shape)
        marginalized = self._needs_bank(request)
        step = max(1, isqrt(_CELLS // max(candidates.shape[1], 1)))
        for block in _blocks(np.flatnonzero(~marginalized), step):
            listed = candidates[block]
            union, position = np.unique(listed, return_inverse=True)
            scored = self.score_shared(request.take(block), union)
            scores[block] = np.take_along_axis(scored, position.reshape(listed.shape), axis=1)
        # The bank multiplies the work for a candidate: score only those of a query's own list.
        for block in _blocks(np.flatnonzero(marginalized), step):
            scores[block] = self._scores(request.take(block), candidates[block])
        return np.where(candidates == PADDING, -np.inf, scores)

    def score_shared(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, " candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Score the same candidates for every query by the objective.

        Raises:
            CannotScore: the objective has no score, a modality of the task has no embeddings, or a
                missing modality has none in the train split.
        """
        return self._scores(request, candidates)

    @torch.inference_mode()
    def _scores(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "*query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        if not self.objective.retrieves:
            raise CannotScore(
                f"the objective {type(self.objective).__name__} predicts labels and compares no "
                "recordings, so that it cannot rank candidates. Train a contrastive objective for "
                "retrieval.",
                code="CS-S006",
            )
        if self.embeddings.sets is not None:
            return self._scores_by_set(request, candidates)
        target = request.task.target
        (column,) = self._columns((target,))
        z = self.embeddings.z[torch.from_numpy(candidates.copy()), column]
        query = self._available_embeddings(request.rows, request.available, request.task.query)
        if not self._needs_bank(request).any():
            lacking = np.any(list(self._missing(request).values()))
            filled = self._filled(query, lacking=bool(lacking))
            scores = [self.objective.score(one, z, target=target).numpy() for one in filled]
            return scores[0] if len(scores) == 1 else np.mean(scores, axis=0)
        objective = cast(MarginalizingScore, self.objective)
        return objective.score(query, z, target=target, bank=self._used_bank).numpy()

    def _scores_by_set(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "*query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Score queries with candidates that are encoded as samples with the same modalities."""
        self._columns((*request.task.query, request.task.target))
        shown = encoded_modalities(request, self.embeddings.modalities)
        assert self.encoders is not None
        model = self.encoders.learner.model
        codes = trained_sets(torch.from_numpy(shown), model, self.objective).numpy()
        scores = np.empty((len(codes), candidates.shape[-1]))
        for code in np.unique(codes):
            of_set = np.flatnonzero(codes == code)
            listed = candidates if candidates.ndim == 1 else candidates[of_set]
            scores[of_set] = self._of_set(int(code))._scores(request.take(of_set), listed)
        return scores

    def _of_set(self, code: int) -> "EmbeddingPredictor":
        """Return the model with samples encoded as if each had one set of modalities alone."""
        sets = self.embeddings.sets
        assert sets is not None
        in_set = [bool(code >> column & 1) for column in range(len(self.embeddings.modalities))]
        embeddings = replace(
            self.embeddings,
            z=sets.encode(code)[sets.index],
            available=self.embeddings.available & torch.tensor(in_set),
            sets=None,
        )
        return replace(self, embeddings=embeddings, bank=self._used_bank)

    def with_rule(self, rule: str) -> "EmbeddingPredictor":
        """Return the same model, scored by another rule for missing query modalities.

        Args:
            rule: one of `objectives.missing_query.RULES`.
        """
        objective = copy(self.objective)  # shares the parameters
        objective.missing_query = check_rule(rule)
        return replace(self, objective=objective)

    def misses(self, request: Request[Retrieval]) -> Bool[np.ndarray, " query"]:
        """Return which queries lack a modality that the model was trained with.

        A modality that the task does not query with is missing like one that the pattern hides.
        """
        return np.any(list(self._missing(request).values()), axis=0)

    def _missing(self, request: Request[Retrieval]) -> dict[str, Bool[np.ndarray, " query"]]:
        """Return for each modality but the target which queries lack it."""
        return missing_modalities(request, self.embeddings.modalities)

    def _needs_bank(self, request: Request[Retrieval]) -> Bool[np.ndarray, " query"]:
        """Return which queries lack a modality of the model that the bank replaces.

        Raises:
            CannotScore: no train sample has embeddings of such a modality.
        """
        try:
            return queries_with_bank(request, self.embeddings.modalities, self._used_bank)
        except CannotScore:
            if self.source is not None:
                self.source()  # says why it cannot be reached
            raise

    def predict_proba(self, request: Request[Classification]) -> Float[np.ndarray, " sample"]:
        """Predict by the task's probe, fitted under the same pattern.

        Raises:
            CannotScore: the train or the tuning split lacks labels, a modality of the task has no
                embeddings, or the probe cannot predict.
        """
        task = request.task
        trained = self if self.source is None else self.source()
        if task.outcome not in trained.store.outcomes:
            raise CannotScore(
                f"the probe is fitted on cohort '{trained.store.cohort}', which has no outcome "
                f"'{task.outcome}'.",
                code="CS-S016",
            )
        train, tuning = training_samples(task, trained.store, request.pattern)
        encoders = trained.encoders
        if self.source is not None and encoders is not None:
            encoders = replace(encoders, applied=self.store)
        probe = resolve(task.probe.name, PROBES)(**task.probe.arguments)
        asked = self._available_embeddings(request.rows, request.available, task.inputs)
        lacking = isinstance(probe, Head) and not bool(asked.available.all())
        filled = self._filled(asked, lacking=lacking)
        return probe.predict(
            ProbeInputs(
                train=trained._labelled(train, task.inputs),
                tuning=trained._labelled(tuning, task.inputs),
                samples=self._embedded(request.rows, request.available, task.inputs),
                encoders=encoders,
                seed=task.seed,
                outcome=str(task.outcome),
                embeddings=filled[0],
                further=filled[1:],
            )
        )

    def with_parts_hidden(self, pattern: Pattern, *, seed: int) -> "EmbeddingPredictor":
        """Encode one modality again without the parts that the pattern hides.

        Raises:
            CannotScore: the encoders are unknown, or the parts cannot be drawn.
        """
        if self.encoders is None and self.embedder is None:
            raise CannotScore(
                f"'{pattern.name}' {pattern.effect}; only a run with its encoders can be evaluated "
                "so.",
                code="CS-S010",
            )
        kept = self._kept_without_parts
        if (pattern.name, seed) not in kept:
            while kept and (len(kept) + 1) * self._held_bytes > _KEPT_BYTES:
                del kept[next(iter(kept))]
            kept[pattern.name, seed] = self._encoded_without(pattern, seed=seed)
        return kept[pattern.name, seed]

    @property
    def _held_bytes(self) -> int:
        """About how much memory the model's own embeddings take."""
        return self.embeddings.z.nbytes

    @cached_property
    def _kept_without_parts(self) -> "dict[tuple[str, int], EmbeddingPredictor]":
        """The same model without the parts that a pattern with a seed hides, the oldest first."""
        return {}

    def _encoded_without(self, pattern: Pattern, *, seed: int) -> "EmbeddingPredictor":
        """Encode one modality again without the parts that the pattern hides."""
        store = hide_parts(pattern, self.store, seed=seed)
        if self.encoders is None:
            assert self.embedder is not None
            embeddings = self.embedder.embed(store, np.arange(len(store.samples)))
            return replace(self, embeddings=embeddings, store=store, bank=self._used_bank)
        model = self.encoders.learner.model
        return replace(
            self,
            embeddings=reencode_modality(model, store, self.embeddings, pattern.within),
            store=store,
            encoders=replace(self.encoders, store=store),
            bank=self._used_bank,
            fills=None if self.source is not None else self._used_fills,
            source=None if self.source is None else self._source_without(pattern, seed=seed),
        )

    def _source_without(self, pattern: Pattern, *, seed: int) -> "Callable[[], EmbeddingPredictor]":
        """Return the model on its own cohort, also without the parts that a pattern hides."""
        assert self.source is not None
        source = self.source
        return cache(lambda: source().with_parts_hidden(pattern, seed=seed))

    def _columns(self, modalities: tuple[str, ...]) -> list[int]:
        """Return the columns of some modalities.

        Raises:
            CannotScore: a modality has no embeddings.
        """
        lacking = [name for name in modalities if name not in self.embeddings.modalities]
        if lacking:
            raise CannotScore(
                f"the model has no embeddings of {', '.join(lacking)}.", code="CS-S009"
            )
        return [self.embeddings.modalities.index(name) for name in modalities]

    def _available_embeddings(
        self,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        modalities: tuple[str, ...],
    ) -> Embeddings:
        """Return the embeddings of some rows with all unavailable modalities hidden."""
        visible = np.zeros((len(rows), len(self.embeddings.modalities)), dtype=bool)
        visible[:, self._columns(modalities)] = available
        taken, shown = self.embeddings.take(torch.from_numpy(rows)), torch.from_numpy(visible)
        if taken.sets is not None:
            assert self.encoders is not None
            trained_sets(taken.available & shown, self.encoders.learner.model, self.objective)
        return taken.restricted_to(shown)

    def _filled(self, embeddings: Embeddings, *, lacking: bool) -> tuple[Embeddings, ...]:
        """Return the embeddings with each replacement of missing ones, if any are `lacking`."""
        if not lacking:
            return (embeddings,)
        return tuple(replace(embeddings, fill=fill) for fill in self._used_fills)

    def _embedded(
        self,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        modalities: tuple[str, ...],
    ) -> EmbeddedSamples:
        columns = self._columns(modalities)
        z = self._available_embeddings(rows, available, modalities).means[:, columns].numpy()
        return EmbeddedSamples(rows, z, available, modalities)

    def _labelled(self, known: LabelledRows, modalities: tuple[str, ...]) -> LabelledSamples:
        embedded = self._embedded(known.rows, known.available, modalities)
        return LabelledSamples(**vars(embedded), label=known.label)


def _blocks(index: Int[np.ndarray, " sample"], size: int) -> list[Int[np.ndarray, " part"]]:
    return [index[start : start + size] for start in range(0, len(index), size)]

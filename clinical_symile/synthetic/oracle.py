"""Compute the Bayes-optimal oracle of the synthetic cohort exactly.

`Bayes` computes optimal scores in a world as sums over all words. `Oracle` applies them to the
samples of a store. Both use words instead of measurements. A measurement depends on the other
modalities and the outcome only through its word, so no model does better (data processing).
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.synthetic.world import (
    CXR_FINDINGS,
    DETERIORATION,
    WORLD_MODALITIES,
    JointDistribution,
    World,
)

# Sums of products that are equal in theory may differ in their last digits, which would break ties.
_DECIMALS = 9


class Bayes:
    """Optimal scores and probabilities in one world, and their expected metrics.

    Args:
        world: the factors and how they are shown.
    """

    def __init__(self, world: World):
        self.joint: JointDistribution = world.joint()
        self._with: dict[str, JointDistribution] = {
            DETERIORATION: world.joint_with_outcome(),
            **{finding: world.joint_with_finding(finding) for finding in CXR_FINDINGS},
        }

    @property
    def total_correlation(self) -> float:
        """Total correlation KL(p(cxr, ecg, labs) || p(cxr) p(ecg) p(labs)), in nats."""
        possible = self.joint > 0
        ratio = self.joint[possible] / _independent(self.joint)[possible]
        return float(self.joint[possible] @ np.log(ratio))

    def scores(
        self, available: tuple[str, ...], target: str
    ) -> Float[np.ndarray, "available_words target_word"]:
        """Return the pointwise mutual information: log p(target | available) - log p(target).

        It is the optimal score if one candidate belongs to the query and the others are drawn from
        p(target). Rows are combinations of words of `available`, in the order of
        `WORLD_MODALITIES`, the last varying fastest; -inf where a combination cannot occur.
        """
        table = self._table(self.joint, (*available, target), last=target)
        return np.round(
            _log_ratio(table, np.outer(table.sum(axis=1), table.sum(axis=0))), _DECIMALS
        )

    def probabilities(
        self, available: tuple[str, ...], outcome: str = DETERIORATION
    ) -> Float[np.ndarray, " available_words"]:
        """Return p(outcome | available); 0 where a combination cannot occur."""
        words = self._table(self.joint, available).ravel()
        positive = self._table(self._with[outcome], available).ravel()
        ratio = np.divide(positive, words, out=np.zeros_like(words), where=words > 0)
        return np.round(ratio, _DECIMALS)

    def recall_at_1(self, query: tuple[str, ...], target: str, *, candidates: int) -> float:
        """Return the expected recall among `candidates` candidates, ties broken at random.

        Let a random candidate score below the correct one with probability w, and tie with
        probability t. Then the correct one is ranked first with probability
        Σ_m C(K-1, m) t^m w^(K-1-m) / (m + 1) = ((w + t)^K - w^K) / (K t).
        """
        joint = self._table(self.joint, (*query, target), last=target)
        marginal = joint.sum(axis=0)
        scores = self.scores(query, target)
        total = 0.0
        for row, row_scores in zip(joint, scores, strict=True):
            worse = (row_scores[:, None] > row_scores[None, :]) @ marginal
            tied = (row_scores[:, None] == row_scores[None, :]) @ marginal
            chosen = ((worse + tied) ** candidates - worse**candidates) / (candidates * tied)
            total += float(row @ chosen)
        return total

    def auroc(self, available: tuple[str, ...], outcome: str = DETERIORATION) -> float:
        """Return the probability that a positive scores above a negative; ties count half."""
        probability, place = np.unique(self.probabilities(available, outcome), return_inverse=True)
        words = self._table(self.joint, available).ravel()
        positive = self._table(self._with[outcome], available).ravel()
        positive_mass = np.bincount(place, positive, len(probability))
        negative_mass = np.bincount(place, words - positive, len(probability))
        below = np.cumsum(negative_mass) - negative_mass / 2
        return float(positive_mass @ below / (positive_mass.sum() * negative_mass.sum()))

    def _table(
        self, joint: JointDistribution, modalities: tuple[str, ...], *, last: str | None = None
    ) -> Float[np.ndarray, "row column"]:
        """Return the joint of some modalities; with `last`, its words are the columns."""
        unknown = set(modalities) - set(WORLD_MODALITIES)
        if unknown or len(set(modalities)) < len(modalities):
            raise ValueError(
                f"modalities {', '.join(modalities)}; expected different ones of "
                f"{', '.join(WORLD_MODALITIES)}."
            )
        words = joint.shape[0]
        hidden = tuple(
            place for place, name in enumerate(WORLD_MODALITIES) if name not in modalities
        )
        kept = [name for name in WORLD_MODALITIES if name in modalities]
        marginal = joint.sum(axis=hidden)
        if last is None:
            return marginal.reshape(-1, 1)
        return np.moveaxis(marginal, kept.index(last), -1).reshape(-1, words)


class Oracle:
    """`Bayes` for the samples of a store, whose columns `kept_shown_<modality>` hold the words.

    A sample without a modality is scored from the others.

    Attributes:
        bayes: the optimal scores of the world that wrote the cohort.

    Args:
        store: a prepared synthetic cohort.
        model: makes the scores of a world; another one than `Bayes` gives another reference, such
            as `pair_sums.PairSums`.

    Raises:
        DataError: the store does not name the world that wrote it, or lacks the words.
    """

    def __init__(self, store: CohortStore, *, model: Callable[[World], Bayes] = Bayes):
        parameters = (store.manifest.get("generator") or {}).get("parameters", {})
        columns = [f"kept_shown_{name}" for name in WORLD_MODALITIES]
        fields = World.__dataclass_fields__
        missing = [name for name in fields if name not in parameters]
        missing += [name for name in columns if name not in store.samples]
        if missing:
            raise DataError(
                f"{store.path}: no {', '.join(missing)}; expected a store of the synthetic cohort. "
                "Only a synthetic cohort has an oracle.",
                code="CS-D028",
            )
        world = World(**{name: parameters[name] for name in fields})
        sign_bits = store.samples[columns].to_numpy(dtype=np.int64)
        if sign_bits.min(initial=0) < 0 or sign_bits.max(initial=0) >= 2**world.bits:
            raise DataError(
                f"{store.path}: words beyond {world.bits} bits; expected what the world of the "
                "manifest shows. Prepare the cohort again from files written with its parameters.",
                code="CS-D028",
            )
        self.bayes = model(world)
        self._words: dict[str, Int[np.ndarray, " sample"]] = {
            name: sign_bits[:, place] for place, name in enumerate(WORLD_MODALITIES)
        }
        self._modalities = store.modalities
        self._scores: dict[tuple[tuple[str, ...], str], Float[np.ndarray, "row column"]] = {}

    @classmethod
    def of_pair_sums(cls, store: CohortStore, *, candidates: int) -> "Oracle":
        """Return the ceiling of sums over pairs: `pair_sums.BestPairSums` for a store's samples.

        Args:
            store: a prepared synthetic cohort.
            candidates: number of candidates for which the recall is best.
        """
        from clinical_symile.synthetic.pair_sums import BestPairSums  # which imports this module

        return cls(store, model=partial(BestPairSums, candidates=candidates))

    @property
    def total_correlation(self) -> float:
        """Total correlation KL(p(cxr, ecg, labs) || p(cxr) p(ecg) p(labs)), in nats."""
        return self.bayes.total_correlation

    def score(
        self,
        query_rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidate_rows: Int[np.ndarray, "query candidate"],
        *,
        target: str,
    ) -> Float[np.ndarray, "query candidate"]:
        """Score each candidate's target by `Bayes.scores`.

        Args:
            query_rows: rows of the store.
            available: True for modalities that a query may use, in the store's order; the target's
                column is ignored.
            candidate_rows: rows of the store whose targets are ranked.
            target: a modality.
        """
        available = available & (np.array(self._modalities) != target)
        scores = np.zeros(candidate_rows.shape)
        for names, rows in self._by_combination(available):
            if names:
                table = self._score_table(names, target)
                words = self._words[target][candidate_rows[rows]]
                scores[rows] = table[self._combination(query_rows[rows], names)[:, None], words]
        return scores

    def probability(
        self,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        *,
        outcome: str,
    ) -> Float[np.ndarray, " sample"]:
        """Return p(outcome | available modalities) of each sample.

        Args:
            rows: rows of the store.
            available: True for modalities that a sample may use, in the store's order.
            outcome: name of the outcome.

        Raises:
            ValueError: the outcome is unknown.
        """
        _check_outcome(outcome)
        probability = np.empty(len(rows))
        for names, places in self._by_combination(available):
            table = self.bayes.probabilities(names, outcome)
            probability[places] = table[self._combination(rows[places], names)]
        return probability

    def recall_at_1(self, query: tuple[str, ...], target: str, candidates: int) -> float:
        """Return the oracle's expected recall at 1 in this world; see `Bayes.recall_at_1`."""
        return self.bayes.recall_at_1(query, target, candidates=candidates)

    def auroc(self, available: tuple[str, ...], outcome: str) -> float:
        """Return the expected AUROC in this world: `Bayes.auroc`."""
        _check_outcome(outcome)
        return self.bayes.auroc(available, outcome)

    def _by_combination(
        self, available: Bool[np.ndarray, "row modality"]
    ) -> Iterator[tuple[tuple[str, ...], Int[np.ndarray, " place"]]]:
        """Yield each combination of available modalities with the indices of its rows."""
        combinations, group = np.unique(available, axis=0, return_inverse=True)
        for number, combination in enumerate(combinations):
            names = {name for name, one in zip(self._modalities, combination, strict=True) if one}
            yield (
                tuple(name for name in WORLD_MODALITIES if name in names),
                np.flatnonzero(group.ravel() == number),
            )

    def _combination(
        self, rows: Int[np.ndarray, " row"], available: tuple[str, ...]
    ) -> Int[np.ndarray, " row"]:
        """Return the row of each sample's words in a table over words of `available`."""
        place = np.zeros(len(rows), dtype=np.int64)
        for name in available:
            place = place * self.bayes.joint.shape[0] + self._words[name][rows]
        return place

    def _score_table(
        self, available: tuple[str, ...], target: str
    ) -> Float[np.ndarray, "available_words target_word"]:
        if (available, target) not in self._scores:
            self._scores[available, target] = self.bayes.scores(available, target)
        return self._scores[available, target]


def _check_outcome(outcome: str) -> None:
    known = (DETERIORATION, *CXR_FINDINGS)
    if outcome not in known:
        raise ValueError(f"outcome '{outcome}'; expected one of the world's: {', '.join(known)}.")


def _independent(joint: JointDistribution) -> JointDistribution:
    """Return the product of the marginals."""
    marginals = (joint.sum(axis=(1, 2)), joint.sum(axis=(0, 2)), joint.sum(axis=(0, 1)))
    return np.einsum("c,e,l->cel", *marginals)


def _log_ratio(
    numerator: Float[np.ndarray, "*table"], denominator: Float[np.ndarray, "*table"]
) -> Float[np.ndarray, "*table"]:
    """Return log(numerator / denominator); -inf where the numerator is 0."""
    ratio = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return np.log(ratio, out=np.full_like(ratio, -np.inf), where=ratio > 0)

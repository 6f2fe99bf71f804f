"""The best that any model can do on the synthetic cohort, computed exactly.

`Bayes` knows a world: every number is a sum over all words that the modalities can show. `Oracle`
applies it to the samples of a store. Both see words, not measurements; as a measurement depends on
the rest of the world only through its word, no model can do better (data processing).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.synthetic.world import FINDINGS, MODALITIES, OUTCOME, Joint, World

# Sums of products that are equal in theory may differ in their last digits, and ties would be lost.
_DECIMALS = 9


class Bayes:
    """Optimal scores and probabilities in one world, and what they achieve.

    Args:
        world: how many factors there are, and how they are shown.
    """

    def __init__(self, world: World):
        self.joint: Joint = world.joint()
        self._with: dict[str, Joint] = {
            OUTCOME: world.joint_with_outcome(),
            **{finding: world.joint_with_finding(finding) for finding in FINDINGS},
        }

    @property
    def total_correlation(self) -> float:
        """KL(p(cxr, ecg, labs) || p(cxr) p(ecg) p(labs)) in nats."""
        possible = self.joint > 0
        ratio = self.joint[possible] / _independent(self.joint)[possible]
        return float(self.joint[possible] @ np.log(ratio))

    def scores(
        self, visible: tuple[str, ...], target: str
    ) -> Float[np.ndarray, "visible_words target_word"]:
        """The pointwise mutual information: log p(target | visible) - log p(target).

        Among candidates of which one belongs to the query and the others are drawn from p(target),
        ranking by it is optimal. Rows are combinations of words of `visible`, in the order of
        `MODALITIES`, the last varying fastest; -inf where a combination cannot occur.
        """
        table = self._table(self.joint, (*visible, target), last=target)
        return np.round(
            _log_ratio(table, np.outer(table.sum(axis=1), table.sum(axis=0))), _DECIMALS
        )

    def probabilities(
        self, visible: tuple[str, ...], outcome: str = OUTCOME
    ) -> Float[np.ndarray, " visible_words"]:
        """p(outcome | visible); 0 where a combination cannot occur."""
        words = self._table(self.joint, visible).ravel()
        positive = self._table(self._with[outcome], visible).ravel()
        ratio = np.divide(positive, words, out=np.zeros_like(words), where=words > 0)
        return np.round(ratio, _DECIMALS)

    def recall_at_1(self, query: tuple[str, ...], target: str, *, candidates: int) -> float:
        """The expected recall among so many candidates, ties broken at random.

        With w the chance that a random candidate scores worse than the right one, and t that it
        ties, the right one is chosen with probability
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

    def auroc(self, visible: tuple[str, ...], outcome: str = OUTCOME) -> float:
        """The chance that a sample with the outcome scores above one without; ties count half."""
        probability, place = np.unique(self.probabilities(visible, outcome), return_inverse=True)
        words = self._table(self.joint, visible).ravel()
        positive = self._table(self._with[outcome], visible).ravel()
        positive_mass = np.bincount(place, positive, len(probability))
        negative_mass = np.bincount(place, words - positive, len(probability))
        below = np.cumsum(negative_mass) - negative_mass / 2
        return float(positive_mass @ below / (positive_mass.sum() * negative_mass.sum()))

    def _table(
        self, joint: Joint, modalities: tuple[str, ...], *, last: str | None = None
    ) -> Float[np.ndarray, "row column"]:
        """The joint of some modalities; with `last`, its words are the columns."""
        unknown = set(modalities) - set(MODALITIES)
        if unknown or len(set(modalities)) < len(modalities):
            raise ValueError(
                f"modalities {', '.join(modalities)}; expected different ones of "
                f"{', '.join(MODALITIES)}."
            )
        words = joint.shape[0]
        hidden = tuple(place for place, name in enumerate(MODALITIES) if name not in modalities)
        kept = [name for name in MODALITIES if name in modalities]
        marginal = joint.sum(axis=hidden)
        if last is None:
            return marginal.reshape(-1, 1)
        return np.moveaxis(marginal, kept.index(last), -1).reshape(-1, words)


class Oracle:
    """`Bayes` for the samples of a store, whose columns `kept_shown_<modality>` hold the words.

    Rows of the store with a modality that is not present are scored from the others.

    Attributes:
        bayes: what is optimal in the world that wrote the cohort.

    Args:
        store: a prepared synthetic cohort.

    Raises:
        DataError: the store does not say which world wrote it, or lacks the words.
    """

    def __init__(self, store: CohortStore):
        parameters = (store.manifest.get("generator") or {}).get("parameters", {})
        columns = [f"kept_shown_{name}" for name in MODALITIES]
        fields = World.__dataclass_fields__
        missing = [name for name in fields if name not in parameters]
        missing += [name for name in columns if name not in store.samples]
        if missing:
            raise DataError(
                f"{store.path}: no {', '.join(missing)}; expected a store of the synthetic cohort. "
                "An oracle exists only where the truth is known."
            )
        world = World(**{name: parameters[name] for name in fields})
        shown = store.samples[columns].to_numpy(dtype=np.int64)
        if shown.min(initial=0) < 0 or shown.max(initial=0) >= 2**world.bits:
            raise DataError(
                f"{store.path}: words beyond {world.bits} bits; expected what the world of the "
                "manifest shows. Prepare the cohort again from files written with its parameters."
            )
        self.bayes = Bayes(world)
        self._words: dict[str, Int[np.ndarray, " sample"]] = {
            name: shown[:, place] for place, name in enumerate(MODALITIES)
        }
        self._modalities = store.modalities
        self._scores: dict[tuple[tuple[str, ...], str], Float[np.ndarray, "row column"]] = {}

    @property
    def total_correlation(self) -> float:
        """KL(p(cxr, ecg, labs) || p(cxr) p(ecg) p(labs)) in nats."""
        return self.bayes.total_correlation

    def score(
        self,
        query_rows: Int[np.ndarray, " query"],
        present: Bool[np.ndarray, "query modality"],
        candidate_rows: Int[np.ndarray, "query candidate"],
        *,
        target: str,
    ) -> Float[np.ndarray, "query candidate"]:
        """How well each candidate's target fits what its query may use: `Bayes.scores`.

        Args:
            query_rows: rows of the store.
            present: what each query may use, by the store's modalities; the target's column is not
                read.
            candidate_rows: rows of the store whose targets are to be ranked.
            target: a modality.
        """
        present = present & (np.array(self._modalities) != target)
        scores = np.zeros(candidate_rows.shape)
        for visible, rows in self._by_visible(present):
            if visible:
                table = self._score_table(visible, target)
                words = self._words[target][candidate_rows[rows]]
                scores[rows] = table[self._combination(query_rows[rows], visible)[:, None], words]
        return scores

    def probability(
        self,
        rows: Int[np.ndarray, " sample"],
        present: Bool[np.ndarray, "sample modality"],
        *,
        outcome: str,
    ) -> Float[np.ndarray, " sample"]:
        """p(outcome | what each sample may use).

        Args:
            rows: rows of the store.
            present: what each sample may use, by the store's modalities.
            outcome: the outcome's name.

        Raises:
            ValueError: the world has no such outcome.
        """
        _check_outcome(outcome)
        probability = np.empty(len(rows))
        for visible, places in self._by_visible(present):
            table = self.bayes.probabilities(visible, outcome)
            probability[places] = table[self._combination(rows[places], visible)]
        return probability

    def recall_at_1(self, query: tuple[str, ...], target: str, candidates: int) -> float:
        """The expected recall, over all that the world can show: `Bayes.recall_at_1`."""
        return self.bayes.recall_at_1(query, target, candidates=candidates)

    def auroc(self, visible: tuple[str, ...], outcome: str) -> float:
        """The expected AUROC, over all that the world can show: `Bayes.auroc`."""
        _check_outcome(outcome)
        return self.bayes.auroc(visible, outcome)

    def _by_visible(
        self, present: Bool[np.ndarray, "row modality"]
    ) -> Iterator[tuple[tuple[str, ...], Int[np.ndarray, " place"]]]:
        """Each combination of visible modalities that occurs, with the places where it does."""
        combinations, group = np.unique(present, axis=0, return_inverse=True)
        for number, combination in enumerate(combinations):
            available = {
                name for name, is_seen in zip(self._modalities, combination, strict=True) if is_seen
            }
            visible = tuple(name for name in MODALITIES if name in available)
            yield visible, np.flatnonzero(group.ravel() == number)

    def _combination(
        self, rows: Int[np.ndarray, " row"], visible: tuple[str, ...]
    ) -> Int[np.ndarray, " row"]:
        """The place of each row's words in a table over words of `visible`."""
        place = np.zeros(len(rows), dtype=np.int64)
        for name in visible:
            place = place * self.bayes.joint.shape[0] + self._words[name][rows]
        return place

    def _score_table(
        self, visible: tuple[str, ...], target: str
    ) -> Float[np.ndarray, "visible_words target_word"]:
        if (visible, target) not in self._scores:
            self._scores[visible, target] = self.bayes.scores(visible, target)
        return self._scores[visible, target]


def _check_outcome(outcome: str) -> None:
    known = (OUTCOME, *FINDINGS)
    if outcome not in known:
        raise ValueError(f"outcome '{outcome}'; expected one of the world's: {', '.join(known)}.")


def _independent(joint: Joint) -> Joint:
    """The product of the marginals."""
    marginals = (joint.sum(axis=(1, 2)), joint.sum(axis=(0, 2)), joint.sum(axis=(0, 1)))
    return np.einsum("c,e,l->cel", *marginals)


def _log_ratio(
    numerator: Float[np.ndarray, "*table"], denominator: Float[np.ndarray, "*table"]
) -> Float[np.ndarray, "*table"]:
    """log(numerator / denominator); -inf where the numerator is 0."""
    ratio = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return np.log(ratio, out=np.full_like(ratio, -np.inf), where=ratio > 0)

"""Measure the gap between modalities, and what retrieval gains when it is taken away.

Means and directions are those of train samples: nothing of the examined samples is used.

Sources: Liang et al., "Mind the gap", NeurIPS 2022, https://arxiv.org/abs/2203.02053 (gap, shift).
Li et al., "Closing the modality gap for mixed modality search", 2025,
https://arxiv.org/abs/2507.19054 (mean removal). Zhang et al., "Connect, collapse, corrupt", ICLR
2024, https://arxiv.org/abs/2401.08567 (mean removal with noise).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, permutations
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import CandidateLists, candidate_lists
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.evaluation.diagnostics.base import (
    DiagnosticInputs,
    DiagnosticMeasure,
    noise_of_rows,
    scaled,
    train_means,
    unit_vectors,
)
from clinical_symile.evaluation.diagnostics.measures import (
    ByWeights,
    average,
    joint_measure,
    sample_mean,
)
from clinical_symile.metrics.retrieval import RECALL_AT_1, expected_ranks

_Vectors = Float[np.ndarray, "sample dim"]
# Corrects vectors of one modality, given by its column, of some rows.
_Correct = Callable[[_Vectors, int, Int[np.ndarray, " sample"]], _Vectors]


class _Asked(NamedTuple):
    """Queries of one modality for another.

    Attributes:
        used: True for the examined samples that are queries.
        rows: of the queries.
        query: their vectors.
        candidates: the rows of all candidates.
        target: their vectors.
        place: the position of each query's candidates among all.
    """

    used: Bool[np.ndarray, " sample"]
    rows: Int[np.ndarray, " query"]
    query: Float[np.ndarray, "query dim"]
    candidates: Int[np.ndarray, " candidate"]
    target: Float[np.ndarray, "candidate dim"]
    place: Int[np.ndarray, "query listed"]


class Gap:
    """The distance of modalities' centres, before and after it is taken away.

    Args:
        candidates: number of candidates of a query: its own and some drawn from other subjects.
        noise: standard deviation of the noise that C3 adds to each number of a vector.
        shifts: shares of the gap by which two modalities are moved towards each other; 1 closes it.
    """

    display_name = "modality gap"
    description = "The gap between modalities, and recall when it is removed by train means."
    source = "Liang et al., 2022; Zhang et al., 2024; Li et al., 2025"
    measures: ClassVar[dict[str, str]] = {
        "gap": "Distance of the mean vectors of two modalities.",
        "paired_gap": "The same on the samples that have both modalities.",
        "relative_gap": "The gap divided by the mean spread of the two modalities.",
        "gap_removed": "The gap after the train mean of each modality is subtracted.",
        "gap_rescaled": "The same after vectors are scaled to length 1 again.",
        "recall_at_1": "Recall at 1 of one modality given another, by cosines.",
        "recall_at_1_removed": "The same after mean removal.",
        "recall_at_1_c3": "The same after mean removal and noise.",
        "recall_at_1_shifted": "The same after both are moved by shares of the train gap.",
    }

    def __init__(self, *, candidates: int, noise: float, shifts: Sequence[float]):
        self._candidates, self._noise, self._shifts = candidates, noise, tuple(shifts)

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure every pair of modalities; see `Diagnostic`."""
        samples, means = inputs.samples, train_means(inputs)
        removed = np.where(samples.available[:, :, None], samples.z - means, 0.0)
        forms = {"gap": samples.z, "gap_removed": removed, "gap_rescaled": scaled(removed)}
        parts: dict[str, list[DiagnosticMeasure]] = {name: [] for name in self.measures}
        for pair in combinations(range(len(samples.modalities)), 2):
            part = "-".join(samples.modalities[place] for place in pair)
            has = samples.available[:, pair]
            for name, z in forms.items():
                parts[name].append(_gap_measure(name, part, z[:, pair], has))
            both = has & has.all(axis=1, keepdims=True)
            parts["paired_gap"].append(_gap_measure("paired_gap", part, samples.z[:, pair], both))
            relative = _gap_measure("relative_gap", part, samples.z[:, pair], has, relative=True)
            parts["relative_gap"].append(relative)
        for a, b in permutations(range(len(samples.modalities)), 2):
            for name, found in self._recalls(inputs, means, (a, b)).items():
                parts[name] += found
        return [one for name, several in parts.items() for one in average(name, several)]

    def _recalls(
        self,
        inputs: DiagnosticInputs,
        means: Float[np.ndarray, "modality dim"],
        pair: tuple[int, int],
    ) -> dict[str, list[DiagnosticMeasure]]:
        """Return recall of the second modality given the first, after each correction."""
        query, target = (inputs.modalities[place] for place in pair)
        part = f"{target}_given_{query}"
        asked = _asked(inputs, self._lists(inputs, query, target), pair)
        seed, direction = inputs.request.task.seed, means[pair[0]] - means[pair[1]]

        def removed(z: _Vectors, column: int, rows: Int[np.ndarray, " sample"]) -> _Vectors:
            return scaled(z - means[column])

        def with_noise(z: _Vectors, column: int, rows: Int[np.ndarray, " sample"]) -> _Vectors:
            noise = noise_of_rows(rows, seed=seed, column=column, dim=z.shape[1])
            return scaled(removed(z, column, rows) + self._noise * noise)

        def shifted(share: float) -> _Correct:
            def move(z: _Vectors, column: int, rows: Int[np.ndarray, " sample"]) -> _Vectors:
                return scaled(z + (-share if column == pair[0] else share) / 2 * direction)

            return move

        corrections: dict[str, Mapping[str, _Correct]] = {
            "recall_at_1": {part: lambda z, column, rows: z},
            "recall_at_1_removed": {part: removed},
            "recall_at_1_c3": {part: with_noise},
            "recall_at_1_shifted": {
                f"{part} by {share:g}": shifted(share) for share in self._shifts
            },
        }
        return {
            name: [
                sample_mean(
                    f"{name}/{words}",
                    _hits(asked, pair, correct),
                    low=0.0,
                    high=1.0,
                    chance=1 / self._candidates,
                )
                for words, correct in several.items()
            ]
            for name, several in corrections.items()
        }

    def _lists(self, inputs: DiagnosticInputs, query: str, target: str) -> CandidateLists:
        task = inputs.request.task
        question = Retrieval(
            name=task.name,
            kind="retrieval",
            description=task.description,
            split=task.split,
            seed=task.seed,
            missingness=("complete",),
            metrics=("recall_at_1",),
            primary="recall_at_1",
            query=(query,),
            target=target,
            candidates=self._candidates,
        )
        try:
            lists = candidate_lists(question, inputs.store)
        except DataError as error:
            raise CannotScore(str(error), code="CS-S014") from error
        assert isinstance(lists, CandidateLists)
        return lists


def _asked(inputs: DiagnosticInputs, lists: CandidateLists, pair: tuple[int, int]) -> _Asked:
    """Return the queries of a pair of modalities, and the vectors of all their candidates.

    Targets are never hidden, as in retrieval tasks.
    """
    samples, (a, b) = inputs.samples, pair
    used = samples.available[:, a] & np.isin(samples.rows, lists.queries)
    rows = samples.rows[used]
    listed = lists.for_queries(rows)
    union, place = np.unique(listed, return_inverse=True)
    name = (inputs.modalities[b],)
    targets = unit_vectors(inputs.model, union, np.ones((len(union), 1), dtype=bool), name).z[:, 0]
    return _Asked(used, rows, samples.z[used, a], union, targets, place.reshape(listed.shape))


def _hits(asked: _Asked, pair: tuple[int, int], correct: _Correct) -> Float[np.ndarray, " sample"]:
    """Return whether each query finds its own target first; NaN where there is no query."""
    hits = np.full(len(asked.used), np.nan)
    if not asked.used.any():
        return hits
    query = correct(asked.query, pair[0], asked.rows)
    target = correct(asked.target, pair[1], asked.candidates)
    scores = np.einsum("qd,qcd->qc", query, target[asked.place])
    above, tied = expected_ranks(scores, np.zeros(len(asked.rows), dtype=np.int64))
    assert RECALL_AT_1.each is not None
    hits[asked.used] = RECALL_AT_1.each(above, tied)
    return hits


def _gap_measure(
    name: str,
    part: str,
    z: Float[np.ndarray, "sample two dim"],
    has: Bool[np.ndarray, "sample two"],
    *,
    relative: bool = False,
) -> DiagnosticMeasure:
    """Return the distance of two modalities' mean vectors, each over the samples that have it.

    Args:
        name: of the measure.
        part: names the two modalities.
        z: their vectors.
        has: True where a vector counts.
        relative: True divides by the root mean square distance of vectors from their mean, averaged
            over the two modalities.
    """

    def prepare(at: Int[np.ndarray, " part"]) -> ByWeights:
        vectors, counted = z[at], has[at].astype(np.float64)

        def form(weights: Real[np.ndarray, "resample sample"]) -> Float[np.ndarray, " resample"]:
            means, spreads = [], []
            for place in range(2):
                share = weights * counted[:, place]
                total = share.sum(axis=1)
                share = share / np.where(total > 0, total, np.nan)[:, None]
                mean = share @ vectors[:, place]
                square = share @ (vectors[:, place] ** 2).sum(axis=1)
                means.append(mean)
                spreads.append(np.sqrt(np.maximum(square - (mean**2).sum(axis=1), 0)))
            distance = np.linalg.norm(means[0] - means[1], axis=1)
            if not relative:
                return distance
            spread = np.mean(spreads, axis=0)
            return distance / np.where(spread > 0, spread, np.nan)

        return form

    return joint_measure(
        f"{name}/{part}",
        np.asarray(has.any(axis=1)),
        prepare,
        low=0.0,
        high=np.inf if relative else 2.0,
        higher_is_better=False,
        among={f"{name}/{part}/{place}": has[:, place] for place in range(2)},
    )

"""Measure which samples modalities hold alike: neighbours, recall within one, blind pairs.

Sources: Mistretta et al., "Cross the gap: exposing the intra-modal misalignment in CLIP via
modality inversion", ICLR 2025, https://arxiv.org/abs/2502.04263 (recall within a modality). Tong et
al., "Eyes wide shut? Exploring the visual shortcomings of multimodal LLMs", CVPR 2024,
https://arxiv.org/abs/2401.06209 (blind pairs). Li et al., "Lost in embeddings", 2025,
https://arxiv.org/abs/2509.11986 (shared neighbours).
"""

from itertools import combinations, permutations, product
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Shaped

from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs, DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.measures import average, for_pairs, sample_mean

_Vectors = Float[np.ndarray, "sample dim"]
_Subjects = Shaped[np.ndarray, " sample"]


class Structure:
    """The neighbours of samples in each modality, always among other subjects.

    Args:
        k: number of neighbours.
        close: two samples are close if their cosine is above this.
        far: they are far if it is below this.
    """

    display_name = "structure of representations"
    description = "Whether modalities agree on which samples are alike."
    source = "Mistretta et al., 2025; Tong et al., 2024; Li et al., 2025"
    reads = ("outcome",)
    measures: ClassVar[dict[str, str]] = {
        "shared_neighbours": "Share of a sample's k nearest that two modalities have in common.",
        "recall_at_1_within": "How often the nearest in the same modality has the same outcome.",
        "recall_at_1_between": "The same if the nearest is sought in another modality.",
        "blind": "Share of samples with one that is close in one modality and far in another.",
    }

    def __init__(self, *, k: int, close: float, far: float):
        if k < 1 or not -1 <= far <= close <= 1:
            raise ValueError(
                f"k = {k}, close = {close}, far = {far}; expected k of 1 or more, and cosines of "
                "which far is not above close."
            )
        self._k, self._close, self._far = k, close, far

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure every modality and every pair; see `Diagnostic`."""
        samples, seed = inputs.samples, inputs.request.task.seed
        names = samples.modalities
        subjects = inputs.subjects
        parts: dict[str, list[DiagnosticMeasure]] = {name: [] for name in self.measures}
        for a, b in combinations(range(len(names)), 2):
            used = for_pairs(np.asarray(samples.available[:, (a, b)].all(axis=1)), seed=seed)
            shared = np.full(len(used), np.nan)
            shared[used] = neighbours_shared(
                samples.z[used, a], samples.z[used, b], subjects[used], k=self._k
            )
            others = _others(subjects[used]).sum(axis=1)
            chance = np.minimum(self._k / np.maximum(others, 1), 1.0)
            parts["shared_neighbours"].append(
                sample_mean(
                    f"shared_neighbours/{names[a]}-{names[b]}",
                    shared,
                    low=0.0,
                    high=1.0,
                    chance=float(chance.mean()) if used.any() else None,
                )
            )
        for a, b in product(range(len(names)), repeat=2):
            name = "recall_at_1_within" if a == b else "recall_at_1_between"
            part = names[a] if a == b else f"{names[b]}_given_{names[a]}"
            parts[name].append(self._recall(f"{name}/{part}", inputs, (a, b), subjects))
        for a, b in permutations(range(len(names)), 2):
            parts["blind"].append(self._blind(inputs, (a, b), subjects))
        return [one for name, several in parts.items() for one in average(name, several)]

    def _recall(
        self, name: str, inputs: DiagnosticInputs, pair: tuple[int, int], subjects: _Subjects
    ) -> DiagnosticMeasure:
        """Return how often a sample's nearest of another subject has the sample's outcome."""
        samples, (a, b) = inputs.samples, pair
        has = samples.available[:, pair].all(axis=1) & ~np.isnan(inputs.label)
        used = for_pairs(has, seed=inputs.request.task.seed)
        label, others = inputs.label[used], _others(subjects[used])
        same = label[:, None] == label
        cosine = np.where(others, samples.z[used, a] @ samples.z[used, b].T, -np.inf)
        best = others & (cosine == cosine.max(axis=1, keepdims=True, initial=-np.inf))
        hits = np.full(len(used), np.nan)
        hits[used] = _share(same & best, best)
        chance = _share(same & others, others)
        return sample_mean(
            name,
            hits,
            low=0.0,
            high=1.0,
            chance=None if np.isnan(chance).all() else float(np.nanmean(chance)),
        )

    def _blind(
        self, inputs: DiagnosticInputs, pair: tuple[int, int], subjects: _Subjects
    ) -> DiagnosticMeasure:
        """Return which samples have a partner that is close in one modality and far in another.

        The column `partner/…` has the first such partner, as a row of the store.
        """
        samples, (a, b) = inputs.samples, pair
        both = np.asarray(samples.available[:, pair].all(axis=1))
        used = for_pairs(both, seed=inputs.request.task.seed)
        one, other = samples.z[used, a], samples.z[used, b]
        blind = blind_pairs(one, other, subjects[used], close=self._close, far=self._far)
        part = f"{samples.modalities[a]}_close_{samples.modalities[b]}_far"
        found, partner = np.full(len(used), np.nan), np.full(len(used), np.nan)
        found[used] = blind.any(axis=1)
        rows = samples.rows[used]
        if len(rows):
            partner[used] = np.where(blind.any(axis=1), rows[blind.argmax(axis=1)], np.nan)
        made = sample_mean(f"blind/{part}", found, low=0.0, high=1.0, higher_is_better=False)
        return DiagnosticMeasure(made.metric, {**made.columns, f"partner/{part}": partner})


def neighbours_shared(
    one: _Vectors, other: _Vectors, subjects: _Subjects, *, k: int
) -> Float[np.ndarray, " sample"]:
    """Return the share of each sample's k nearest that two spaces have in common.

    Neighbours are of other subjects, by Euclidean distance. A sample with fewer than k others has
    them all; one without any is NaN.

    Args:
        one: the samples' vectors in the first space.
        other: the same samples in the second space, of any dimension.
        subjects: the subject of each sample.
        k: number of neighbours.
    """
    others = _others(subjects)
    first, second = (_nearest(z, others, k=k) for z in (one, other))
    return _share(first & second, first)


def blind_pairs(
    one: _Vectors, other: _Vectors, subjects: _Subjects, *, close: float, far: float
) -> Bool[np.ndarray, "sample sample"]:
    """Return which pairs of samples are close in the first space and far in the second.

    Args:
        one: unit vectors of the samples in the first space.
        other: the same samples in the second space.
        subjects: the subject of each sample; a pair is of two.
        close: the cosine above which a pair is close.
        far: the cosine below which it is far.
    """
    return _others(subjects) & (one @ one.T > close) & (other @ other.T < far)


def _others(subjects: _Subjects) -> Bool[np.ndarray, "sample sample"]:
    return subjects[:, None] != subjects


def _nearest(
    z: _Vectors, others: Bool[np.ndarray, "sample sample"], *, k: int
) -> Bool[np.ndarray, "sample sample"]:
    """Return which others are among each sample's k nearest."""
    squares = (z**2).sum(axis=1)
    distance = np.where(others, squares[:, None] + squares - 2 * z @ z.T, np.inf)
    first = np.argsort(distance, axis=1, kind="stable")[:, :k]
    nearest = np.zeros(others.shape, dtype=bool)
    np.put_along_axis(nearest, first, True, axis=1)
    return nearest & others


def _share(
    part: Bool[np.ndarray, "sample sample"], among: Bool[np.ndarray, "sample sample"]
) -> Float[np.ndarray, " sample"]:
    """Return for each sample the share of `part` in `among`; NaN without any."""
    total = among.sum(axis=1)
    return np.where(total > 0, part.sum(axis=1) / np.maximum(total, 1), np.nan)

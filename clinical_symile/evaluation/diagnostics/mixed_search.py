"""Measure a search among recordings of several modalities in one ranking.

Source: Li et al., "Closing the modality gap for mixed modality search", 2025,
https://arxiv.org/abs/2507.19054 (one ranking over a mixed corpus, before and after mean removal).
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Shaped

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import (
    DiagnosticInputs,
    DiagnosticMeasure,
    scaled,
    train_means,
)
from clinical_symile.evaluation.diagnostics.measures import average, for_pairs, sample_mean
from clinical_symile.metrics.retrieval import NDCG_AT_10, above_and_tied

_Vectors = Float[np.ndarray, "sample modality dim"]


class MixedSearch:
    """One ranking of all recordings by cosine, for a recording as the query.

    A query looks for its sample's other recordings. Recordings of other subjects, in every modality
    that is searched, are ranked with them: also those of the query's own modality, which a gap
    between modalities puts first.

    Args:
        candidates_from: the modalities that are searched.
    """

    display_name = "mixed-modality search"
    description = "Find a sample's other recordings in one ranking over several modalities."
    source = "Li et al., 2025"
    measures: ClassVar[dict[str, str]] = {
        "ndcg_at_10": "nDCG among the first ten of one ranking over all searched modalities.",
        "ndcg_at_10_removed": "The same after the train mean of each modality is subtracted.",
        "own_modality_first": "How often a recording of the query's own modality ranks first.",
        "own_modality_first_removed": "The same after the train mean is subtracted.",
    }

    def __init__(self, *, candidates_from: Sequence[str]):
        self._searched = tuple(candidates_from)

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Search with every modality in turn as the query; see `Diagnostic`."""
        samples = inputs.samples
        if unknown := [name for name in self._searched if name not in samples.modalities]:
            raise CannotScore(
                f"candidates_from names {', '.join(unknown)}, which the task's inputs lack.",
                code="CS-S009",
            )
        searched = [samples.modalities.index(name) for name in self._searched]
        subjects = inputs.subjects
        used = np.flatnonzero(
            for_pairs(np.asarray(samples.available.any(axis=1)), seed=inputs.request.task.seed)
        )
        parts: dict[str, list[DiagnosticMeasure]] = {name: [] for name in self.measures}
        removed = scaled(samples.z - train_means(inputs))
        for end, z in (("", samples.z), ("_removed", removed)):
            for query, name in enumerate(samples.modalities):
                if not {*searched} - {query}:
                    continue  # a query has no other recording to find
                gain = np.full(len(samples.rows), np.nan)
                own = np.full(len(samples.rows), np.nan)
                gain[used], own[used] = _searched_with(
                    query, z[used], samples.available[used], searched, subjects[used]
                )
                parts[f"ndcg_at_10{end}"].append(
                    sample_mean(f"ndcg_at_10{end}/{name}", gain, low=0.0, high=1.0)
                )
                if query in searched:
                    parts[f"own_modality_first{end}"].append(
                        sample_mean(
                            f"own_modality_first{end}/{name}",
                            own,
                            low=0.0,
                            high=1.0,
                            higher_is_better=False,
                        )
                    )
        return [one for name, several in parts.items() for one in average(name, several)]


def _searched_with(
    query: int,
    z: _Vectors,
    available: Bool[np.ndarray, "sample modality"],
    searched: Sequence[int],
    subjects: Shaped[np.ndarray, " sample"],
) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
    """Return each query's nDCG at 10, and whether its own modality comes first.

    Both are NaN for a sample without the query's modality or without another searched one. Equal
    scores share their ranks.

    Args:
        query: the column of the query's modality.
        z: unit vectors.
        available: True where a vector may be read.
        searched: the columns of the searched modalities.
        subjects: the subject of each sample; its other samples are no candidates.
    """
    n, others = len(z), subjects[:, None] != subjects
    wanted = [column for column in searched if column != query]
    relevant = available[:, wanted]
    asked = available[:, query] & relevant.any(axis=1)
    scores = np.stack([z[:, query] @ z[:, column].T for column in searched], axis=2)
    scores[~(others[:, :, None] & available[None][:, :, searched])] = -np.inf
    flat = scores.reshape(n, -1)
    own = np.stack([(z[:, query] * z[:, column]).sum(axis=1) for column in wanted], axis=1)
    own = np.where(relevant, own, -np.inf)
    gains = np.zeros(n)
    assert NDCG_AT_10.each is not None
    for place in range(len(wanted)):
        has = asked & relevant[:, place]
        if not has.any():
            continue
        right = own[has, place]
        above, tied = above_and_tied(flat[has], right)
        more_above, more_tied = above_and_tied(own[has], right)
        # Among its sample's own recordings, the recording ties with itself.
        gains[has] += NDCG_AT_10.each(above + more_above, tied + more_tied - 1)
    ideal = 1 / np.log2(np.arange(2, len(wanted) + 2))
    best = np.cumsum(ideal)[np.maximum(relevant.sum(axis=1), 1) - 1]
    first = np.maximum(flat.max(axis=1, initial=-np.inf), own.max(axis=1, initial=-np.inf))
    of_query = [place for place, column in enumerate(searched) if column == query]
    mine = (scores[:, :, of_query] == first[:, None, None]).sum(axis=(1, 2))
    all_first = (flat == first[:, None]).sum(axis=1) + (own == first[:, None]).sum(axis=1)
    share = mine / np.maximum(all_first, 1)
    return np.where(asked, gains / best, np.nan), np.where(asked, share, np.nan)

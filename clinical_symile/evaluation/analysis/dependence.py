"""How far what is missing depends on an outcome: what a model learns that sees masks alone."""

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.data.masks import Mask, draw_mask
from clinical_symile.data.store import CohortStore
from clinical_symile.metrics.classification import AUROC
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.stats.bootstrap import Interval, bootstrap


def mask_auroc(
    pattern: Pattern,
    store: CohortStore,
    *,
    outcome: str,
    split: str,
    modalities: tuple[str, ...],
    seed: int,
    uncertain: str = "unknown",
) -> Interval:
    """AUROC of predicting an outcome from nothing but which modalities are seen.

    The prediction is how often train samples with the same modalities, under the same pattern and
    seed, have the outcome. 0.5 means that the mask says nothing; a model may score as high as this
    without reading a measurement.

    Args:
        pattern: draws the masks.
        store: a prepared cohort.
        outcome: one that the cohort codes.
        split: whose samples are scored.
        modalities: of the query.
        seed: of the masks.
        uncertain: what an uncertain label counts as, as a task says.

    Raises:
        CannotScore: the pattern cannot be drawn on this cohort.
        ValueError: the AUROC is undefined, for lack of samples with the outcome or without it.
    """
    train, scored = (
        draw_mask(pattern, store, split=name, modalities=modalities, seed=seed)
        for name in ("train", split)
    )
    known, label = _labelled(train, store.outcome(outcome, uncertain=uncertain))
    words, masks = _words(train)[known], 2 ** len(modalities)
    prevalence = label.mean() if len(label) else 0.5
    positive, available = (np.bincount(words, weights, masks) for weights in (label, None))
    risk = (positive + prevalence) / (available + 1)
    known, label = _labelled(scored, store.outcome(outcome, uncertain=uncertain))
    predicted = risk[_words(scored)[known]]
    subjects = store.samples["subject"].to_numpy()[scored.rows[known]]
    return bootstrap(AUROC.compute, [label, predicted], subjects, rng=np.random.default_rng(seed))


def _words(mask: Mask) -> Int[np.ndarray, " sample"]:
    """Which modalities are seen of each sample, as one number."""
    return mask.available @ (1 << np.arange(mask.available.shape[1]))


def _labelled(
    mask: Mask, outcome: Float[np.ndarray, " row"]
) -> tuple[Int[np.ndarray, " known"], Int[np.ndarray, " known"]]:
    label = outcome[mask.rows]
    known = np.flatnonzero(~np.isnan(label))
    return known, label[known].astype(int)

"""Check whether one column, or availability alone, predicts an outcome."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from clinical_symile.data.store import CohortStore
from clinical_symile.metrics.classification import AUROC
from clinical_symile.stats.bootstrap import bootstrap
from clinical_symile.stats.estimate import Interval

GIVEN_AWAY = 0.95  # AUROC of a single column from which it is suspicious
CERTAIN = 0.98  # from which, with the lower end of the interval above the former, it is a leak
FEWEST = 20  # samples of each class
SEED = 0
MOST_ROWS = 20_000  # for the regression on availability; more samples would not change the estimate


@dataclass(frozen=True)
class Leak:
    """A column of a panel that predicts an outcome by itself."""

    outcome: str
    column: str
    auroc: float
    low: float
    high: float
    samples: int

    @property
    def certain(self) -> bool:
        """True if neither chance nor physiology plausibly explains it."""
        return self.auroc >= CERTAIN and self.low >= GIVEN_AWAY


@dataclass(frozen=True)
class AvailabilityLeak:
    """AUROC of predicting an outcome from availability alone, or why it could not be computed."""

    outcome: str
    of: str
    split: str
    samples: int
    interval: Interval | None
    why: str = ""


def label_leaks(store: CohortStore) -> Iterator[Leak]:
    """Yield the columns of panels that alone predict an outcome of the training samples."""
    train = store.rows("train")
    subject = store.samples["subject"].to_numpy()
    for modality in store.modalities:
        array = store.array(modality)
        if array.ndim != 2:
            continue
        rows = train[store.present[train, store.modalities.index(modality)]]
        for place, part in enumerate(store.manifest["modalities"][modality]["parts"]):
            values = np.asarray(array[rows, place], dtype=np.float64)
            for outcome in store.outcomes:
                label = store.outcome(outcome)[rows]
                known = ~np.isnan(label) & ~np.isnan(values)
                leak = _leak(label[known], values[known], subject[rows[known]])
                if leak is not None:
                    ends = leak.value, leak.low, leak.high
                    yield Leak(outcome, f"{modality} {part}", *ends, int(known.sum()))


def unchecked_outcomes(store: CohortStore) -> list[str]:
    """Return the outcomes with too few training labels for `label_leaks`."""
    rows = store.rows("train")
    return [name for name in store.outcomes if not _both(store.outcome(name)[rows])]


def _leak(
    label: Float[np.ndarray, " sample"], values: Float[np.ndarray, " sample"], subject: np.ndarray
) -> Interval | None:
    """Return the AUROC of a column in its better direction; None unless it is suspicious."""
    label = label.astype(np.int64)
    if min((label == 1).sum(), (label == 0).sum()) < FEWEST:
        return None
    share = rankdata(values) / len(values)
    value = AUROC.compute(label, share)
    if max(value, 1 - value) < GIVEN_AWAY:
        return None
    return _interval([label, share if value >= 0.5 else 1 - share], subject)


def availability_leaks(store: CohortStore) -> Iterator[AvailabilityLeak]:
    """Compute how well availability alone, of modalities and of analytes, predicts each outcome.

    A logistic regression predicts the outcome from availability. It is fitted on training samples
    and evaluated on held-out ones, or on tuning ones if held-out ones have too few labels.
    """
    masks = _masks(store)
    for outcome in store.outcomes:
        label = store.outcome(outcome)
        for of, mask in masks.items():
            if not mask.any(axis=0).any() or mask.all():
                continue
            yield _availability(store, outcome, of, mask, label)


def _masks(store: CohortStore) -> dict[str, Bool[np.ndarray, "sample what"]]:
    masks = {"the availability of modalities": store.present}
    for modality in store.modalities:
        array = store.array(modality)
        if array.ndim == 2:
            observed = ~np.isnan(array) & store.present[:, [store.modalities.index(modality)]]
            masks[f"the availability of values of {modality}"] = observed
    return masks


def _availability(
    store: CohortStore,
    outcome: str,
    of: str,
    mask: Bool[np.ndarray, "sample what"],
    label: Float[np.ndarray, " sample"],
) -> AvailabilityLeak:
    from sklearn.linear_model import LogisticRegression  # here: it takes a second

    known = {
        split: rows[~np.isnan(label[rows])]
        for split, rows in ((split, store.rows(split)) for split in ("train", "tuning", "held_out"))
    }
    split = "held_out" if _both(label[known["held_out"]]) else "tuning"
    train, scored = known["train"], known[split]
    if not _both(label[train]) or not _both(label[scored]):
        why = f"fewer than {FEWEST} samples of a class in train, or in {split}"
        return AvailabilityLeak(outcome, of, split, len(scored), None, why)
    if len(train) > MOST_ROWS:
        train = np.sort(np.random.default_rng(SEED).choice(train, MOST_ROWS, replace=False))
    model = LogisticRegression(max_iter=1000).fit(mask[train], label[train].astype(np.int64))
    probability = model.predict_proba(mask[scored])[:, 1]
    subject = store.samples["subject"].to_numpy()[scored]
    arrays = [label[scored].astype(np.int64), probability]
    try:
        interval = _interval(arrays, subject)
    except ValueError as error:
        return AvailabilityLeak(outcome, of, split, len(scored), None, str(error))
    return AvailabilityLeak(outcome, of, split, len(scored), interval)


def _interval(arrays: list[np.ndarray], subject: np.ndarray) -> Interval:
    rng = np.random.default_rng(SEED)
    return bootstrap(AUROC.compute, arrays, subject, rng=rng, weighted=AUROC.weighted)


def _both(label: Float[np.ndarray, " sample"]) -> bool:
    return bool(min((label == 1).sum(), (label == 0).sum()) >= FEWEST)

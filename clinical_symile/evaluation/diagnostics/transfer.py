"""Measure whether what is learned from one modality holds for another.

Sources: Zhang et al., "Connect, collapse, corrupt", ICLR 2024, https://arxiv.org/abs/2401.08567
(mean removal and noise). Gu et al., "I can't believe there's no images! Learning visual tasks using
only language supervision", ICCV 2023, https://arxiv.org/abs/2211.09778 (noise on what is learned
from).
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import (
    DiagnosticInputs,
    DiagnosticMeasure,
    noise_of_rows,
    scaled,
    train_means,
)
from clinical_symile.evaluation.diagnostics.measures import (
    auroc_measure,
    average,
)
from clinical_symile.evaluation.labels import outcome_labels
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import PROBES

_LEARNED = ("train", "tuning")  # the splits that a probe learns from
# Changes the vectors of one modality, given by its column, of some rows.
_Change = Callable[[np.ndarray, int, np.ndarray], np.ndarray]


class Transfer:
    """The probe of one modality, asked with the vectors of another.

    Args:
        learn_from: the modalities that a probe learns from.
        noise: standard deviation of the noise on each number of a vector that is learned from.
    """

    display_name = "cross-modal transfer"
    description = "AUROC of a probe that learned from one modality and is asked with another."
    source = "Zhang et al., 2024; Gu et al., 2023"
    reads = ("outcome", "probe")
    measures: ClassVar[dict[str, str]] = {
        "auroc": "AUROC of a probe asked with another modality than it learned from.",
        "auroc_noise": "The same with noise on what is learned from.",
        "auroc_removed": "The same after the train mean of each modality is subtracted.",
        "auroc_c3": "The same after mean removal and with noise.",
        "auroc_within": "AUROC of the probe asked with the modality that it learned from.",
    }

    def __init__(self, *, learn_from: Sequence[str], noise: float):
        self._learn_from, self._noise = tuple(learn_from), noise

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure every ordered pair whose first modality is learned from; see `Diagnostic`."""
        names, seed = inputs.modalities, inputs.request.task.seed
        if unknown := [name for name in self._learn_from if name not in names]:
            raise CannotScore(
                f"learn_from names {', '.join(unknown)}, which the task's inputs lack.",
                code="CS-S009",
            )
        means = train_means(inputs)

        def plain(z: np.ndarray, column: int, rows: np.ndarray) -> np.ndarray:
            return z

        def removed(z: np.ndarray, column: int, rows: np.ndarray) -> np.ndarray:
            return scaled(z - means[column])

        def noisy(change: _Change) -> _Change:
            def add(z: np.ndarray, column: int, rows: np.ndarray) -> np.ndarray:
                noise = noise_of_rows(rows, seed=seed, column=column, dim=z.shape[1])
                return scaled(change(z, column, rows) + self._noise * noise)

            return add

        forms = {
            "auroc": (plain, plain),
            "auroc_noise": (noisy(plain), plain),
            "auroc_removed": (removed, removed),
            "auroc_c3": (noisy(removed), removed),
        }
        parts: dict[str, list[DiagnosticMeasure]] = {name: [] for name in self.measures}
        for name, (learned, asked) in forms.items():
            for a in (names.index(one) for one in names if one in self._learn_from):
                # One probe is asked with every other modality, and with its own in the plain form.
                others = [b for b in range(len(names)) if b != a or name == "auroc"]
                risks = _risks(inputs, a, others, learned, asked)
                for b, risk in zip(others, risks, strict=True):
                    kind = name if b != a else "auroc_within"
                    part = names[a] if b == a else f"{names[b]}_from_{names[a]}"
                    parts[kind].append(_auroc(f"{kind}/{part}", inputs, b, risk))
        return [one for name, several in parts.items() for one in average(name, several)]


def _risks(
    inputs: DiagnosticInputs,
    learned_from: int,
    asked_with: Sequence[int],
    learned: _Change,
    asked: _Change,
) -> list[Float[np.ndarray, " sample"]]:
    """Fit a probe to one modality, and return the risks that others give; NaN where unused.

    Args:
        inputs: the task, the model and the examined samples.
        learned_from: the column of the modality that the probe learns from.
        asked_with: the columns of those that it is asked with.
        learned: changes the vectors that are learned from.
        asked: changes those that are asked with.

    Raises:
        CannotScore: the probe cannot be fitted.
    """
    train, tuning = (_learning(inputs, split, learned_from, learned) for split in _LEARNED)
    if len(np.unique(train.label)) < 2 or not len(tuning.label):
        raise CannotScore(
            f"no probe can be fitted to {inputs.modalities[learned_from]}: the train split needs "
            "samples with the outcome and samples without it, and the tuning split at least one "
            "labelled sample.",
            code="CS-S008",
        )
    samples, question = inputs.samples, inputs.question
    used = [_used(inputs, column) for column in asked_with]
    risks = [np.full(len(has), np.nan) for has in used]
    vectors = [
        asked(samples.z[has, column], column, samples.rows[has])
        for has, column in zip(used, asked_with, strict=True)
        if has.any()
    ]
    if vectors:
        rows = np.concatenate([samples.rows[has] for has in used if has.any()])
        probe = resolve(question.probe.name, PROBES)(**question.probe.arguments)
        together = _alone(rows, np.concatenate(vectors))
        found = probe.predict(
            ProbeInputs(train, tuning, together, None, seed=inputs.request.task.seed)
        )
        ends = np.cumsum([int(has.sum()) for has in used])[:-1]
        for risk, has, part in zip(risks, used, np.split(found, ends), strict=True):
            risk[has] = part
    return risks


def _used(inputs: DiagnosticInputs, column: int) -> Bool[np.ndarray, " sample"]:
    """Return which examined samples have a modality and a known label."""
    return inputs.samples.available[:, column] & ~np.isnan(inputs.label)


def _auroc(
    name: str, inputs: DiagnosticInputs, column: int, risk: Float[np.ndarray, " sample"]
) -> DiagnosticMeasure:
    """Return AUROC of the risks that a modality, given by its column, gives."""
    used = _used(inputs, column)
    label = np.where(used, np.nan_to_num(inputs.label), 0).astype(np.int64)
    return auroc_measure(name, used, label, risk)


def _alone(rows: Int[np.ndarray, " sample"], z: Float[np.ndarray, "sample dim"]) -> EmbeddedSamples:
    """Return vectors of any modality as those of one."""
    return EmbeddedSamples(rows, z[:, None], np.ones((len(z), 1), dtype=bool), ("vector",))


def _learning(
    inputs: DiagnosticInputs, split: str, column: int, change: _Change
) -> LabelledSamples:
    """Return the labelled vectors of one modality that a probe learns from."""
    samples = inputs.of_split(split)
    label = outcome_labels(inputs.train_store, inputs.question)[samples.rows]
    kept = samples.available[:, column] & ~np.isnan(label)
    rows = samples.rows[kept]
    vectors = samples.z[kept, column]
    if len(rows):
        vectors = change(vectors, column, rows)
    return LabelledSamples(**vars(_alone(rows, vectors)), label=label[kept].astype(np.int64))

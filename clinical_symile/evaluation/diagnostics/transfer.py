"""Measure whether what is learned from one modality holds for another.

Sources: Zhang et al., "Connect, collapse, corrupt", ICLR 2024, https://arxiv.org/abs/2401.08567
(mean removal and noise). Gu et al., "I can't believe there's no images! Learning visual tasks using
only language supervision", ICCV 2023, https://arxiv.org/abs/2211.09778 (noise on what is learned
from).
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import (
    DiagnosticInputs,
    DiagnosticMeasure,
    noise_of_rows,
    scaled,
    train_means,
)
from clinical_symile.evaluation.diagnostics.measures import ByWeights, average, joint_measure
from clinical_symile.evaluation.labels import outcome_labels
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs
from clinical_symile.metrics.classification import AUROC
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import PROBES

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
        pairs = [
            (names.index(one), names.index(other))
            for one, other in permutations(names, 2)
            if one in self._learn_from
        ]
        parts: dict[str, list[DiagnosticMeasure]] = {}
        for name, (learned, asked) in forms.items():
            parts[name] = [
                self._auroc(f"{name}/{names[b]}_from_{names[a]}", inputs, (a, b), learned, asked)
                for a, b in pairs
            ]
        parts["auroc_within"] = [
            self._auroc(f"auroc_within/{name}", inputs, (place, place), plain, plain)
            for place, name in enumerate(names)
            if name in self._learn_from
        ]
        return [one for name, several in parts.items() for one in average(name, several)]

    def _auroc(
        self,
        name: str,
        inputs: DiagnosticInputs,
        pair: tuple[int, int],
        learned: _Change,
        asked: _Change,
    ) -> DiagnosticMeasure:
        """Return AUROC of a probe on the second modality that learned from the first."""
        samples, (a, b) = inputs.samples, pair
        used = samples.available[:, b] & ~np.isnan(inputs.label)
        label = np.where(used, np.nan_to_num(inputs.label), 0).astype(np.int64)
        risk = np.full(len(used), np.nan)
        train, tuning = (_learning(inputs, split, a, learned) for split in ("train", "tuning"))
        if len(np.unique(train.label)) < 2 or not len(tuning.label):
            raise CannotScore(
                f"no probe can be fitted to {inputs.modalities[a]}: the train split needs samples "
                "with the outcome and samples without it, and the tuning split at least one "
                "labelled sample.",
                code="CS-S008",
            )
        if used.any():
            rows = samples.rows[used]
            probe = resolve(inputs.question.probe.name, PROBES)(**inputs.question.probe.arguments)
            vectors = _alone(rows, asked(samples.z[used, b], b, rows))
            risk[used] = probe.predict(
                ProbeInputs(train, tuning, vectors, None, seed=inputs.request.task.seed)
            )

        def prepare(at: Int[np.ndarray, " part"]) -> ByWeights:
            weighted = AUROC.weighted
            assert weighted is not None
            return weighted.prepare(label[at], risk[at])  # pyright: ignore[reportFunctionMemberAccess]

        return joint_measure(name, used, prepare, low=0.0, high=1.0, chance=0.5)


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

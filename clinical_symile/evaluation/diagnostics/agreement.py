"""Measure whether single modalities lead to the same prediction.

Sources: Cohen, "A coefficient of agreement for nominal scales", 1960 (kappa). Tang et al., "SEAM:
semantically equivalent across modalities benchmark for vision-language models", COLM 2025
(agreement between modalities).
"""

from itertools import combinations
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Real

from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs, DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.measures import (
    ByWeights,
    average,
    joint_measure,
    sample_mean,
)
from clinical_symile.evaluation.labels import train_prevalence
from clinical_symile.missingness.patterns import parse_pattern


class Agreement:
    """Predictions from one modality compared with those from another, of samples with both.

    A risk above the prevalence of the train split is a prediction of the outcome. For each modality
    a probe is fitted under the pattern that leaves it alone.
    """

    display_name = "agreement of modalities"
    description = "Whether predictions from single modalities agree."
    source = "Cohen, 1960; Tang et al., 2025"
    reads = ("outcome", "probe")
    measures: ClassVar[dict[str, str]] = {
        "agreement": "Share of samples with the same prediction from two single modalities.",
        "kappa": "The same above what their prevalences give by chance: 1 is full agreement.",
    }

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure every pair of modalities; see `Diagnostic`."""
        names, has = inputs.modalities, inputs.request.available
        said = np.zeros(has.shape, dtype=bool)
        for place, name in enumerate(names):
            pattern = parse_pattern(f"only-{name}")
            alone = has & (np.arange(len(names)) == place)
            prevalence = train_prevalence(inputs.question, inputs.train_store, pattern)
            said[:, place] = inputs.risk(alone, pattern=pattern) > prevalence
        agreements, kappas = [], []
        for a, b in combinations(range(len(names)), 2):
            part, both = f"{names[a]}-{names[b]}", np.asarray(has[:, (a, b)].all(axis=1))
            equal = np.where(both, said[:, a] == said[:, b], np.nan)
            agreements.append(sample_mean(f"agreement/{part}", equal, low=0.0, high=1.0))
            kappas.append(
                joint_measure(
                    f"kappa/{part}",
                    both,
                    lambda at, a=a, b=b: cohens_kappa(said[at, a], said[at, b]),
                    low=-1.0,
                    high=1.0,
                )
            )
        return [*average("agreement", agreements), *average("kappa", kappas)]


def cohens_kappa(one: Bool[np.ndarray, " sample"], other: Bool[np.ndarray, " sample"]) -> ByWeights:
    """Return Cohen's kappa of two predictions as a function of weights.

    It is NaN where both predict the same for every sample.
    """
    equal, first, second = (values.astype(np.float64) for values in (one == other, one, other))

    def form(weights: Real[np.ndarray, "resample sample"]) -> Float[np.ndarray, " resample"]:
        total = weights.sum(axis=1).astype(np.float64)
        safe = np.where(total > 0, total, np.nan)
        observed, p, q = (weights @ values / safe for values in (equal, first, second))
        expected = p * q + (1 - p) * (1 - q)
        room = np.where(expected < 1, 1 - expected, np.nan)
        return (observed - expected) / room

    return form

"""Measure how unevenly modalities share a metric.

Source: Wu et al., "When language overrules: revealing text dominance in multimodal large language
models", 2025, https://arxiv.org/abs/2508.10552 (a dominance index; here of Shapley values).
"""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from clinical_symile.evaluation.diagnostics._subset_risks import risks_by_subset
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs, DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.measures import joint_measure


class Dominance:
    """The largest Shapley value of AUROC divided by their mean."""

    display_name = "dominance of a modality"
    description = "The largest contribution of a modality to AUROC, divided by their mean."
    source = "Wu et al., 2025; Shapley, 1953"
    reads = ("outcome", "probe")
    measures: ClassVar[dict[str, str]] = {
        "dominance": "The largest Shapley value of AUROC divided by their mean; 1 if equal.",
    }

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure the modalities together; see `Diagnostic`."""
        risks = risks_by_subset(inputs)
        return [
            joint_measure(
                "dominance",
                risks.used,
                risks.of(dominance_index),
                low=1.0,
                high=np.inf,
                higher_is_better=False,
            )
        ]


def dominance_index(
    shares: Float[np.ndarray, "modality resample"], total: Float[np.ndarray, " resample"]
) -> Float[np.ndarray, " resample"]:
    """Return the largest share divided by their mean; NaN where their sum is not above 0.

    Args:
        shares: the Shapley value of each modality.
        total: their sum.
    """
    mean = total / len(shares)
    return np.where(mean > 0, shares.max(axis=0) / np.where(mean > 0, mean, 1.0), np.nan)

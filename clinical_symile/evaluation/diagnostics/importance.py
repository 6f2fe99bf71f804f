"""Measure which modality holds the answer, sample by sample and for a metric.

Sources: Park et al., "Assessing modality bias in video question answering benchmarks with
multimodal large language models", AAAI 2025, https://arxiv.org/abs/2408.12763 (the modality of a
sample). Shapley, "A value for n-person games", 1953.
"""

from typing import ClassVar

import numpy as np

from clinical_symile.evaluation.diagnostics._subset_risks import risks_by_subset
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs, DiagnosticMeasure
from clinical_symile.evaluation.diagnostics.measures import joint_measure, sample_mean


class Importance:
    """The modality that gives the true outcome of a sample the highest probability, alone.

    Samples have every modality. For each set of modalities a probe is fitted under the pattern that
    leaves this set.
    """

    display_name = "importance of modalities"
    description = "Which modality alone holds the answer, and what each adds to AUROC."
    source = "Park et al., 2025; Shapley, 1953"
    reads = ("outcome", "probe")
    measures: ClassVar[dict[str, str]] = {
        "holds_answer": "Share of samples whose outcome a modality alone predicts best.",
        "shapley": "What a modality adds to AUROC, averaged over all orders of adding modalities.",
        "total": "AUROC from all modalities above chance: the sum of the Shapley values.",
    }

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure every modality; see `Diagnostic`."""
        risks, names = risks_by_subset(inputs), inputs.modalities
        alone = np.stack([risks.risk[frozenset([name])] for name in names], axis=1)
        true = np.where(risks.label[:, None] == 1, alone, 1 - alone)
        best = true == true.max(axis=1, keepdims=True)
        share = np.full(true.shape, np.nan)
        share[risks.used] = best[risks.used] / best[risks.used].sum(axis=1, keepdims=True)
        made = [
            sample_mean(
                f"holds_answer/{name}", share[:, place], low=0.0, high=1.0, chance=1 / len(names)
            )
            for place, name in enumerate(names)
        ]
        made += [
            joint_measure(
                f"shapley/{name}",
                risks.used,
                risks.of(lambda shares, total, place=place: shares[place]),
                low=-1.0,
                high=1.0,
            )
            for place, name in enumerate(names)
        ]
        total = risks.of(lambda shares, total: total)
        return [*made, joint_measure("total", risks.used, total, low=-0.5, high=0.5)]

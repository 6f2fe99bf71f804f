"""Predict an outcome from every set of modalities, and share a metric among modalities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs
from clinical_symile.evaluation.diagnostics.measures import ByWeights, auroc_by_weights
from clinical_symile.metrics.shapley import Modalities, shapley_values
from clinical_symile.missingness.patterns import expand, parse_pattern

# Maps the share of each modality, [modality, resample], and the total to a value per resample.
Combine = Callable[[np.ndarray, np.ndarray], np.ndarray]
_CHANCE = 0.5  # AUROC without any modality


@dataclass(frozen=True, eq=False, repr=False)
class SubsetRisks:
    """Risks predicted from every set of modalities, on the same samples.

    Attributes:
        used: True for examined samples with every modality and a known label.
        label: 1 or 0; what it is for others is not read.
        risk: by set of modalities, the risk of each examined sample; NaN for others.
        modalities: of the task.
    """

    used: Bool[np.ndarray, " sample"]
    label: Int[np.ndarray, " sample"]
    risk: Mapping[Modalities, Float[np.ndarray, " sample"]]
    modalities: tuple[str, ...]

    def of(self, combine: Combine) -> Callable[[Int[np.ndarray, " part"]], ByWeights]:
        """Return a number made from Shapley values of AUROC, for `joint_measure`.

        Args:
            combine: makes it from the Shapley value of each modality and the AUROC above chance.
        """

        def prepare(at: Int[np.ndarray, " part"]) -> ByWeights:
            forms = {
                some: auroc_by_weights(self.label[at], risk[at]) for some, risk in self.risk.items()
            }

            def form(weights: Real[np.ndarray, "resample part"]) -> Float[np.ndarray, " resample"]:
                values = {some: one(weights) for some, one in forms.items()}
                values[frozenset()] = np.full(len(weights), _CHANCE)
                shares = shapley_values(values, self.modalities)
                total = values[frozenset(self.modalities)] - _CHANCE
                return combine(np.stack([shares[name] for name in self.modalities]), total)

            return form

        return prepare


def risks_by_subset(inputs: DiagnosticInputs) -> SubsetRisks:
    """Predict the outcome from every set of modalities; a probe is fitted anew for each.

    Raises:
        CannotScore: no sample has all modalities and a label, or a class is missing; or the model
            cannot predict.
    """
    used = inputs.request.available.all(axis=1) & ~np.isnan(inputs.label)
    label = np.where(used, np.nan_to_num(inputs.label), 0).astype(np.int64)
    if len(np.unique(label[used])) < 2:
        raise CannotScore(
            f"no two samples with every modality differ in {inputs.question.outcome}, so that "
            "there is no answer to share among modalities.",
            code="CS-S007",
        )
    risk: dict[Modalities, np.ndarray] = {}
    for name in expand(["every"], inputs.modalities):
        pattern = parse_pattern(name)
        some = frozenset(pattern.visible_modalities(inputs.modalities))
        columns = np.array([one in some for one in inputs.modalities])
        available = inputs.request.available & columns & used[:, None]
        found = np.full(len(used), np.nan)
        predicted = inputs.risk(available, pattern=pattern)
        found[used] = predicted[used]
        risk[some] = found
    return SubsetRisks(used, label, risk, inputs.modalities)

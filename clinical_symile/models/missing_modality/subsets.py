"""Sum the objective over every subset of modalities."""

from clinical_symile.models.missing_modality.base import DropModality, MissingModalityMethod
from clinical_symile.objectives.subsets import SubsetSum

SUBSETS = MissingModalityMethod(
    handler=DropModality,
    wrap_objective=SubsetSum,
    display_name="sum over subsets",
    description="Trains on every combination of the modalities that an admission has.",
)
"""The objective summed over every subset of modalities; each sample counts in those it has."""

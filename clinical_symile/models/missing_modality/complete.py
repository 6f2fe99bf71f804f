"""Learn only from samples with every modality."""

from clinical_symile.models.missing_modality.base import DropModality, MissingModalityMethod

COMPLETE = MissingModalityMethod(
    handler=DropModality,
    min_modalities=None,
    display_name="complete cases",
    description="Trains on complete admissions only.",
)
"""Only samples with every modality are learned from."""

"""Learn only from samples with every modality."""

from clinical_symile.models.missing_modality.base import DropModality, MissingModalityMethod

COMPLETE = MissingModalityMethod(handler=DropModality, min_modalities=None)
"""Only samples with every modality are learned from."""

"""Leave a missing modality out of losses and scores."""

from clinical_symile.models.missing_modality.base import DropModality, MissingModalityMethod

DROP = MissingModalityMethod(
    handler=DropModality,
    display_name="masked cube",
    description="Trains on all admissions, and leaves missing modalities out of its comparisons.",
)
"""Masked cube: a combination counts if all its members are available."""

"""Learn a vector in place of a missing modality."""

from clinical_symile.models.missing_modality._learned_vectors import LearnedVectors
from clinical_symile.models.missing_modality.base import MissingModalityMethod

LEARNED = MissingModalityMethod(
    handler=LearnedVectors,
    display_name="learned vector",
    description="Puts a learned placeholder where a modality is missing.",
)
"""A learned vector in place of a missing modality."""

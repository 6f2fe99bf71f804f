"""Learn a vector in place of a missing modality."""

from clinical_symile.models.missing_modality._learned_vectors import LearnedVectors
from clinical_symile.models.missing_modality.base import MissingModalityMethod

LEARNED = MissingModalityMethod(handler=LearnedVectors)
"""A learned vector in place of a missing modality."""

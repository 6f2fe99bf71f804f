"""Learn vectors in place of missing modalities and hide available ones at random."""

from clinical_symile.models.missing_modality._learned_vectors import LearnedVectors
from clinical_symile.models.missing_modality.base import MissingModalityMethod

DROPOUT = MissingModalityMethod(handler=LearnedVectors, dropout_rate=0.3)
"""As `learned`, and each epoch hides 30 % of the available modalities anew."""

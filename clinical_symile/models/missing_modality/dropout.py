"""Learn vectors in place of missing modalities and hide available ones at random."""

from clinical_symile.models.missing_modality._learned_vectors import LearnedVectors
from clinical_symile.models.missing_modality.base import MissingModalityMethod

DROPOUT = MissingModalityMethod(
    handler=LearnedVectors,
    dropout_rate=0.3,
    display_name="modality dropout",
    description=(
        "Puts a learned placeholder where a modality is missing, and hides some "
        "modalities on purpose during training."
    ),
)
"""As `learned`, and each epoch hides 30 % of the available modalities anew."""

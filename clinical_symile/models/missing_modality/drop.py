"""Leave a missing modality out of losses and scores."""

from clinical_symile.models.missing_modality.base import DropModality, MissingModalityMethod

DROP = MissingModalityMethod(handler=DropModality)
"""Masked cube: a combination counts if all its members are available."""

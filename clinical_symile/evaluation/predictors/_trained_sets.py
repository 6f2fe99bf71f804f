"""Refuse sets of modalities that a method which encodes by set was never trained on."""

from jaxtyping import Bool, Int
from torch import Tensor

from clinical_symile.data.embeddings import pattern_codes
from clinical_symile.errors import CannotScore
from clinical_symile.models.missing_modality.base import SetEncodingHandler
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.objectives.base import Objective


def trained_sets(
    available: Bool[Tensor, "sample modality"], model: MultimodalEncoder, objective: Objective
) -> Int[Tensor, " sample"]:
    """Return the set of modalities of each sample, as a number.

    A contrastive objective learns from sets of two modalities or more. A sample with one has
    nothing to be matched with: it is a negative of others alone, which trains nothing of its set.

    Args:
        available: True where a sample has the modality.
        model: its method encodes by set.
        objective: the one that it was trained with.

    Raises:
        CannotScore: training learned from no sample that had one of the sets.
    """
    codes, way = pattern_codes(available), model.missing_modality
    assert isinstance(way, SetEncodingHandler)
    least = 2 if objective.retrieves else 1
    unknown = [
        code
        for code in codes.unique().tolist()
        if code and (code.bit_count() < least or not way.has_moved(code))
    ]
    if unknown:
        sets = [
            " and ".join(name for column, name in enumerate(model.modalities) if code >> column & 1)
            for code in unknown
        ]
        raise CannotScore(
            f"training learned from no sample that has exactly {', or '.join(sets)}, so that no "
            "adapter of this set was trained. Train with a pattern or a modality dropout in which "
            "it occurs. A contrastive objective learns from sets of two modalities or more.",
            code="CS-S019",
        )
    return codes

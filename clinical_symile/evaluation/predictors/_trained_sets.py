"""Refuse sets of modalities that a method which encodes by set was never trained on."""

from jaxtyping import Bool, Int
from torch import Tensor

from clinical_symile.data.embeddings import pattern_codes
from clinical_symile.errors import CannotScore
from clinical_symile.models.missing_modality.base import SetEncodingHandler
from clinical_symile.models.multimodal import MultimodalEncoder


def trained_sets(
    available: Bool[Tensor, "sample modality"], model: MultimodalEncoder
) -> Int[Tensor, " sample"]:
    """Return the set of modalities of each sample, as a number.

    Args:
        available: True where a sample has the modality.
        model: its method encodes by set.

    Raises:
        CannotScore: no training sample had one of the sets.
    """
    codes, way = pattern_codes(available), model.missing_modality
    assert isinstance(way, SetEncodingHandler)
    unknown = [code for code in codes.unique().tolist() if code and not way.is_trained(code)]
    if unknown:
        sets = [
            " and ".join(name for column, name in enumerate(model.modalities) if code >> column & 1)
            for code in unknown
        ]
        raise CannotScore(
            f"training met no sample that has exactly {', or '.join(sets)}, so that no adapter of "
            "this set was trained. Train with a pattern or a modality dropout in which it occurs.",
            code="CS-S019",
        )
    return codes

"""UMSE: fuse by attention over the tokens of all available modalities at once."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.objectives.arguments import at_least, refuse
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.starting_weights import starting_weights
from clinical_symile.objectives.token_attention import TokenQueries, join_attention


class TokenSetFusion(ModalityFusion):
    """Attention of a few learned queries to one set: the tokens of all available modalities.

    Tokens are places of an image, stretches of an ECG, and analytes; with the labs encoder `sets`,
    the measured ones alone. Each modality maps its tokens to keys and values of one width. A
    softmax over the whole set weighs the values, and a perceptron maps what all queries found to
    the vector. A token has a learned position, unless its encoder gives a set, whose order changes
    nothing. A missing modality has no tokens.

    Attention to the set follows exactly from that to each modality. So a sample is encoded once,
    whatever is hidden later.

    Source: Lee et al., "Learning Missing Modal Electronic Health Records with Unified Multi-modal
    Data Embedding and Modality-Aware Attention", MLHC 2023, https://arxiv.org/abs/2305.02504. Read
    were the abstract and the embedding of its code, AITRICS/Medical_Tri_Modal_Pilot at 073e78a,
    which has the MIT licence. There the token of a measurement is a sum of networks of its value,
    its time and its name, and a transformer with bottlenecks reads the tokens. Here nothing has a
    time, tokens do not attend to each other, and there are no bottlenecks, which carry what skips a
    missing modality. The learned queries, the perceptron and the widths are this project's.

    Args:
        modalities: the names of the modalities.
        dim: the width of a vector.
        generator: the source of starting weights.
        queries: the number of queries.
        width: the width of queries, keys and values.

    Raises:
        ValueError: an argument is out of range.
    """

    display_name = "set of tokens (UMSE)"
    description = "Attention of learned queries over the tokens of all available modalities."
    source = (
        'Lee et al., "Learning Missing Modal Electronic Health Records with Unified Multi-modal '
        'Data Embedding and Modality-Aware Attention", MLHC 2023, https://arxiv.org/abs/2305.02504'
    )

    def __init__(
        self,
        modalities: tuple[str, ...],
        dim: int,
        generator: torch.Generator,
        *,
        queries: int = 4,
        width: int = 64,
    ):
        super().__init__(modalities, dim)
        refuse(at_least(1, queries=queries), at_least(2, width=width))
        self.token_queries = TokenQueries(queries, width)
        size = queries * width
        with starting_weights(generator):
            self.output = nn.Sequential(
                nn.LayerNorm(width),
                nn.Flatten(),
                nn.Linear(size, size),
                nn.GELU(),
                nn.Linear(size, dim),
            )

    def attended(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample query width"]:
        """Return what each query finds in the tokens of all available modalities.

        Args:
            z: the vectors, followed by the summaries of tokens; zero where unavailable.
            available: True where a sample has the modality; each has at least one.
        """
        assert self.token_queries is not None
        outputs, normalizers = self.token_queries.unpack(z[..., self.dim :])
        return join_attention(outputs, normalizers, available)

    def fuse(
        self,
        z: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
    ) -> Float[Tensor, "sample dim"]:
        """See `ModalityFusion`."""
        return self.output(self.attended(z, available))

"""Encode labs as a set of measured analytes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.models.encoders._validation import require_counts

_OF_PERCENTILES = (0.5, 12**-0.5)  # mean and standard deviation: they are uniform from 0 to 1


class AnalyteSet(nn.Module):
    """Attention over the analytes that a sample has; one that is not measured is no token.

    The token of a measured analyte is a learned vector of the analyte plus a perceptron of its
    value. Percentiles are uniform from 0 to 1, and the perceptron reads them with a mean of 0 and a
    variance of 1: read as they are, they move a token little beside the analyte's vector, and the
    encoder learns slowly. A learned token and these attend to each other in a transformer; the
    output is a linear function of what the learned token ends as. The order of analytes has no
    meaning. A sample without any has the learned token alone. The tokens that it gives to others
    are these, before the transformer, with a last number of 1 where they exist and 0 where not.

    Source: the set of measurements as tokens of Lee et al., "Learning Missing Modal Electronic
    Health Records with Unified Multi-modal Data Embedding and Modality-Aware Attention" (UMSE),
    MLHC 2023, https://arxiv.org/abs/2305.02504; the fusion `sets` says what was read. There the
    tokens of time series have a time, and one attention reads those of all modalities, as this
    fusion does. The transformer over labs alone is this project's.

    Args:
        shape: `(2, analyte)`: values from 0 to 1, and 1 where measured, else 0.
        dim: width of the output.
        width: the width of a token.
        layers: the layers of the transformer.
        heads: the heads of attention, a divisor of `width`.

    Raises:
        ValueError: the input has no row that says what is measured, or a size is no whole number of
            1 or more, or `heads` does not divide `width`.
    """

    display_name = "set of analytes"
    description = "Attention over the analytes that are measured, as tokens of name and value."
    source = "Lee et al. (UMSE), MLHC 2023, https://arxiv.org/abs/2305.02504"

    read_as: Tensor  # mean and standard deviation of percentiles, kept with the weights

    def __init__(
        self,
        shape: tuple[int, ...],
        dim: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
    ):
        require_counts(width=width, layers=layers, heads=heads)
        if len(shape) != 2 or shape[0] != 2:
            raise ValueError(
                f"the input has shape {list(shape)}; expected [2, analyte]: values, and which are "
                "measured. Give it to labs."
            )
        if width % heads:
            raise ValueError(f"heads is {heads}; expected a divisor of the width {width}.")
        super().__init__()
        self.token_shape = (shape[1] + 1, width + 1)
        self.analytes = nn.Parameter(torch.randn(shape[1], width))
        self.start = nn.Parameter(torch.randn(width))
        self.register_buffer("read_as", torch.tensor(_OF_PERCENTILES))
        self.values = nn.Sequential(nn.Linear(1, width), nn.GELU(), nn.Linear(width, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head = nn.Linear(width, dim)

    def forward(self, vector: Float[Tensor, "sample 2 analyte"]) -> Float[Tensor, "sample dim"]:
        """Encode a batch."""
        return self._encoded(*self._set(vector))

    def tokens(self, inputs: Float[Tensor, "sample 2 analyte"]) -> Float[Tensor, "sample token n"]:
        """Return the learned token and those of analytes, and last of each whether it exists."""
        every, exists = self._set(inputs)
        return torch.cat([every, exists[:, :, None].to(every)], dim=2)

    def exists(self, tokens: Float[Tensor, "sample token n"]) -> Bool[Tensor, "sample token"]:
        """Return True for the learned token and those of measured analytes."""
        return tokens[..., -1] > 0.5

    def from_tokens(self, tokens: Float[Tensor, "sample token n"]) -> Float[Tensor, "sample dim"]:
        """Return what the encoder gives for inputs with these tokens."""
        return self._encoded(tokens[..., :-1], self.exists(tokens))

    def _set(
        self, vector: Float[Tensor, "sample 2 analyte"]
    ) -> tuple[Float[Tensor, "sample token width"], Bool[Tensor, "sample token"]]:
        """Return the learned token and those of analytes, and which exist."""
        measured = vector[:, 1] > 0.5
        values = torch.where(measured, vector[:, 0], torch.zeros_like(vector[:, 0]))
        mean, deviation = self.read_as
        tokens = self.values((values[:, :, None] - mean) / deviation) + self.analytes
        start = self.start.expand(len(vector), 1, -1).to(tokens)
        exists = nn.functional.pad(measured, (1, 0), value=True)  # the learned one always does
        return torch.cat([start, tokens], dim=1), exists

    def _encoded(
        self, tokens: Float[Tensor, "sample token width"], exists: Bool[Tensor, "sample token"]
    ) -> Float[Tensor, "sample dim"]:
        found = self.layers(tokens, src_key_padding_mask=~exists)
        return self.head(found[:, 0])

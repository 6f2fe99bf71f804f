"""`LabelPredictor`: the contract of objectives that predict labels and compare no recordings."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.slots import FewSamplesError, prepare_slots
from clinical_symile.objectives.token_attention import TokenQueries
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import FUSIONS


class LabelPredictor(Objective):
    """Predict the labels that the task names from a fusion of a sample's modalities.

    A member creates `head`, from a fused vector to the log odds of each label, in its `connect`.
    There is no score: retrieval compares recordings, and such an objective compares none.

    Attributes:
        fusion: makes one vector of the available modalities.
        head: the linear heads of the labels.
        input_scale: multiplies embeddings, so that their numbers have a mean square of about 1.

    Args:
        fusion: the name and the arguments of the fusion, a table; None for the mean.

    Raises:
        ValueError: the fusion has no name.
    """

    reads = ("labels",)
    learned_score = True
    retrieves = False
    fusion: ModalityFusion
    head: nn.Linear

    def __init__(self, *, fusion: Mapping[str, Any] | None):
        super().__init__(temperature=None)
        self.fusion_arguments = dict(fusion or {"name": "mean"})
        if "name" not in self.fusion_arguments:
            raise ValueError("fusion has no 'name'; expected one of `list fusion`. Add it.")

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the fusion.

        Raises:
            ValueError: there are no labels, or the fusion does not accept its arguments.
        """
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        if not self.label_names:
            raise ValueError(
                "it predicts labels, and the task names none; expected the key labels of the table "
                '[side], such as labels = ["an_outcome"]. Add it.'
            )
        self.input_scale = math.sqrt(dim) if norm == "l2" else 1.0
        self.modalities = modalities
        arguments = {k: v for k, v in self.fusion_arguments.items() if k != "name"}
        made = resolve(self.fusion_arguments["name"], FUSIONS)(
            modalities, dim, generator, **arguments
        )
        assert isinstance(made, ModalityFusion)
        self.fusion = made

    @property
    def token_queries(self) -> TokenQueries | None:
        """The queries whose attention to tokens the fusion reads; None if it reads vectors alone.

        It is known once `connect` was called.
        """
        return self.fusion.token_queries

    def fusion_inputs(
        self,
        z: Float[Tensor, "sample modality dim"],
        embeddings: Embeddings,
        taken: Tensor | None = None,
    ) -> Float[Tensor, "taken modality number"]:
        """Return what the fusion reads: scaled vectors, and summaries of tokens if it reads any.

        Args:
            z: the vectors of the samples of `embeddings`, with what replaces missing ones.
            embeddings: have the summaries.
            taken: the samples that are fused, as an index or a mask; None for all.

        Raises:
            ValueError: the fusion reads tokens, and the embeddings have none or replacements.
        """
        vectors = self.input_scale * (z if taken is None else z[taken])
        if self.token_queries is None:
            return vectors
        summary, available = embeddings.summary, embeddings.available
        if summary is None or embeddings.replaces_missing:
            raise ValueError(
                "the fusion reads tokens of encoders, and these embeddings have "
                f"{'none' if summary is None else 'replacements without tokens'}; expected those "
                "of a model that was built with this objective. Embed the samples with it."
            )
        kept = torch.where(available[:, :, None], summary, torch.zeros_like(summary))
        return torch.cat([vectors, (kept if taken is None else kept[taken]).to(vectors)], dim=2)

    def fused_vectors(self, embeddings: Embeddings) -> Float[Tensor, "sample dim"]:
        """Fuse the embeddings of samples, with what replaces missing ones.

        Args:
            embeddings: samples with at least one modality available or replaced each.

        Raises:
            ValueError: a sample has no modality.
        """
        z, available = prepare_slots(*embeddings.with_substitutes())
        inputs = self.fusion_inputs(z.to(self.head.weight.dtype), embeddings)
        return self.fusion(inputs, available)

    def log_odds(self, embeddings: Embeddings) -> Float[Tensor, "sample label"]:
        """Predict the log odds of each label by the fused heads.

        Args:
            embeddings: samples with at least one modality available or replaced each.

        Raises:
            ValueError: a sample has no modality.
        """
        return self.head(self.fused_vectors(embeddings))

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Refuse to score candidates.

        Raises:
            ValueError: always; see the class.
        """
        raise ValueError(
            "a supervised objective has no score of candidates: it compares no recordings. Take a "
            "contrastive objective for retrieval."
        )


def known_labels(inputs: ObjectiveInput) -> Float[Tensor, "sample label"]:
    """Return labels as 1, 0 or NaN; an uncertain one is as an unknown one."""
    return torch.where(inputs.labels < 0, torch.nan, inputs.labels)


def teaching_samples(
    labels: Float[Tensor, "sample label"], available: Bool[Tensor, "sample modality"]
) -> tuple[Bool[Tensor, " sample"], Bool[Tensor, " sample"]]:
    """Return which samples have a known label, and which of these have a modality.

    Args:
        labels: 1, 0 or NaN.
        available: True where a sample has the modality, or something replaces it.

    Raises:
        FewSamplesError: no sample has both.
    """
    is_known = ~labels.isnan().all(dim=1)
    taught = is_known & available.any(dim=1)
    if not taught.any():
        raise FewSamplesError(
            f"a supervised step needs at least 1 sample with a known label and a modality; "
            f"this batch of {len(labels)} has none.",
            "Raise batch_size, or name labels that are known of more samples.",
        )
    return is_known, taught

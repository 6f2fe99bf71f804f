"""FarconVAE: predict labels from latents that do not show a sensitive attribute."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import at_least, one_of, refuse
from clinical_symile.objectives.gaussians import divergence_from_standard, split_gaussian
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.label_predictor import (
    LabelPredictor,
    known_labels,
    teaching_samples,
)
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.starting_weights import starting_weights

_KERNELS = ("gaussian", "student")
_MOST_LOG_VARIANCE = 5.0  # log variances lie between this and its negative


class FarconVae(LabelPredictor):
    """Predict labels from latents that do not show a sensitive attribute.

    The fused vector u of a sample gives two Gaussians: q_x, from which the labels are predicted,
    and q_s. Training predicts from a draw of q_x: its noise hides what two samples differ by. A
    sample is paired with one of the same labels and the other value of the attribute. D is the mean
    of both Kullback-Leibler divergences of two Gaussians, divided by their width, and k is exp(-D),
    or 1 / (1 + D) with the kernel `student`. To the log loss of the labels come:

    - `contrast`: D(q_x, q_x') + k(q_s, q_s') + k(q_x, q_s) + k(q_x', q_s') of a pair;
    - `restored`: the square error of u and the log loss of the attribute, restored from a draw of
      q_x and one of q_s;
    - `swapped`: the same, from the draw of the partner's q_x and the own one of q_s;
    - `divergence`: the divergence of both from the standard normal, divided by their width.

    The attribute is one of the task's labels: a cohort states it as an outcome. It is read in
    training alone. Its own log odds are restored from both means. The log odds of the other labels
    are those of the mean of q_x: heads are linear, so that this is their mean over draws. What is
    fair are draws of q_x, see `fair_latents`: their mean has no noise, and shows more.

    Source: Oh et al., "Learning Fair Representation via Distributional Contrastive
    Disentanglement", KDD 2022, https://arxiv.org/abs/2206.08743; its code, changdaeoh/FarconVAE,
    has no licence, and nothing of it is used. There, encoders read the attribute and the label too,
    which are unknown in use, and tables pair a row with itself under another attribute. Here pairs
    are those of its pictures: two samples with the same label. There, the input is restored.

    Args:
        sensitive: the label that latents must not show; None for the task's last one.
        fusion: the name and the arguments of the fusion, a table; None for the mean.
        kernel: `gaussian` or `student`.
        contrast: the weight of the contrast.
        divergence: the weight of the divergence.
        swapped: the weight of what is restored from a partner.

    Raises:
        ValueError: an argument is out of range, there are fewer than two labels or no such label,
            no sample of a batch has a known label, or there is no generator.
    """

    display_name = "FarconVAE"
    description = "Predicts labels from latents that do not show a sensitive attribute."
    source = (
        'Oh et al., "Learning Fair Representation via Distributional Contrastive Disentanglement", '
        "KDD 2022, https://arxiv.org/abs/2206.08743"
    )

    def __init__(
        self,
        *,
        sensitive: str | None = None,
        fusion: Mapping[str, Any] | None = None,
        kernel: str = "gaussian",
        contrast: float = 1.0,
        divergence: float = 0.2,
        swapped: float = 1.0,
    ):
        super().__init__(fusion=fusion)
        refuse(
            one_of(_KERNELS, kernel=kernel),
            at_least(0, contrast=contrast, divergence=divergence, swapped=swapped),
        )
        self.sensitive, self.kernel = sensitive, kernel
        self.weights = {"contrast": contrast, "swapped": swapped, "divergence": divergence}

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the fusion, the latents and the heads.

        Raises:
            ValueError: there are fewer than two labels, or no such label; see `LabelPredictor`.
        """
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        if len(self.label_names) < 2:
            raise ValueError(
                "it predicts labels without a sensitive attribute, and the task names one label; "
                "expected two or more, such as "
                'labels = ["an_outcome", "an_attribute"], in the table [side]. Add one.'
            )
        named = self.label_names[-1] if self.sensitive is None else self.sensitive
        if named not in self.label_names:
            raise ValueError(
                f"sensitive is '{named}'; expected one of the labels of the table [side]: "
                f"{', '.join(self.label_names)}. Correct it."
            )
        self.attribute = self.label_names.index(named)
        with starting_weights(generator):
            self.encode = _perceptron(dim, dim, 4 * dim)
            self.decode = _perceptron(2 * dim, dim, dim + 1)
            self.head = nn.Linear(dim, len(self.label_names))

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Add the log loss of the labels and the terms of the latents; see the class."""
        if generator is None:
            raise ValueError("FarconVAE draws samples and pairs; expected a generator.")
        labels = known_labels(inputs).to(z.dtype)
        attribute = labels[:, self.attribute]
        # No head learns the attribute from latents that must not show it.
        labels = labels.index_fill(1, torch.tensor(self.attribute, device=z.device), torch.nan)
        teaching_samples(labels, available)
        # Sorted, since several processes gather a batch in another order than one has it.
        places = available.any(dim=1).nonzero()[:, 0]
        places = places[inputs.embeddings.rows[places].argsort(stable=True)]
        vectors, has = self.fusion_inputs(z, inputs.embeddings, places), available[places]
        labels, attribute = labels[places], attribute[places]
        fused = self.fusion(vectors, has)
        fair, sensitive = self.gaussians(fused)
        x, s = (draw_of(gaussian, generator=generator) for gaussian in (fair, sensitive))
        known = ~labels.isnan()
        terms = {
            "fused": functional.binary_cross_entropy_with_logits(self.head(x)[known], labels[known])
        }
        for name, value in self.fusion.extra_losses(vectors, has).items():
            terms[f"fusion_{name}"] = value
        terms["restored"] = self._errors(x, s, fused, attribute)
        divergence = divergence_from_standard(fair) + divergence_from_standard(sensitive)
        terms["divergence"] = self.weights["divergence"] * divergence / (2 * fused.shape[1])
        partners = draw_partners(labels, attribute, generator=generator)
        paired = (partners >= 0).nonzero()[:, 0]
        if not len(paired):
            return sum_of_terms(**terms)
        others = partners[paired]
        contrast = pair_contrast(
            fair[paired], fair[others], sensitive[paired], sensitive[others], kernel=self.kernel
        )
        swapped = self._errors(x[others], s[paired], fused[paired], attribute[paired])
        terms["contrast"] = self.weights["contrast"] * contrast.mean()
        terms["swapped"] = self.weights["swapped"] * swapped
        return sum_of_terms(**terms)

    def gaussians(
        self, fused: Float[Tensor, "sample dim"]
    ) -> tuple[Float[Tensor, "sample width"], Float[Tensor, "sample width"]]:
        """Return q_x and q_s of fused vectors: means, then as many log variances."""
        means, logs = self.encode(fused).chunk(2, dim=1)
        logs = _MOST_LOG_VARIANCE * (logs / _MOST_LOG_VARIANCE).tanh()
        both = zip(means.chunk(2, dim=1), logs.chunk(2, dim=1), strict=True)
        fair, sensitive = (torch.cat(part, dim=1) for part in both)
        return fair, sensitive

    def restore(
        self, fair: Float[Tensor, "sample dim"], sensitive: Float[Tensor, "sample dim"]
    ) -> tuple[Float[Tensor, "sample dim"], Float[Tensor, " sample"]]:
        """Restore the fused vector and the log odds of the attribute from both latents."""
        made = self.decode(torch.cat([fair, sensitive], dim=1))
        return made[:, :-1], made[:, -1]

    def _errors(
        self, fair: Tensor, sensitive: Tensor, fused: Tensor, attribute: Tensor
    ) -> Float[Tensor, ""]:
        """Return the error of what latents restore: of fused vectors and of the attribute."""
        vectors, log_odds = self.restore(fair, sensitive)
        error = functional.mse_loss(vectors, fused.detach())
        known = ~attribute.isnan()
        if not known.any():
            return error
        return error + functional.binary_cross_entropy_with_logits(
            log_odds[known], attribute[known]
        )

    def fair_latents(
        self, embeddings: Embeddings, *, generator: torch.Generator
    ) -> Float[Tensor, "sample dim"]:
        """Draw the fair latents of each sample from q_x.

        Args:
            embeddings: samples with at least one modality available or replaced each.
            generator: the source of the draws, on the CPU.

        Raises:
            ValueError: a sample has no modality.
        """
        return draw_of(self.gaussians(self.fused_vectors(embeddings))[0], generator=generator)

    def log_odds(self, embeddings: Embeddings) -> Float[Tensor, "sample label"]:
        """Predict the log odds of each label; those of the attribute from both means.

        Args:
            embeddings: samples with at least one modality available or replaced each.

        Raises:
            ValueError: a sample has no modality.
        """
        both = self.gaussians(self.fused_vectors(embeddings))
        fair, sensitive = (split_gaussian(gaussian)[0] for gaussian in both)
        predicted = list(self.head(fair).unbind(dim=1))
        predicted[self.attribute] = self.restore(fair, sensitive)[1]
        return torch.stack(predicted, dim=1)


def symmetric_divergence(
    first: Float[Tensor, "sample width"], second: Float[Tensor, "sample width"]
) -> Float[Tensor, " sample"]:
    """Compute the mean of both Kullback-Leibler divergences, divided by the number of dimensions.

    Args:
        first: Gaussians: means, then as many log variances.
        second: Gaussians of the same samples.
    """
    (mean, logs), (other_mean, other_logs) = split_gaussian(first), split_gaussian(second)
    squared = (mean - other_mean).square()
    shares = (logs - other_logs).exp() + (other_logs - logs).exp() - 2
    return (shares + squared * ((-logs).exp() + (-other_logs).exp())).mean(dim=1) / 4


def pair_contrast(
    fair: Float[Tensor, "pair width"],
    fair_partner: Float[Tensor, "pair width"],
    sensitive: Float[Tensor, "pair width"],
    sensitive_partner: Float[Tensor, "pair width"],
    *,
    kernel: str,
) -> Float[Tensor, " pair"]:
    """Compute the contrast of each pair; see `FarconVae`.

    Args:
        fair: the Gaussians that shall be as those of the partner.
        fair_partner: those of the partner.
        sensitive: the Gaussians that shall differ from those of the partner and from `fair`.
        sensitive_partner: those of the partner.
        kernel: `gaussian` or `student`.
    """
    apart = (
        symmetric_divergence(sensitive, sensitive_partner),
        symmetric_divergence(fair, sensitive),
        symmetric_divergence(fair_partner, sensitive_partner),
    )
    near = [(-d).exp() if kernel == "gaussian" else 1 / (1 + d) for d in apart]
    return symmetric_divergence(fair, fair_partner) + near[0] + near[1] + near[2]


def draw_partners(
    labels: Float[Tensor, "sample label"],
    attribute: Float[Tensor, " sample"],
    *,
    generator: torch.Generator,
) -> Int[Tensor, " sample"]:
    """Draw for each sample one with the same labels and the other value of the attribute.

    Args:
        labels: 1, 0 or NaN where unknown; the column of the attribute is NaN.
        attribute: 1, 0 or NaN where unknown.
        generator: the source of the draws, on the CPU.

    Returns:
        The position of each partner; -1 where there is none, or where all labels or the attribute
        are unknown.
    """
    partners = torch.full((len(labels),), -1, dtype=torch.int64)
    known = (~labels.isnan()).any(dim=1).cpu()
    kinds, kind = labels.cpu().nan_to_num(nan=2.0).unique(dim=0, return_inverse=True)
    value = attribute.cpu()
    for code in range(len(kinds)):
        groups = [(known & (kind == code) & (value == side)).nonzero()[:, 0] for side in (0, 1)]
        for own, other in (groups, groups[::-1]):
            if len(other):
                drawn = torch.randint(len(other), (len(own),), generator=generator)
                partners[own] = other[drawn]
    return partners.to(labels.device)


def draw_of(
    gaussian: Float[Tensor, "sample width"], *, generator: torch.Generator
) -> Float[Tensor, "sample dim"]:
    """Draw from Gaussians.

    Args:
        gaussian: means, then as many log variances.
        generator: the source of the draws, on the CPU.
    """
    mean, logs = split_gaussian(gaussian)
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
    return mean + (logs / 2).exp() * noise


def _perceptron(size: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, out))

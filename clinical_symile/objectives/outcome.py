"""`Supervised`: predict labels from a fusion of the available modalities, with supervision."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.objectives.arguments import at_least, positive, refuse
from clinical_symile.objectives.information_terms import Restoration, label_contrast
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.label_predictor import (
    LabelPredictor,
    known_labels,
    teaching_samples,
)
from clinical_symile.objectives.logit_adjustment import adjust_log_odds
from clinical_symile.objectives.loss import Loss, sum_of_terms
from clinical_symile.objectives.self_distillation import distillation_loss, draw_subsets
from clinical_symile.objectives.starting_weights import starting_weights


class Supervised(LabelPredictor):
    """Predict the task's labels from a fusion of a sample's modalities, and from each alone.

    A fusion makes one vector of the available modalities, and a linear head for each label gives
    its log odds. Each modality has linear heads of its own. The loss is the log loss of the fused
    heads, plus `unimodal_weight` times the sum over modalities of the log loss of their heads. Each
    log loss is the mean over known labels of samples that have what it reads. An unknown or
    uncertain label teaches nothing, and neither does a sample without a modality.

    With a missing-modality method that replaces a missing modality, the fusion reads the
    replacement as if it were available. The heads of one modality never do.

    There is no score: retrieval compares recordings, and this objective compares none. The probe
    `head` predicts outcomes with the fused heads.

    Source: the sum of log losses is that of Kontras et al., "Improving Multimodal Learning with
    Multi-Loss Gradient Modulation", BMVC 2024, https://arxiv.org/abs/2405.07930. Its weighting of
    gradients is not part of it.

    Args:
        fusion: the name and the arguments of the fusion, a table; None for the mean.
        unimodal_weight: the weight of the modalities' own heads; 0 for none.
        label_weights: the weight of each label in the log losses, in the order of the task; None
            for equal weights. A log loss is then a weighted mean over known labels.
        prior_weight: the weight of the log odds of a label in training, which are added to those of
            every head in the loss alone; 1 for logit adjustment, 0 for none. Predictions are then
            of a population with as many positives as negatives. See `logit_adjustment`.
        agreement: the weight of the divergence of each modality's own prediction from the fused
            one, which gets no gradient from it; 0 for none. The balance `balgrad` uses it.
        effect: the weight of each modality's effect on the fused prediction, which enters with a
            minus: the divergence from the prediction after its vectors were exchanged among the
            samples that have it; 0 for none. The balance `mcr` uses it.
        distillation: the weight of the divergence of the fused prediction from a random subset of a
            sample's modalities from that from all, which gets no gradient from it; 0 for none. See
            `self_distillation`.
        shared: the weight of the contrast of vectors by labels over all modalities; 0 for none.
            MCR's term for what modalities share.
        irrelevant: the weight of what the fused prediction does not tell of the vectors; 0 for
            none. MCR's term for what tells nothing of the labels.

    Raises:
        ValueError: an argument is out of range, the fusion does not accept its arguments, or no
            sample of a batch has a known label.
    """

    display_name = "supervised fusion"
    description = "Predicts labels from a fusion of the available modalities."
    source = (
        'log losses of Kontras et al., "Improving Multimodal Learning with Multi-Loss Gradient '
        'Modulation", BMVC 2024, https://arxiv.org/abs/2405.07930'
    )

    def __init__(
        self,
        *,
        fusion: Mapping[str, Any] | None = None,
        unimodal_weight: float = 1.0,
        label_weights: Sequence[float] | None = None,
        prior_weight: float = 0.0,
        agreement: float = 0.0,
        effect: float = 0.0,
        distillation: float = 0.0,
        shared: float = 0.0,
        irrelevant: float = 0.0,
    ):
        super().__init__(fusion=fusion)
        weights = dict(unimodal_weight=unimodal_weight, prior_weight=prior_weight)
        weights |= dict(shared=shared, irrelevant=irrelevant)
        named = {f"label_weights[{place}]": one for place, one in enumerate(label_weights or ())}
        weights |= dict(agreement=agreement, effect=effect, distillation=distillation)
        refuse(at_least(0, **weights), positive(**named))
        self.label_weights = None if label_weights is None else tuple(label_weights)
        self.prior_weight = prior_weight
        if agreement and not unimodal_weight:
            raise ValueError(
                f"agreement is {agreement} and unimodal_weight 0; expected heads of single "
                "modalities that can agree. Raise unimodal_weight, or set agreement to 0."
            )
        self.unimodal_weight, self.agreement, self.effect = unimodal_weight, agreement, effect
        self.distillation = distillation
        self.shared, self.irrelevant = shared, irrelevant

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the fusion and the heads.

        Raises:
            ValueError: there are no labels, or the fusion does not accept its arguments.
        """
        super().connect(modalities=modalities, dim=dim, norm=norm, generator=generator)
        if self.label_weights is not None and len(self.label_weights) != len(self.label_names):
            raise ValueError(
                f"label_weights has {len(self.label_weights)} numbers; expected one for each of "
                f"{len(self.label_names)} labels: {', '.join(self.label_names)}. Correct it."
            )
        with starting_weights(generator):
            self.head = nn.Linear(dim, len(self.label_names))
            self.unimodal_heads = nn.ModuleDict(
                {name: nn.Linear(dim, len(self.label_names)) for name in modalities}
            )
            if self.irrelevant:
                self.restoration = Restoration(len(self.label_names), len(modalities), dim)

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Loss:
        """Add the log losses of all heads; see the class."""
        labels = known_labels(inputs).to(z.dtype)
        is_known, taught = teaching_samples(labels, available)
        vectors, has = self.fusion_inputs(z, inputs.embeddings, taught), available[taught]
        fused = self.head(self.fusion(vectors, has))
        terms = {"fused": self._log_loss(fused, labels[taught], inputs)}
        for name, value in self.fusion.extra_losses(vectors, has).items():
            terms[f"fusion_{name}"] = value
        if self.effect:
            whole = inputs.embeddings
            recorded, rows = whole.available[taught], whole.rows[taught]
            terms |= self._effects(vectors, has, recorded, rows, fused, generator)
        if self.distillation:
            whole = inputs.embeddings.take(taught.nonzero()[:, 0])
            kept = draw_subsets(whole.available, whole.rows, generator=generator)
            loss = distillation_loss(fused, self.log_odds(whole.restricted_to(kept)))
            terms["distillation"] = self.distillation * loss
        terms |= self._information(z[taught], inputs, taught, labels[taught], fused)
        scores: dict[str, Tensor] = {}
        if self.unimodal_weight:
            recorded = inputs.embeddings.available & is_known[:, None]
            for column, name in enumerate(self.modalities):
                own = recorded[:, column]
                if own.any():
                    log_odds = self.unimodal_heads[name](self.input_scale * z[own, column])
                    loss = self._log_loss(log_odds, labels[own], inputs)
                    terms[f"unimodal_{name}"] = self.unimodal_weight * loss
                    if self.agreement:
                        whole = two_classes(fused[own[taught]].detach())
                        divergence = class_divergence(whole, two_classes(log_odds)).mean()
                        terms[f"agreement_{name}"] = self.agreement * divergence
                    scores[name] = _true_class_probability(log_odds, labels[own])
        return replace(sum_of_terms(**terms), scores=scores)

    def _information(
        self,
        z: Float[Tensor, "sample modality dim"],
        inputs: ObjectiveInput,
        taught: Bool[Tensor, " sample_of_batch"],
        labels: Float[Tensor, "sample label"],
        fused: Float[Tensor, "sample label"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return MCR's terms of vectors that samples have; what replaces one takes no part."""
        found, recorded = {}, inputs.embeddings.available[taught]
        if self.shared:
            contrast = label_contrast(z, recorded, labels)
            if contrast is not None:
                found["shared"] = self.shared * contrast
        if self.irrelevant and recorded.any():
            rest = self.restoration(self.input_scale * z, recorded, fused)
            found["irrelevant"] = self.irrelevant * rest
        return found

    def _log_loss(
        self,
        log_odds: Float[Tensor, "sample label"],
        labels: Float[Tensor, "sample label"],
        inputs: ObjectiveInput,
    ) -> Float[Tensor, ""]:
        """Compute the mean log loss over known labels; there is at least one."""
        if self.prior_weight:
            shares = inputs.positive_shares
            log_odds = adjust_log_odds(log_odds, shares, weight=self.prior_weight)
        known = ~labels.isnan()
        if self.label_weights is None:
            return functional.binary_cross_entropy_with_logits(log_odds[known], labels[known])
        weights = log_odds.new_tensor(self.label_weights).expand_as(log_odds)[known]
        losses = functional.binary_cross_entropy_with_logits(
            log_odds[known], labels[known], weight=weights, reduction="sum"
        )
        return losses / weights.sum()

    def _effects(
        self,
        vectors: Float[Tensor, "sample modality number"],
        available: Bool[Tensor, "sample modality"],
        recorded: Bool[Tensor, "sample modality"],
        rows: Int[Tensor, " sample"],
        fused: Float[Tensor, "sample label"],
        generator: torch.Generator | None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the effect of each modality that two samples have; what replaces one has none."""
        found = {}
        for column, name in enumerate(self.modalities):
            own = recorded[:, column]
            count = int(own.sum())
            if count > 1:
                # Sorted, since several processes gather a batch in another order than one has it.
                places = rows[own].argsort()
                circle = circular_order(count, generator=generator).to(places.device)
                order = torch.empty_like(places).scatter_(0, places, places[circle])
                changed = self.head(
                    self.fusion(exchanged(vectors[own], column, order), available[own])
                )
                divergence = class_jensen_shannon(two_classes(changed), two_classes(fused[own]))
                found[f"effect_{name}"] = -self.effect * divergence.mean()
        return found


def two_classes(log_odds: Float[Tensor, "*row"]) -> Float[Tensor, "*row two"]:
    """Return the logits of a negative and a positive class."""
    return torch.stack([torch.zeros_like(log_odds), log_odds], dim=-1)


def class_divergence(
    left: Float[Tensor, "*row class"], right: Float[Tensor, "*row class"]
) -> Float[Tensor, "*row"]:
    """Compute the Kullback-Leibler divergence of the left logits' softmax from the right one's."""
    difference = left.log_softmax(dim=-1) - right.log_softmax(dim=-1)
    return (left.softmax(dim=-1) * difference).sum(dim=-1)


def class_jensen_shannon(
    left: Float[Tensor, "*row class"], right: Float[Tensor, "*row class"]
) -> Float[Tensor, "*row"]:
    """Compute the Jensen-Shannon divergence of two logits' softmaxes, at most ln 2."""
    first, second = left.log_softmax(dim=-1), right.log_softmax(dim=-1)
    middle = torch.logaddexp(first, second) - math.log(2)
    both = first.exp() * (first - middle) + second.exp() * (second - middle)
    return both.sum(dim=-1) / 2


def circular_order(samples: int, *, generator: torch.Generator | None) -> Int[Tensor, " sample"]:
    """Draw an order in which each of two samples or more takes the place of another one.

    Each takes that of its neighbour in a random circle of all.

    Args:
        samples: the number of samples.
        generator: the source of the draw, on the CPU.
    """
    circle = torch.randperm(samples, generator=generator)
    return torch.empty_like(circle).scatter_(0, circle, circle.roll(-1))


def exchanged(
    z: Float[Tensor, "sample modality dim"], column: int, order: Int[Tensor, " sample"]
) -> Float[Tensor, "sample modality dim"]:
    """Return vectors of which one modality's are those of other samples.

    Args:
        z: the vectors.
        column: the modality.
        order: for each sample, the one that it gets the modality's vector of.
    """
    columns = list(z.unbind(dim=1))
    columns[column] = columns[column][order]
    return torch.stack(columns, dim=1)


@torch.no_grad()
def _true_class_probability(
    log_odds: Float[Tensor, "sample label"], labels: Float[Tensor, "sample label"]
) -> Float[Tensor, ""]:
    """Return the mean probability of the true class over known labels; there is at least one."""
    known = ~labels.isnan()
    return torch.where(labels[known] == 1, log_odds[known], -log_odds[known]).sigmoid().mean()

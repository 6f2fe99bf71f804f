"""MV-InfoNCE, MV-DHEL and Poly-View: one term for a sample over all its modalities."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.objectives.arguments import one_of, refuse
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.kernels.scores import Excluded, inner_product_score, reduce_scores
from clinical_symile.objectives.pairs import Tokens, batch_tokens

_FORMS = ("geometric", "arithmetic", "sufficient")


class MvInfoNce(Objective):
    """Contrast all modalities of a sample at once with all others of the batch.

    The loss is -mean_i log(Σ_{l ≠ l'} e^{s ⟨z_l^i, z_l'^i⟩} / Σ_l Σ_{(j, m) ≠ (i, l)}
    e^{s ⟨z_l^i, z_m^j⟩}): denominators hold negatives of every modality, and the positives, as in
    the authors' code. Samples with one modality serve as negatives only.

    With two modalities it is not NT-Xent, since both views share one logarithm.

    Source: Koromilas et al., "A Principled Framework for Multi-View Contrastive Learning", 2025,
    code pakoromilas/Multi-View-CL.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: fewer than two samples of the batch have two modalities.
    """

    display_name = "MV-InfoNCE"
    description = "Contrasts all modalities of a sample at once, in one term."
    source = (
        'Koromilas et al., "A Principled Framework for Multi-View Contrastive Learning", 2025, '
        "code pakoromilas/Multi-View-CL"
    )

    def __init__(self, *, temperature: float = 0.1, logit_scale_max: float = 100.0):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        scale = self.logit_scale.to(z.dtype)
        tokens = batch_tokens(z, available, objective="an MV-InfoNCE step")
        found = reduce_scores(
            inner_product_score,
            [tokens.z],
            [tokens.z],
            [scale],
            excluded=Excluded(tokens.codes, tokens.codes),
            only="rows",
        ).rows
        several = tokens.counts >= 2
        denominators = _by_sample(found, tokens, available)[several].logsumexp(dim=1)
        positives = _positives(z, available, scale)[several]
        return (denominators - positives.flatten(1).logsumexp(dim=1)).mean()


class MvDhel(Objective):
    """Align the modalities of a sample, and spread each modality by itself.

    The loss is -mean_i [log Σ_{l < l'} e^{s ⟨z_l^i, z_l'^i⟩} - Σ_l log Σ_{j ≠ i}
    e^{s ⟨z_l^i, z_l^j⟩}]. There are no negatives of another modality. Samples with one modality
    serve as negatives only.

    Source: see `MvInfoNce`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: fewer than two samples of the batch have two modalities.
    """

    display_name = "MV-DHEL"
    description = "Aligns all modalities of a sample, and spreads each modality by itself."
    source = (
        'Koromilas et al., "A Principled Framework for Multi-View Contrastive Learning", 2025, '
        "code pakoromilas/Multi-View-CL"
    )

    def __init__(self, *, temperature: float = 0.1, logit_scale_max: float = 100.0):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        scale = self.logit_scale.to(z.dtype)
        tokens = batch_tokens(z, available, objective="an MV-DHEL step")
        several = tokens.counts >= 2
        spread = z.new_zeros(len(z))
        for m, has in enumerate(available.T):
            rows = has.nonzero()[:, 0]
            if len(rows) < 2:
                continue
            own = z[rows, m]
            codes = torch.arange(len(own), device=z.device)
            found = reduce_scores(
                inner_product_score,
                [own],
                [own],
                [scale],
                excluded=Excluded(codes, codes),
                only="rows",
            ).rows
            spread = spread.index_add(0, rows, found)
        positives = _positives(z, available, scale)
        above = torch.ones_like(positives[0], dtype=torch.bool).triu(1)
        aligned = positives.masked_fill(~above, -torch.inf)[several].flatten(1).logsumexp(dim=1)
        return (spread[several] - aligned).mean()


class PolyView(Objective):
    """Contrast each pair of modalities with all others of the batch.

    p_ab^i is the share of e^{s ⟨z_a^i, z_b^i⟩} in itself plus the sum over all embeddings of other
    samples. "geometric" averages -log p over pairs, "arithmetic" takes -log of the average over b,
    and "sufficient" takes -log of e^{s ⟨Q_a^i, z_a^i⟩} over itself plus the sum of e^{s ⟨Q_a^i, z⟩}
    over all z of other samples, where Q_a^i is the normalized mean of the sample's other
    modalities. Each is averaged over a sample's modalities, then over samples with two modalities
    or more.

    Source: Shidani et al., "Poly-View Contrastive Learning", ICLR 2024,
    https://arxiv.org/abs/2403.05490.

    Args:
        form: "geometric", "arithmetic" or "sufficient".
        temperature: starting value of 1 / logit_scale, which is then learned.
        logit_scale_max: limit of the learned scale.

    Raises:
        ValueError: the form is unknown, or fewer than two samples have two modalities.
    """

    display_name = "Poly-View"
    description = "Contrasts all views of a sample: geometric, arithmetic or sufficient statistics."
    source = (
        'Shidani et al., "Poly-View Contrastive Learning", ICLR 2024, '
        "https://arxiv.org/abs/2403.05490"
    )

    def __init__(
        self,
        *,
        form: str = "geometric",
        temperature: float = 0.1,
        logit_scale_max: float = 100.0,
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        refuse(one_of(_FORMS, form=form))
        self.form = form

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        """See the class."""
        scale = self.logit_scale.to(z.dtype)
        tokens = batch_tokens(z, available, objective="a Poly-View step")
        several = tokens.counts >= 2
        others = (tokens.counts - 1).clamp(min=1)[:, None]
        if self.form == "sufficient":
            total = z.sum(dim=1, keepdim=True)
            rest = torch.where(available[:, :, None], total - z, torch.ones_like(z))
            rest = torch.where(several[:, None, None], rest, torch.ones_like(rest))
            anchors = normalize(rest, dim=2)
        else:
            anchors = z
        found = reduce_scores(
            inner_product_score,
            [anchors[tokens.samples, tokens.modalities]],
            [tokens.z],
            [scale],
            excluded=Excluded(tokens.samples, tokens.samples),
            only="rows",
        ).rows
        negatives = _by_sample(found, tokens, available)  # [sample, query modality]
        if self.form == "sufficient":
            positives = scale * (z * anchors).sum(dim=2)
            losses = negatives.logaddexp(positives) - positives
        else:
            positives = _positives(z, available, scale)
            # Not a positive: any finite number will do, since it is left out below.
            is_positive = positives > -torch.inf
            safe = positives.masked_fill(~is_positive, 0)
            shares = safe - negatives[:, :, None].masked_fill(~available[:, :, None], 0).logaddexp(
                safe
            )
            if self.form == "geometric":
                losses = -shares.masked_fill(~is_positive, 0).sum(dim=2) / others
            else:
                kept = shares.masked_fill(~is_positive, -torch.inf)[several]
                own = available[several]
                # An unavailable query has no positive; its row would be -inf throughout.
                kept = torch.where(own[:, :, None], kept, torch.zeros_like(kept))
                arithmetic = others[several].to(z.dtype).log() - kept.logsumexp(dim=2)
                return (arithmetic.masked_fill(~own, 0).sum(1) / own.sum(1)).mean()
        losses = losses.masked_fill(~available, 0)[several]
        return (losses.sum(dim=1) / tokens.counts[several]).mean()


def _positives(
    z: Float[Tensor, "sample modality dim"],
    available: Bool[Tensor, "sample modality"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, "sample modality modality"]:
    """Return logits of the modalities of each sample with one another, -inf where there is none."""
    both = available[:, :, None] & available[:, None]
    both = both & ~torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    return (scale * (z @ z.mT)).masked_fill(~both, -torch.inf)


def _by_sample(
    values: Float[Tensor, " token"], tokens: Tokens, available: Bool[Tensor, "sample modality"]
) -> Float[Tensor, "sample modality"]:
    """Return the values of tokens by sample and modality, -inf where there is no token."""
    found = values.new_full(available.shape, -torch.inf)
    return found.index_put((tokens.samples, tokens.modalities), values)

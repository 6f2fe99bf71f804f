"""Score candidates when a modality of the query is missing, for scores that are products.

Symile learns a critic g(q, c) = s · Σ_d c_d Π_m q_m,d whose optimum is the log density ratio
log p(q, c) / (Π_m p(q_m) · p(c)) plus a constant. With modality k missing, the ratio of the
remaining ones is the expectation of exp(g) over the marginal p(q_k):

    p(q_-k, c) / (Π_m≠k p(q_m) · p(c)) = E_{q_k ~ p(q_k)} exp(g(q, c)).

The mean over a bank of train embeddings of the missing modality estimates the expectation. With
several modalities missing, the ratio is against the product of their marginals. Each therefore
has a bank of its own, shuffled independently: entries of the same samples would follow their
joint distribution and bias the estimate.

A critic trained one slot at a time (negatives "one-slot") is known only up to a function of the
other slots. For it the estimate is an approximation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.arguments import one_of, refuse
from clinical_symile.objectives.base import (
    as_given,
    inner_products,
    query_columns,
    query_embeddings,
)

RULES = ("marginalize", "mean_bank", "drop")


def check_rule(rule: str) -> str:
    """Return a rule for missing query modalities if there is such a rule.

    Raises:
        ValueError: the rule is unknown.
    """
    refuse(one_of(RULES, missing_query=rule))
    return rule


# Scores held at a time, over the bank. 2**22 of float64 are 32 MB.
_CELLS = 2**22


@dataclass(frozen=True, repr=False)
class Bank:
    """Train embeddings that stand for a missing query modality.

    Attributes:
        z: for each modality, embeddings [entry, dim] of train samples. Modalities may have
            different numbers of entries; no entry carries the name of its sample.
        seed: shuffles the banks of several missing modalities independently.
    """

    z: Mapping[str, Float[Tensor, "entry dim"]]
    seed: int = 0

    def tuples(self, missing: tuple[str, ...]) -> Float[Tensor, "entry dim"]:
        """Return the product of one entry of each missing modality, [entry, dim] in float64.

        The bank of each modality is shuffled by itself; a shorter bank is repeated.

        Raises:
            ValueError: the bank has no entry of a missing modality.
        """
        unknown = [name for name in missing if name not in self.z or not len(self.z[name])]
        if unknown:
            raise ValueError(
                f"the bank has no embeddings of {', '.join(unknown)}; expected some of every "
                "modality that a query may miss. Make the bank from train samples with them, or "
                "score with missing_query = 'drop'."
            )
        if len(missing) == 1:
            return self.z[missing[0]].double()
        entries = max(len(self.z[name]) for name in missing)
        generator = torch.Generator().manual_seed(self.seed)
        product: Tensor | None = None
        for name in missing:
            own = self.z[name].double()
            rounds = math.ceil(entries / len(own))
            order = torch.cat(
                [torch.randperm(len(own), generator=generator) for _ in range(rounds)]
            )
            drawn = own[order[:entries]]
            product = drawn if product is None else product * drawn
        assert product is not None
        return product


class MarginalizingScore(Protocol):
    """Protocol of an objective whose score takes a bank for missing query modalities."""

    def score(
        self,
        query: Embeddings,
        candidates: Float[Tensor, "*query candidate dim"],
        *,
        target: str,
        bank: Bank | None = None,
    ) -> Float[Tensor, "query candidate"]:
        """Score candidates; see `Objective.score`."""
        ...


def product_scores(
    query: Float[Tensor, "query other dim"],
    available: Bool[Tensor, "query other"],
    candidates: Float[Tensor, "..."],
    *,
    modalities: tuple[str, ...],
    logit_scale: float,
    rule: str,
    bank: Bank | None,
) -> Float[Tensor, "query candidate"]:
    """Return the multilinear score of each candidate, in float64.

    A complete query has Σ_d c_d Π_m q_m,d under every rule. With modalities missing:

    - `drop` leaves their factors out, as the authors' code does;
    - `mean_bank` puts the mean of the bank in their place;
    - `marginalize` averages exp(s · score) over the bank and returns log(mean) / s.

    The division by s keeps all queries on one scale and changes no rank.

    Args:
        query: embeddings of the query's modalities, zero where missing.
        available: which of them may be used; at least one each.
        candidates: [candidate, dim] for all queries, or [query, candidate, dim].
        modalities: names of the axis `other`.
        logit_scale: s, by which the critic was trained.
        rule: one of `RULES`.
        bank: train embeddings; needed where something is missing, but for `drop`.

    Raises:
        ValueError: the rule is unknown, or it needs a bank and there is none.
    """
    check_rule(rule)
    product = torch.where(available[:, :, None], query.double(), 1.0).prod(dim=1)
    candidates = candidates.double()
    complete = available.all(dim=1)
    if rule == "drop" or bool(complete.all()):
        return _inner_products(product, candidates)
    if bank is None:
        raise ValueError(
            f"{int((~complete).sum())} of {len(query)} queries miss a modality and missing_query "
            f"is '{rule}'; expected a bank of train embeddings. Give one, or use 'drop'."
        )
    scores = torch.empty(len(query), candidates.shape[-2], dtype=torch.float64)
    patterns, place = torch.unique(available, dim=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = (place == number).nonzero()[:, 0]
        some = candidates if candidates.ndim == 2 else candidates[rows]
        missing = tuple(m for m, there in zip(modalities, pattern, strict=True) if not there)
        if not missing:
            scores[rows] = _inner_products(product[rows], some)
            continue
        entries = bank.tuples(missing).to(product.device)
        if rule == "mean_bank":
            scores[rows] = _inner_products(product[rows] * entries.mean(dim=0), some)
        else:
            scores[rows] = _marginalized(product[rows], some, entries, logit_scale)
    return scores


def _inner_products(
    query: Float[Tensor, "query dim"], candidates: Float[Tensor, "..."]
) -> Float[Tensor, "query candidate"]:
    if candidates.ndim == 2:
        return query @ candidates.T
    return torch.einsum("qd,qcd->qc", query, candidates)


def _marginalized(
    query: Float[Tensor, "query dim"],
    candidates: Float[Tensor, "..."],
    entries: Float[Tensor, "entry dim"],
    logit_scale: float,
) -> Float[Tensor, "query candidate"]:
    """Return log mean_b exp(s · Σ_d q_d b_d c_d) / s; [query, candidate, entry] is never whole."""
    n, dim = candidates.shape[-2:]
    scores = torch.empty(len(query), n, dtype=torch.float64)
    step = max(1, _CELLS // (n * len(entries)))
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        products = query[part, None, :] * entries
        if candidates.ndim == 2:
            logits = (products.reshape(-1, dim) @ candidates.T).reshape(-1, len(entries), n)
        else:
            logits = products @ candidates[part].transpose(1, 2)
        scores[part] = torch.logsumexp(logit_scale * logits, dim=1)
    return (scores - math.log(len(entries))) / logit_scale


def multilinear_score(
    query: Embeddings,
    candidates: Float[Tensor, "*query candidate dim"],
    *,
    target: str,
    bank: Bank | None,
    logit_scale: float,
    rule: str,
) -> Float[Tensor, "query candidate"]:
    """Compute Σ_d c_d Π_m q_m,d of each candidate c with a query's modalities m.

    Args:
        query: see `Objective.score`.
        candidates: [candidate, dim] for all queries, or with a bank [query, candidate, dim].
        target: see `Objective.score`.
        bank: train embeddings for missing query modalities; None leaves their factors out.
        logit_scale: the scale of the logits that the bank is averaged with.
        rule: a name of `RULES`.

    Raises:
        ValueError: a query has no modality available, or the bank lacks a missing modality.
    """
    if bank is None:
        product = query_embeddings(query, target=target, fill=1.0).prod(dim=1)
        return inner_products(product, candidates)
    columns = query_columns(query, target=target)
    z, available = query.without(target).with_substitutes()
    scores = product_scores(
        z[:, columns],
        available[:, columns],
        candidates,
        modalities=tuple(query.modalities[column] for column in columns),
        logit_scale=logit_scale,
        rule=rule,
        bank=bank,
    )
    return as_given(scores, candidates)

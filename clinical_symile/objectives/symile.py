"""Symile: every modality is contrasted with the product of all others."""

from dataclasses import dataclass
from functools import reduce
from math import inf

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import (
    Objective,
    inner_products,
    prepare_slots,
    query_slots,
)
from clinical_symile.objectives.distributed import (
    Group,
    all_gather_with_grad,
    all_reduce_logsumexp,
    all_reduce_sum,
    local_slice,
    share_sizes,
)
from clinical_symile.objectives.kernels.tiled import check_matmul
from clinical_symile.objectives.negatives import (
    CyclicNegatives,
    Negatives,
    ShuffledNegatives,
    SingleReplacement,
)
from clinical_symile.registry import KERNELS, resolve


def symile_loss(
    z: Float[Tensor, "sample modality dim"],
    logit_scale: float | Float[Tensor, ""],
    *,
    present: Bool[Tensor, "sample modality"] | None = None,
    negatives: str = "all",
    generator: torch.Generator | None = None,
    matmul: str = "highest",
    kernel: str = "tiles",
    group: Group = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of picking a sample's own companions, mean over the anchor modalities.

    The logit of a combination of samples i_1 … i_M is logit_scale · Σ_d Π_m z^m_d[i_m]. For an
    anchor modality and a sample, the combination of only that sample is right. It is contrasted
    with others that keep the anchor:

    - "all", n^(M-1) - 1 of them, exactly, in memory that grows as n · d;
    - "shuffled", n - 1 of them, which every sample of the batch shares;
    - "cyclic-8", or another count c: companions j, j + δ, … of one another for all shifts δ below
      c, which makes n · c^(M-2) candidates. "cyclic-n" with the batch's n would be "all";
    - "one-slot", n - 1 of them, which differ from the right one in one modality.

    With two modalities all are CLIP.

    A combination counts only if all its members are present; a sample is an anchor only if all its
    modalities are. Incomplete samples still lend what they have to the negatives.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024. https://arxiv.org/abs/2411.01053
    ("all" and "shuffled").

    Args:
        z: embeddings; anything where absent.
        logit_scale: the multiplier itself, not its logarithm.
        present: True where a sample has the modality; all, if not given.
        negatives: one of the words above.
        generator: for "shuffled", what permutations are drawn from; on the CPU, and in the same
            state in all processes.
        matmul: precision of float32 products, see `cube_logsumexp`; "shuffled" has no use for it.
        kernel: what computes "all": "tiles", or "fused" on a GPU, see `kernels.triton`.
        group: processes that each hold a share of the batch, see `processes`. The loss is the whole
            batch's, and its gradients are such that their average over processes is right.

    Raises:
        ValueError: fewer than two complete samples in the batch, "shuffled" without a generator,
            unknown negatives or an unknown precision, or a kernel that cannot run.
    """
    chosen = parse_negatives(negatives, matmul=matmul, kernel=kernel)
    z, present = prepare_slots(z, present)
    samples, complete = (
        int(all_reduce_sum(torch.tensor(count, device=z.device), group))
        for count in (len(present), int(present.all(dim=1).sum()))
    )
    if complete < 2:
        raise ValueError(
            f"a Symile step needs at least 2 complete samples; this batch of {samples} has "
            f"{complete}. Raise batch_size, or train on a cohort where more samples are complete."
        )
    scale = torch.as_tensor(logit_scale, dtype=z.dtype, device=z.device)
    with torch.autocast(z.device.type, enabled=False):
        return chosen.loss(z, scale, present=present, generator=generator, group=group)


@dataclass(frozen=True)
class AllNegatives:
    """Every combination of the batch's samples is a candidate.

    Attributes:
        matmul: see `cube_logsumexp`.
        kernel: a name of `KERNELS`.
    """

    matmul: str = "highest"
    kernel: str = "tiles"

    def loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        scale: Float[Tensor, ""],
        *,
        present: Bool[Tensor, "sample modality"],
        generator: torch.Generator | None,
        group: Group,
    ) -> Float[Tensor, ""]:
        """The mean over anchors of log Σ exp(logits of all candidates) - logit of the right one.

        A modality's absent slots are no rows of the cube, so that nothing need be masked there. Of
        several processes each takes the combinations with its own samples of one modality, the
        scarcest, and with everybody's of the others.
        """
        sizes = share_sizes(z, group)
        modalities = z.shape[1]
        scarcest = int(all_reduce_sum(present.sum(dim=0), group).argmin())
        others = [m for m in range(modalities) if m != scarcest]

        z_all, present_all = (
            all_gather_with_grad(v[:, others], sizes, group) for v in (z, present)
        )
        rows = [z_all[there, m] for m, there in enumerate(present_all.T)]
        rows.append(z[present[:, scarcest], scarcest])
        logsumexps = resolve(self.kernel, KERNELS, what="kernel")
        *partial, own = logsumexps(rows, scale, matmul=self.matmul)

        # Row number k of the cube is the k-th sample that has the modality.
        complete = present.all(dim=1)
        mine = local_slice(sizes, group)
        numbers = (present_all.cumsum(dim=0) - 1)[mine][complete]
        denominators = [own[present[:, scarcest].cumsum(dim=0)[complete] - 1]]
        for found, number in zip(partial, numbers.T, strict=True):
            denominators.append(all_reduce_logsumexp(found, group)[number])

        right = scale * reduce(torch.mul, z[complete].unbind(dim=1)).sum(dim=1)
        losses = torch.stack(denominators) - right  # [modality, anchor]
        return all_reduce_sum(losses.sum(), group) / (
            modalities * all_reduce_sum(complete.sum(), group)
        )

    def candidates(self, samples: int, *, modalities: int) -> int:
        """How many combinations share one anchor."""
        return samples ** (modalities - 1)

    def operations(self, samples: int, *, modalities: int, dim: int) -> float:
        """Floating-point operations of a step, forward and backward."""
        return 8.0 * samples**modalities * dim


def parse_negatives(word: str, *, matmul: str = "highest", kernel: str = "tiles") -> Negatives:
    """What a word of `symile_loss` stands for.

    Raises:
        ValueError: nothing, or the precision or the kernel is unknown, or is not for these.
    """
    check_matmul(matmul)
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel '{kernel}'; expected {' or '.join(KERNELS)}.")
    if kernel != "tiles" and word != "all":
        raise ValueError(
            f"kernel '{kernel}' is for negatives 'all', which are '{word}' here; expected 'tiles'."
        )
    plain = {
        "all": AllNegatives(matmul, kernel),
        "shuffled": ShuffledNegatives(),
        "one-slot": SingleReplacement(matmul),
    }
    name, _, count = word.partition("-")
    if name == "cyclic" and count.isdecimal() and int(count) >= 1:
        return CyclicNegatives(int(count), matmul)
    if word not in plain:
        raise ValueError(
            f"unknown negatives '{word}'; expected {', '.join(plain)}, or cyclic-8 with any count "
            "of at least 1."
        )
    return plain[word]


class Symile(Objective):
    """Contrast every modality with the product of all others.

    Absent modalities: a sample is an anchor only if all its modalities are present, and lends what
    it has to the negatives of others. In `score`, an absent query modality leaves the product.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024. https://arxiv.org/abs/2411.01053

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned. Products of unit
            vectors are small: of the order of 1 / dim for three random ones, and of 1 / √dim when
            they agree. A scale that starts at 0.1 · dim makes the first logits about 0.1.
        negatives: "all", "shuffled", "cyclic-" with a count, or "one-slot"; see `symile_loss`.
        logit_scale_max: limit of the learned scale. None by default, as in the paper's experiments:
            since the products are small, the scale must grow well past the limit that CLIP needs.
        matmul: precision of float32 products, see `cube_logsumexp`.
        kernel: what computes "all": "tiles", or "fused" on a GPU, see `kernels.triton`.

    Raises:
        ValueError: fewer than two complete samples in the batch.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        negatives: str = "all",
        logit_scale_max: float = inf,
        matmul: str = "highest",
        kernel: str = "tiles",
    ):
        super().__init__(temperature=temperature, logit_scale_max=logit_scale_max)
        self.sampled = parse_negatives(negatives, matmul=matmul, kernel=kernel)
        self.negatives = negatives
        self.matmul = matmul
        self.kernel = kernel

    def forward(
        self, embeddings: Embeddings, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """The loss of a batch; shuffled negatives are drawn from `generator`."""
        return self.of_share(embeddings, group=None, generator=generator)

    def of_share(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """The loss of the whole batch; its combinations are divided among the processes."""
        z, counts = share.filled()
        return symile_loss(
            z,
            self.logit_scale,
            present=counts,
            negatives=self.negatives,
            generator=generator,
            matmul=self.matmul,
            kernel=self.kernel,
            group=group,
        )

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Multilinear inner product of a candidate with the usable modalities of the query.

        Raises:
            ValueError: a query has nothing present.
        """
        z, counts = query_slots(query, target=target)
        product = torch.where(counts[:, :, None], z.double(), 1.0).prod(dim=1)
        return inner_products(product, candidates)

    def candidates_per_anchor(self, samples: int, *, modalities: int) -> int | None:
        """How many combinations each anchor is contrasted with, its own included."""
        return self.sampled.candidates(samples, modalities=modalities)

    def operations(self, samples: int, *, modalities: int, dim: int) -> float | None:
        """Floating-point operations of a step's loss and its gradients, for a complete batch."""
        return self.sampled.operations(samples, modalities=modalities, dim=dim)

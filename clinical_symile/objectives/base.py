"""What an objective must provide: a loss over a batch, and the retrieval score that matches it."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.distributed import Group, gather_embeddings


class Objective(nn.Module):
    """A contrastive loss with a learned logit scale, and its score.

    Every objective keeps one promise about absent modalities: their slots may hold NaN, and neither
    the loss, nor any gradient, nor the score changes. A batch it cannot learn from raises.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned.
        logit_scale_max: the learned scale never exceeds this; `inf` for no limit.

    Raises:
        ValueError: the temperature is not positive, or starts the scale above its maximum.
    """

    def __init__(self, *, temperature: float, logit_scale_max: float):
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature is {temperature}; expected a positive number.")
        if temperature * logit_scale_max < 1:
            raise ValueError(
                f"temperature {temperature} starts the logit scale at {1 / temperature:g}, above "
                f"logit_scale_max = {logit_scale_max:g}. Raise either."
            )
        self.log_logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.logit_scale_max = logit_scale_max

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """What inner products are multiplied with: the exponential of the parameter, limited.

        The limit lets the gradient through, so that a scale at its maximum can come down again.
        """
        excess = self.log_logit_scale.detach() - math.log(self.logit_scale_max)
        return (self.log_logit_scale - excess.clamp(min=0)).exp()

    def limit_logit_scale(self) -> None:
        """Set a parameter that an optimiser moved past the maximum back to it."""
        with torch.no_grad():
            self.log_logit_scale.clamp_(max=math.log(self.logit_scale_max))

    def forward(
        self, embeddings: Embeddings, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """The loss of a batch.

        Args:
            embeddings: the batch.
            generator: where an objective draws, it draws from this one, on the CPU.
        """
        raise NotImplementedError

    def of_share(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """The loss of the whole batch, of which each process holds a share.

        Here every process computes all of it; an objective for which that is much divides it.

        Args:
            share: this process's samples.
            group: the processes; None if there is one. See `processes` for what gradients are.
            generator: as in `forward`, in the same state in all processes.
        """
        return self(gather_embeddings(share, group), generator=generator)

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """How well each candidate for the target modality goes with each query; higher is better.

        Args:
            query: what is known of each sample; its column for `target` is never read.
            candidates: embeddings of the target modality.
            target: the modality that the candidates are of.
        """
        raise NotImplementedError

    def candidates_per_anchor(self, samples: int, *, modalities: int) -> int | None:
        """K in the estimate log K - loss of the total correlation, for a complete batch.

        None where the loss gives no such estimate.
        """
        raise NotImplementedError

    def operations(self, samples: int, *, modalities: int, dim: int) -> float | None:
        """Floating-point operations of a step's loss and its gradients, for a complete batch.

        None where an objective does not say.
        """
        return None


def query_slots(
    query: Embeddings, *, target: str
) -> tuple[Float[Tensor, "query other dim"], Bool[Tensor, "query other"]]:
    """What a query may be scored with: its embeddings without the target's, and which count.

    Raises:
        ValueError: `target` is not among the query's modalities, or a query has nothing present.
    """
    if target not in query.modalities:
        raise ValueError(
            f"target '{target}' is not a modality of the query; expected one of "
            f"{', '.join(query.modalities)}."
        )
    others = [m for m, modality in enumerate(query.modalities) if modality != target]
    empty = int((~query.present[:, others].any(dim=1)).sum())
    if empty:
        raise ValueError(
            f"{empty} of {len(query.rows)} queries for '{target}' have no other modality present; "
            "expected at least one each. Leave them out before scoring."
        )
    z, counts = query.filled()
    return z[:, others], counts[:, others]


def inner_products(
    query: Float[Tensor, "query dim"], candidates: Float[Tensor, "candidate dim"]
) -> Float[Tensor, "query candidate"]:
    """Inner products in float64, returned in float32 unless the embeddings are float64.

    A float32 matrix product may give equal candidates scores that differ in the last bit, depending
    on where they stand, and so break a tie in favour of a place in the list.
    """
    scores = query.double() @ candidates.double().T
    return scores if candidates.dtype == torch.float64 else scores.float()


def prepare_slots(
    z: Float[Tensor, "sample modality dim"], present: Bool[Tensor, "sample modality"] | None
) -> tuple[Float[Tensor, "sample modality dim"], Bool[Tensor, "sample modality"]]:
    """Embeddings safe to compute with: zero where absent, and in float32 at least.

    Raises:
        ValueError: fewer than two modalities, or `present` of another shape than `z`.
    """
    if z.shape[1] < 2:
        raise ValueError(f"embeddings have {z.shape[1]} modality; expected at least 2 to contrast.")
    if present is None:
        present = torch.ones(z.shape[:2], dtype=torch.bool, device=z.device)
    if present.shape != z.shape[:2]:
        raise ValueError(
            f"present has shape {list(present.shape)}; expected {list(z.shape[:2])}, one for each "
            "sample and modality of z."
        )
    if z.dtype in (torch.bfloat16, torch.float16):
        z = z.float()
    return torch.where(present[:, :, None], z, torch.zeros_like(z)), present

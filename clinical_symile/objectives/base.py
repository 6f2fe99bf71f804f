"""The contract of an objective: a loss over a batch and the retrieval score that goes with it."""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.objectives.arguments import positive, refuse
from clinical_symile.objectives.distributed import Group, gather_embeddings
from clinical_symile.objectives.inputs import ObjectiveInput, gather_input, more_needed_message
from clinical_symile.objectives.loss import Loss, as_loss
from clinical_symile.objectives.slots import open_slots, other_columns
from clinical_symile.objectives.views import View


class Objective(nn.Module):
    """A contrastive loss, with a learned logit scale if it has one, and its score.

    The embedding of an unavailable modality may hold any value, such as NaN; neither the loss, nor
    a gradient, nor a score changes. A batch that the loss cannot be computed on raises an error.

    An objective gives `batch_loss` and, where CLIP's sum of inner products is not its score,
    `score`. One that divides its work over processes gives `distributed_loss` instead. One that
    reads more gives `informed_loss`: labels, subjects or other measurements, named in `reads`;
    further encodings, whose inputs it makes in `views`; a teacher, with `momentum`; or what it kept
    of earlier steps, with `keeps_state`. Each returns a tensor, or named terms as `Loss`.

    Attributes:
        reads: the side information that the loss needs: some of `labels`, `subjects`, `values` and
            `number`. It is of train samples only; scores never have any.
        spread: True if encoders give a mean and a log variance. The vectors of the loss and of the
            score then hold one after the other; see `gaussians.split_gaussian`.
        momentum: the share that the teacher keeps of its weights in a step; None for no teacher.
        keeps_state: True if something is kept for later steps, in buffers with `persistent=False`
            that `begin_training` makes. A checkpoint has them, and the run's weights do not. The
            loss gives changes of them to `defer`.
        similarity: how the score compares embeddings that were made elsewhere: `cosine` if they
            must have length 1, as those of the encoders here; `dot` if their lengths count.
        on_sphere: True if the loss is defined for embeddings of length 1 only.
        learned_score: True if the score has learned parts, so that embeddings made elsewhere
            cannot be scored.
        of_one_modality: True if it reads the inputs of one modality, which not every subset has.
        retrieves: False if there is no score, but log odds of labels: see `outcome`.
        label_names: the labels that the task names in its `side`; set before `connect`.

    Args:
        temperature: starting value of 1 / logit_scale, which is then learned; None for an
            objective without a scale.
        logit_scale_max: the learned scale never exceeds this; `inf` for no limit.

    Raises:
        ValueError: the temperature is not positive, or starts the scale above its maximum.
    """

    reads: tuple[str, ...] = ()
    spread: bool = False
    momentum: float | None = None
    keeps_state: ClassVar[bool] = False
    similarity: ClassVar[str] = "cosine"
    on_sphere: ClassVar[bool] = False
    learned_score: ClassVar[bool] = False
    of_one_modality: ClassVar[bool] = False
    retrieves: ClassVar[bool] = True
    label_names: tuple[str, ...] = ()
    # The rule of a product score for a missing query modality, and the train embeddings that it
    # averages over; see `objectives.missing_query`. None: `score` takes no bank.
    missing_query: str | None = None
    bank_size: int = 0

    def __init__(self, *, temperature: float | None, logit_scale_max: float = math.inf):
        super().__init__()
        self._deferred: list[Callable[[], None]] = []
        self.log_logit_scale: nn.Parameter | None = None
        if temperature is None:
            return
        refuse(positive(temperature=temperature))
        if temperature * logit_scale_max < 1:
            raise ValueError(
                f"temperature {temperature} starts the logit scale at {1 / temperature:g}, above "
                f"logit_scale_max = {logit_scale_max:g}. Raise either."
            )
        self.log_logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.logit_scale_max = logit_scale_max

    @property
    def logit_scale(self) -> Float[Tensor, ""]:
        """The multiplier of inner products: the exponential of the parameter, at most the maximum.

        The limit lets the gradient through, so that a scale at its maximum can decrease again.
        """
        assert self.log_logit_scale is not None
        excess = self.log_logit_scale.detach() - math.log(self.logit_scale_max)
        return (self.log_logit_scale - excess.clamp(min=0)).exp()

    def connect(
        self, *, modalities: tuple[str, ...], dim: int, norm: str, generator: torch.Generator
    ) -> None:
        """Create the parameters that depend on the model, and refuse what does not fit.

        Called once, before training or before weights are loaded.

        Args:
            modalities: the modalities of the task, in order.
            dim: the width of the embeddings.
            norm: how encoders normalize embeddings: "l2" or "layer_norm".
            generator: the source of starting values.

        Raises:
            ValueError: the objective cannot be used with this model.
        """
        if self.on_sphere and norm != "l2":
            raise ValueError(
                f"norm is '{norm}', but this objective is defined for embeddings of length 1. "
                'Expected norm = "l2".'
            )

    def scalars(self) -> dict[str, float]:
        """Return the learned scales, biases and gates, for the history and MLflow."""
        if self.log_logit_scale is None:
            return {}
        return {"logit_scale": float(self.logit_scale.detach())}

    def begin_training(self, *, rows: int, batch_size: int) -> None:
        """Create the state that is only for training; by default there is none.

        Called before training, after `connect`, and not where a trained model is used.

        Args:
            rows: the number of rows of the store.
            batch_size: the samples of a batch, over all processes.

        Raises:
            ValueError: the state does not fit the batches.
        """

    def defer(self, change: Callable[[], None]) -> None:
        """Make a change of the state after the step, if the step is taken.

        The loss computes it from the whole batch, so that all processes make the same change.

        Args:
            change: changes buffers in place; what it holds must have no gradient.
        """
        self._deferred.append(change)

    def after_step(self) -> None:
        """Set a scale above its maximum back to it, and make the changes of the state."""
        with torch.no_grad():
            if self.log_logit_scale is not None:
                self.log_logit_scale.clamp_(max=math.log(self.logit_scale_max))
            for change in self._deferred:
                change()
        self._deferred.clear()

    def views(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Sequence[View]:
        """Return the batches to encode in a step; by default the batch, once.

        Each has the samples of the batch; inputs may be changed. The embeddings of the first are
        `z` of the loss, and a teacher embeds it; further ones may leave out modalities, and carry
        tensors to the loss. An unavailable input may hold any value and must reach no other one.

        Args:
            batch: the inputs of this process's samples.
            generator: the source of random draws, on the CPU; each process has its own.
            progress: 0 at the first step of the training, 1 at the last.
        """
        return [View(batch)]

    @property
    def needs(self) -> tuple[str, ...]:
        """Name what the loss needs besides embeddings; empty if they suffice."""
        further = type(self).views is not Objective.views
        return (
            *self.reads,
            *(["further views of a batch"] if further else []),
            *(["the embeddings of a teacher"] if self.momentum is not None else []),
            *(["what it kept of earlier steps"] if self.keeps_state else []),
        )

    def training_loss(
        self, share: ObjectiveInput, *, group: Group, generator: torch.Generator | None = None
    ) -> Loss:
        """Compute the loss of a batch that several processes share, with its side information.

        Training calls this. An objective overrides one of the losses that it chooses from.

        Args:
            share: this process's samples.
            group: the processes; None for one process.
            generator: the source of random draws, in the same state in all processes.
        """
        self._check_spread(share.embeddings)
        self._deferred.clear()
        if type(self).informed_loss is Objective.informed_loss:
            found = self.distributed_loss(share.embeddings, group=group, generator=generator)
            return as_loss(found)
        whole = gather_input(share, group)
        with open_slots(whole.embeddings) as (z, available):
            return as_loss(self.informed_loss(z, available, whole, generator=generator))

    def informed_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        inputs: ObjectiveInput,
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""] | Loss:
        """Compute the loss of a batch with further views, or what `reads` names.

        Args:
            z: embeddings in float32 at least; zero where unavailable.
            available: True where a sample has the modality.
            inputs: the batch, for its `labels`, `subjects`, `values`, `number` and `further` views.
            generator: the source of random draws, on the CPU.

        Raises:
            NotImplementedError: the objective defines neither this loss nor another one.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no loss; define `batch_loss`, or another that it documents."
        )

    def forward(
        self, embeddings: Embeddings, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""]:
        """Compute the loss of a batch from embeddings alone.

        An objective overrides `batch_loss`, or `distributed_loss`, of which this is the case of one
        process.

        Args:
            embeddings: the batch.
            generator: the source of random draws, on the CPU.

        Raises:
            ValueError: the objective reads more than embeddings, or variances that are not there.
        """
        self._check_spread(embeddings)
        if type(self).informed_loss is not Objective.informed_loss:
            raise ValueError(more_needed_message(self.needs))
        if type(self).distributed_loss is not Objective.distributed_loss:
            found = self.distributed_loss(embeddings, group=None, generator=generator)
        else:
            found = self._loss_of_batch(embeddings, generator)
        return as_loss(found).total

    def _loss_of_batch(
        self, embeddings: Embeddings, generator: torch.Generator | None
    ) -> Float[Tensor, ""] | Loss:
        with open_slots(embeddings) as (z, available):
            return self.batch_loss(z, available, generator=generator)

    def _check_spread(self, embeddings: Embeddings) -> None:
        """Refuse embeddings without variances for an objective of Gaussians, and the reverse."""
        if self.spread != embeddings.spread:
            raise ValueError(
                f"the embeddings have {_variances(embeddings.spread)}; expected "
                f"{_variances(self.spread)}, by this objective's `spread`."
            )

    def batch_loss(
        self,
        z: Float[Tensor, "sample modality dim"],
        available: Bool[Tensor, "sample modality"],
        *,
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""] | Loss:
        """Compute the loss of the embeddings of a batch.

        Args:
            z: embeddings in float32 at least; zero where unavailable.
            available: True where a sample has the modality.
            generator: the source of random draws, on the CPU.

        Raises:
            NotImplementedError: the objective defines neither this loss nor another one.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no loss; define `batch_loss`, or another that it documents."
        )

    def distributed_loss(
        self, share: Embeddings, *, group: Group, generator: torch.Generator | None = None
    ) -> Float[Tensor, ""] | Loss:
        """Compute the loss of a batch that several processes share.

        By default every process computes the whole loss; an expensive objective divides the work.

        Args:
            share: this process's samples.
            group: the processes; None for one process. `distributed` explains the gradients.
            generator: as in `forward`, in the same state in all processes.
        """
        whole = gather_embeddings(share, group)
        if type(self).forward is not Objective.forward:
            return self(whole, generator=generator)
        return self._loss_of_batch(whole, generator)

    def score(
        self, query: Embeddings, candidates: Float[Tensor, "candidate dim"], *, target: str
    ) -> Float[Tensor, "query candidate"]:
        """Score how well each candidate matches each query; higher is better.

        By default the sum of a candidate's inner products with the query's available modalities.

        Args:
            query: the embeddings of each query; its column for `target` is never read.
            candidates: embeddings of the target modality.
            target: the modality of the candidates.

        Raises:
            ValueError: a query has no modality available.
        """
        return inner_products(query_embeddings(query, target=target, fill=0.0).sum(1), candidates)

    def n_candidates(self, samples: int, *, modalities: int) -> int | None:
        """Return K of the total correlation estimate log K - loss; None if there is none."""
        return None

    def flops(self, samples: int, *, modalities: int, dim: int) -> float | None:
        """Count the floating-point operations of a step's loss and gradients, complete batch.

        None if unknown.
        """
        return None


def query_columns(query: Embeddings, *, target: str) -> list[int]:
    """Return the columns of the modalities that a query may be scored with: all but the target.

    Raises:
        ValueError: `target` is not a modality of the query, or a query has no modality available.
    """
    if target not in query.modalities:
        raise ValueError(
            f"target '{target}' is not a modality of the query; expected one of "
            f"{', '.join(query.modalities)}."
        )
    others = other_columns(len(query.modalities), query.modalities.index(target))
    empty = int((~query.available[:, others].any(dim=1)).sum())
    if empty:
        raise ValueError(
            f"{empty} of {len(query.rows)} queries for '{target}' have no other modality "
            "available; expected at least one each. Leave them out before scoring."
        )
    return others


def query_embeddings(
    query: Embeddings, *, target: str, fill: float
) -> Float[Tensor, "query other dim"]:
    """Return the embeddings that a query is scored with, in float64.

    Args:
        query: the embeddings of each query.
        target: the modality that is retrieved; its column is left out.
        fill: the value of a missing modality that has no substitute.

    Raises:
        ValueError: see `query_columns`.
    """
    others, known = query_columns(query, target=target), query_availability(query, target=target)
    z, _ = query.without(target).with_substitutes()
    return torch.where(known[:, :, None], z[:, others].double(), fill)


def query_availability(query: Embeddings, *, target: str) -> Bool[Tensor, "query other"]:
    """Return which embeddings a query is scored with; a substitute counts as available.

    Raises:
        ValueError: see `query_columns`.
    """
    return query.with_substitutes()[1][:, query_columns(query, target=target)]


def inner_products(
    query: Float[Tensor, "query dim"], candidates: Float[Tensor, "candidate dim"]
) -> Float[Tensor, "query candidate"]:
    """Compute inner products in float64; return float32 unless the embeddings are float64.

    A float32 matrix product may score equal candidates differently, and so break ties by position.
    """
    return as_given(query.double() @ candidates.double().T, candidates)


def as_given(
    scores: Float[Tensor, "query candidate"], candidates: Float[Tensor, "*row candidate dim"]
) -> Float[Tensor, "query candidate"]:
    """Return scores that were computed in float64 as float32, unless candidates are float64."""
    return scores if candidates.dtype == torch.float64 else scores.float()


def _variances(spread: bool) -> str:
    return "log variances after their means" if spread else "no log variances"

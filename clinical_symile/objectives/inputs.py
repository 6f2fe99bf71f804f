"""Inputs of an objective: a batch's embeddings, those of further views, and side information."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.distributed import (
    Group,
    all_gather_with_grad,
    gather_embeddings,
    local_slice,
    share_sizes,
)
from clinical_symile.objectives.slots import filled_slots
from clinical_symile.objectives.views import EncodedView, Mixing


@dataclass(frozen=True, repr=False)
class ObjectiveInput:
    """A batch of train samples, encoded, and the side information that the objective reads.

    Attributes:
        embeddings: the embeddings of the first view: the batch, unless the objective changes it.
        side: the side information of the same samples, in the same order; a kind that the objective
            does not name in `reads` is None.
        further: the embeddings of the views after the first, which `Objective.views` made.
        progress: 0 at the first step of the training, 1 at the last.
        teacher: embeddings of the first view by the slowly following copy of the encoders, without
            gradient; None if the objective has no `momentum`.
    """

    embeddings: Embeddings
    side: SideInformation
    further: tuple[EncodedView, ...] = ()
    progress: float = 0.0
    teacher: Embeddings | None = None

    @property
    def labels(self) -> Float[Tensor, "sample label"]:
        """1 positive, 0 negative, -1 uncertain, NaN unknown.

        Raises:
            ValueError: there are none.
        """
        return _given(self.side.labels, "labels")

    @property
    def positive_shares(self) -> Float[Tensor, " label"]:
        """The share of positives among the known labels of all train samples.

        Raises:
            ValueError: there are none.
        """
        return _given(self.side.positive_shares, "labels")

    @property
    def subjects(self) -> Int[Tensor, " sample"]:
        """A number for the subject of each sample.

        Raises:
            ValueError: there are none.
        """
        return _given(self.side.subjects, "subjects")

    @property
    def values(self) -> Float[Tensor, "sample value"]:
        """Measurements from 0 to 1, NaN where not measured or not visible.

        Raises:
            ValueError: there are none.
        """
        return _given(self.side.values, "values")

    @property
    def number(self) -> Float[Tensor, " sample"]:
        """The number of each sample that the task names, NaN where unknown.

        Raises:
            ValueError: there is none.
        """
        return _given(self.side.number, "numbers")

    def taught(self) -> Float[Tensor, "sample modality dim"]:
        """Return the teacher's embeddings, in float32 at least; zero where unavailable.

        Raises:
            ValueError: there is no teacher.
        """
        if self.teacher is None:
            raise ValueError("there is no teacher; expected an objective with a `momentum`.")
        return filled_slots(self.teacher)

    def select(self, columns: tuple[int, ...]) -> "ObjectiveInput":
        """Return the input of some modalities, given by their columns."""

        def selected(mixing: Mixing) -> Mixing:
            kept = list(columns)
            return Mixing(mixing.partners[:, kept], mixing.shares[:, kept])

        return self.map_views(lambda embeddings: embeddings.select(columns), selected)

    def map_views(
        self,
        change: Callable[[Embeddings], Embeddings],
        mix: Callable[[Mixing], Mixing],
        carry: Callable[[Tensor], Tensor] = lambda carried: carried,
    ) -> "ObjectiveInput":
        """Return an input with what its views hold changed: embeddings, mixings, tensors."""
        further = tuple(
            EncodedView(
                change(view.embeddings),
                None if view.mixing is None else mix(view.mixing),
                {name: carry(carried) for name, carried in view.carried.items()},
            )
            for view in self.further
        )
        teacher = None if self.teacher is None else change(self.teacher)
        return replace(self, embeddings=change(self.embeddings), further=further, teacher=teacher)


def gather_input(share: ObjectiveInput, group: Group) -> ObjectiveInput:
    """Return the input of the whole batch."""
    if group is None:
        return share
    sizes = share_sizes(share.embeddings.z, group)
    start = local_slice(sizes, group).start

    def gather(table: Tensor) -> Tensor:
        return all_gather_with_grad(table, sizes, group)

    whole = share.map_views(
        lambda embeddings: gather_embeddings(embeddings, group),
        lambda mixing: Mixing(gather(mixing.partners + start), gather(mixing.shares)),
        gather,
    )
    return replace(whole, side=share.side.map(gather(share.side.rows), gather))


def more_needed_message(needs: Sequence[str]) -> str:
    """Say that an objective's loss does not follow from embeddings alone.

    Args:
        needs: what the loss needs besides embeddings, in words.
    """
    return (
        f"this objective needs {' and '.join(needs) or 'more than embeddings'}; embeddings alone "
        "do not suffice. Call `training_loss` with an `ObjectiveInput`."
    )


def _given(table: Tensor | None, kind: str) -> Tensor:
    if table is None:
        raise ValueError(f"there are no {kind}; expected an objective that names them in `reads`.")
    return table

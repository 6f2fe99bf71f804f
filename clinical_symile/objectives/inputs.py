"""Inputs of an objective: a batch's embeddings with the side information that it reads."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.distributed import (
    Group,
    all_gather_with_grad,
    gather_embeddings,
    share_sizes,
)


@dataclass(frozen=True, repr=False)
class ObjectiveInput:
    """A batch of train samples: its embeddings, and the side information that the objective reads.

    Attributes:
        embeddings: the embeddings.
        side: the side information of the same samples, in the same order; a kind that the objective
            does not name in `reads` is None.
    """

    embeddings: Embeddings
    side: SideInformation

    @property
    def labels(self) -> Float[Tensor, "sample label"]:
        """1 positive, 0 negative, -1 uncertain, NaN unknown.

        Raises:
            ValueError: there are none.
        """
        return _given(self.side.labels, "labels")

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


def gather_input(share: ObjectiveInput, group: Group) -> ObjectiveInput:
    """Return the input of the whole batch."""
    if group is None:
        return share
    sizes = share_sizes(share.embeddings.z, group)

    def gather(table: Tensor) -> Tensor:
        return all_gather_with_grad(table, sizes, group)

    return ObjectiveInput(
        gather_embeddings(share.embeddings, group), share.side.map(gather(share.side.rows), gather)
    )


def _given(table: Tensor | None, kind: str) -> Tensor:
    if table is None:
        raise ValueError(f"there are no {kind}; expected an objective that names them in `reads`.")
    return table

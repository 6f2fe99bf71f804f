"""Sum resampled weights over blocks of samples that are adjacent in predicted risk.

Many statistics of ranked risks depend on a run of samples by its weight alone, whatever the weights
are. A run of negatives between two positives is an example for AUROC. Such runs are found once for
all resamples, so that a resample is summed into few blocks instead of being sorted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Real

_Flags = Bool[np.ndarray, " group"]
# Whether a group belongs to the block of the one before, from which groups hold one class only.
Joined = Callable[[_Flags, _Flags], Bool[np.ndarray, " later"]]


@dataclass(frozen=True, eq=False, repr=False)
class RiskBlocks:
    """Blocks of samples in rising order of a value.

    Attributes:
        code: twice the block of each sample, plus its label.
        count: the number of blocks.
    """

    code: Int[np.ndarray, " sample"]
    count: int

    @classmethod
    def of(
        cls,
        label: Int[np.ndarray, " sample"],
        value: Float[np.ndarray, " sample"],
        joined: Joined,
    ) -> "RiskBlocks":
        """Find the blocks; samples with the same value are always in one.

        Args:
            label: 0 or 1.
            value: the risk, or its negative.
            joined: called with flags of the groups of equal values, in rising order: whether all
                labels of a group are 0, and whether all are 1.
        """
        order = np.argsort(value, kind="stable")
        starts = np.flatnonzero(np.diff(value[order], prepend=-np.inf))
        sizes = np.diff(starts, append=len(order))
        positives = np.add.reduceat(label[order], starts) if len(order) else sizes
        later = joined(positives == 0, positives == sizes)
        block = np.concatenate([[0], np.cumsum(~later)])[: len(starts)]
        code = np.empty(len(order), dtype=np.int64)
        code[order] = 2 * np.repeat(block, sizes) + label[order]
        return cls(code, int(block[-1]) + 1 if len(block) else 0)

    def held(
        self, weights: Real[np.ndarray, "resample sample"]
    ) -> tuple[Float[np.ndarray, "resample block"], Float[np.ndarray, "resample block"]]:
        """Return the weight of the positives and of the negatives of each block."""
        sums = [np.bincount(self.code, row, 2 * self.count) for row in weights]
        both = np.array(sums).reshape(len(weights), self.count, 2)
        return both[:, :, 1], both[:, :, 0]

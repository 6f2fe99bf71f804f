"""What a metric must say of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A function from arrays to one number.

    Attributes:
        name: as in `names.py`, in results and in reports.
        compute: of (above, tied) for retrieval, of (label, probability) for classification; one
            entry per sample.
        higher_is_better: the direction of improvement.
        low: the least value it can take.
        high: the greatest.
        chance: what a model that knows nothing scores in expectation, of the number of candidates
            of each query or of the labels; None where there is no such value.
    """

    name: str
    compute: Callable[..., float]
    higher_is_better: bool
    low: float
    high: float
    chance: Callable[[Any], float] | None

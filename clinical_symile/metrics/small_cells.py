"""Select the cells of a table to withhold, so that no number of few subjects is shown or follows.

A cell with fewer than ten subjects could identify someone. If the total is shown as well, the
remainder of the total must also cover ten subjects.

Source: the usual rule of disclosure control, primary and complementary suppression.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool

SMALLEST = 10

_Cell = Bool[np.ndarray, " sample"]


def withheld_cells(cells: Sequence[_Cell], least: Callable[[_Cell], int]) -> dict[int, str]:
    """Return the cells to withhold, by position, with the reason.

    Args:
        cells: which samples are in each; no sample is in two, and some may be in none.
        least: returns the smallest count of a cell that must be large enough, such as subjects.
    """
    small = f"fewer than {SMALLEST} subjects, or samples of a class"
    withheld = {place: small for place, cell in enumerate(cells) if least(cell) < SMALLEST}
    while shown := [place for place in range(len(cells)) if place not in withheld]:
        rest = ~np.any([cells[place] for place in shown], axis=0)
        if not rest.any() or least(rest) >= SMALLEST:
            break
        withheld[min(shown, key=lambda place: least(cells[place]))] = (
            "so that no other group follows"
        )
    return withheld

"""Which cells of a table are withheld, so that no number of few people is told or follows.

A number of a cell with fewer than ten people could point at someone. Where the total is told as
well, so does what the told cells leave of it: whatever is not told must together be of ten, too.

Source: the usual rule of disclosure control, primary and complementary suppression.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool

SMALLEST = 10

Cell = Bool[np.ndarray, " sample"]


def withheld_cells(cells: Sequence[Cell], least: Callable[[Cell], int]) -> dict[int, str]:
    """The cells that may not be told, by their place, with the reason.

    Args:
        cells: which samples are in each; none is in two, and some may be in none.
        least: of a cell, the smallest of the counts that have to be large enough, such as people.
    """
    small = f"fewer than {SMALLEST} people, or samples of a class"
    withheld = {place: small for place, cell in enumerate(cells) if least(cell) < SMALLEST}
    while told := [place for place in range(len(cells)) if place not in withheld]:
        rest = ~np.any([cells[place] for place in told], axis=0)
        if not rest.any() or least(rest) >= SMALLEST:
            break
        withheld[min(told, key=lambda place: least(cells[place]))] = "so that no other one follows"
    return withheld

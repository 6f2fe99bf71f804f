from itertools import pairwise

import numpy as np

from clinical_symile.metrics.small_cells import SMALLEST, withheld_cells


def cells(*sizes: int) -> list[np.ndarray]:
    """Cells of these sizes, one after the other."""
    edges = np.cumsum([0, *sizes])
    return [
        (np.arange(edges[-1]) >= low) & (np.arange(edges[-1]) < high)
        for low, high in pairwise(edges)
    ]


def count(cell: np.ndarray) -> int:
    return int(cell.sum())


def test_a_small_cell_takes_the_next_smallest_with_it():
    withheld = withheld_cells(cells(3, 12, 50), count)
    assert withheld[0].startswith(f"fewer than {SMALLEST} subjects")
    assert withheld[1] == "so that no other group follows"
    assert 2 not in withheld


def test_two_small_cells_that_hold_ten_together_suffice():
    assert set(withheld_cells(cells(6, 6, 50), count)) == {0, 1}


def test_large_cells_are_all_shown():
    assert withheld_cells(cells(10, 20), count) == {}


def test_where_every_cell_is_preferred_all_are_withheld():
    assert set(withheld_cells(cells(3, 4), count)) == {0, 1}

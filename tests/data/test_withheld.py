"""What is withheld of a measurement, number by number."""

import numpy as np

from clinical_symile.data.withheld import WithheldBlocks, WithheldParts


def test_parts_are_withheld_along_the_whole_measurement():
    withheld = WithheldParts(np.array([[True, False], [False, False], [False, True]]))
    rows = np.array([2, 0])
    assert withheld.of(rows, (2,)).tolist() == [[False, True], [True, False]]
    every = np.broadcast_to(withheld.of(rows, (2, 5)), (2, 2, 5))
    assert every[0].tolist() == [[False] * 5, [True] * 5]
    assert every[1].tolist() == [[True] * 5, [False] * 5]


def test_a_segment_is_withheld_from_every_lead():
    withheld = WithheldBlocks(np.array([[1], [3]]), (2,))
    every = np.broadcast_to(withheld.of(np.array([1, 0]), (2, 5)), (2, 2, 5))
    for lead in range(2):
        assert every[0, lead].tolist() == [False, False, False, True, True]
        assert every[1, lead].tolist() == [False, True, True, False, False]


def test_a_region_is_a_rectangle():
    withheld = WithheldBlocks(np.array([[1, 0]]), (2, 3))
    every = np.broadcast_to(withheld.of(np.array([0]), (1, 4, 4)), (1, 1, 4, 4))[0, 0]
    expected = np.zeros((4, 4), dtype=bool)
    expected[1:3, 0:3] = True
    np.testing.assert_array_equal(every, expected)

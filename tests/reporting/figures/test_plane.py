import numpy as np
from matplotlib.collections import LineCollection

from clinical_symile.reporting.figures.picture import PALETTE
from clinical_symile.reporting.figures.plane import PlanePath, paths
from tests.helpers.figures import svg_of


def test_a_path_has_an_interval_along_each_axis_and_a_large_first_marker() -> None:
    line = PlanePath(1, [0.5, 0.6], [0.2, 0.4], [(0.4, 0.6), (0.5, 0.7)], [(0.1, 0.3), (0.3, 0.5)])
    picture = paths(
        [line], name="a", title="t", x_label="complete", y_label="missing", percent=True
    )
    axes = picture.figure.axes[0]
    joined, first = axes.lines
    assert np.asarray(joined.get_xdata()).tolist() == [0.5, 0.6]
    assert np.asarray(joined.get_ydata()).tolist() == [0.2, 0.4]
    assert np.asarray(first.get_xdata()).tolist() == [0.5]
    assert first.get_markersize() > joined.get_markersize()
    assert {joined.get_color(), first.get_color()} == {PALETTE[1]}
    marks = [one for one in axes.collections if isinstance(one, LineCollection)]
    drawn = sorted(np.asarray(one.get_segments()[0]).tolist() for one in marks)
    assert drawn == sorted(
        [
            [[0.4, 0.2], [0.6, 0.2]],
            [[0.5, 0.1], [0.5, 0.3]],
            [[0.5, 0.4], [0.7, 0.4]],
            [[0.6, 0.3], [0.6, 0.5]],
        ]
    )
    assert picture.families == frozenset([1])
    assert "missing" in svg_of(picture)

"""The figure of the missing-data study shows the numbers of its tables."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
HEAD = "| method | recall, nothing missing | without the ECG | AUROC, labs alone | training, s |"
TABLE = f"""{HEAD}
|---|--:|--:|--:|--:|
| `missingness/dropout` | 0.500 [0.450, 0.550] | 0.200 [0.150, 0.260] | 0.6 [0.5, 0.7] | 40 |
| `clip` | 0.300 [0.250, 0.350] | 0.250 [0.200, 0.300] | 0.6 [0.5, 0.7] | 20 |
| `missingness/clip/dropout` | 0.310 [0.260, 0.360] |  | 0.6 [0.5, 0.7] | 30 |
| oracle | 0.700 [0.680, 0.720] |  |  |  |

4 trainings, seeds 0, 1, on *A made world*. Recall is recall@1.
"""


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("methods_drawn", FOLDER / "methods_drawn.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_table_is_read_with_its_intervals(drawn: Any):
    values = drawn.read_table(TABLE)
    assert values["dropout"]["without the ECG"] == (0.2, 0.15, 0.26)
    assert values["oracle"] == {"recall, nothing missing": (0.7, 0.68, 0.72)}
    assert drawn.title(TABLE) == "A made world"
    ways = {
        "dropout": {"Symile": "dropout", "CLIP": "clip/dropout"},
        "masked_cube": {"CLIP": "clip"},
    }
    assert drawn.by_way(values) == ways


def test_each_value_and_interval_is_drawn_in_the_panel_of_its_column(drawn: Any):
    figure = drawn.draw([TABLE, TABLE])
    assert len(figure.axes) == 2 * len(drawn.COLUMNS)
    first, second, *empty = figure.axes[: len(drawn.COLUMNS)]
    lines = [tuple(map(float, line.get_xdata())) for line in first.lines]
    assert lines == [
        *((0.45, 0.55), (0.5,), (0.26, 0.36), (0.31,)),  # dropout: Symile, CLIP
        *((0.25, 0.35), (0.3,)),  # masked cube: CLIP
        (0.7, 0.7),  # the oracle
    ]
    assert [label.get_text() for label in first.get_yticklabels()] == ["dropout", "masked_cube"]
    places = [line.get_ydata()[0] for line in second.lines]
    assert places == pytest.approx([-0.15, -0.15, 1.15, 1.15])
    assert not any(axes.lines for axes in empty)


def test_the_published_tables_have_every_column_of_the_figure(drawn: Any):
    paths = sorted((FOLDER / "results").glob("missingness_compared*.md"))
    assert paths
    for path in paths:
        values = drawn.read_table(path.read_text(encoding="utf-8"))
        for method in values.keys() - drawn.REFERENCES.keys():
            assert values[method].keys() == set(drawn.COLUMNS), (path.name, method)

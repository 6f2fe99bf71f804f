from pathlib import Path

import pytest

from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.reporting.figure_files import FIGURE_KINDS, draw_figures, export_figures
from clinical_symile.reporting.figures.picture import FILE_FORMATS
from clinical_symile.reporting.report_data import ReportData
from tests.helpers.report_data import FIRST, OUTCOME, made_data, of_ways, with_all_that_is_told

START = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.mark.parametrize("file_format", FILE_FORMATS)
@pytest.mark.parametrize("tasks", [(OUTCOME,), (FIRST, OUTCOME)], ids=["one", "several"])
def test_figures_are_one_file_that_stands_alone(
    tmp_path: Path, file_format: str, tasks: tuple[str, ...]
):
    plot = draw_figures(made_data(tasks=tasks), "degradation")
    assert (len(plot) == 1) == (len(tasks) == 1)
    content = plot.save(tmp_path / f"figure.{file_format}").read_bytes()
    assert content.startswith(START[file_format])
    if file_format == "svg":
        assert b"var(--" not in content  # colours are written out
        assert b"<text" not in content  # letters are outlines
        assert b'href="http' not in content
    assert plot.save(tmp_path / f"again.{file_format}").read_bytes() == content


def test_a_saved_figure_still_fits_the_page(tmp_path: Path):
    (one,) = draw_figures(made_data(tasks=(OUTCOME,)), "degradation")
    before = one.picture.__html__()
    assert one.heading
    assert one.legend
    one.content("png")
    assert one.picture.__html__() == before


def test_a_notebook_shows_every_figure_with_its_description():
    plot = draw_figures(made_data(), "degradation")
    shown = plot._repr_html_()
    assert shown.count('src="data:image/png;base64,iVBOR') == len(plot) > 1
    assert shown.count("the table below has the numbers") == len(plot)


def test_every_figure_of_a_report_is_exported_by_its_name(tmp_path: Path):
    data = made_data()
    written = export_figures(data, into=tmp_path, file_format="svg")
    names = [path.stem for path in written]
    assert {"degradation-classification-deterioration-mcar"} < set(names)
    every = [one.picture.name for kind in FIGURE_KINDS for one in _drawn(data, kind)]
    assert names == every
    assert all(path.read_bytes().startswith(START["svg"]) for path in written)


def _drawn(data: ReportData, kind: str):
    try:
        return draw_figures(data, kind)
    except DataError:
        return ()


def test_every_kind_is_drawn_or_says_that_it_cannot():
    data = of_ways(with_all_that_is_told(made_data(tasks=(OUTCOME,))))
    missing = {"missing_query", "modality_value", "pairing", "subgroups"}
    for kind in FIGURE_KINDS.keys() - missing:
        assert len(draw_figures(data, kind))
    for kind in missing:
        with pytest.raises(DataError, match=f"'{kind}' can be drawn"):
            draw_figures(data, kind)


def test_an_unknown_kind_or_format_is_refused(tmp_path: Path):
    with pytest.raises(DefinitionError, match="did you mean 'degradation'"):
        draw_figures(made_data(), "degradtion")
    with pytest.raises(ValueError, match=r"ends in \.png, \.svg or \.pdf"):
        draw_figures(made_data(), "degradation").save(tmp_path / "x.gif")


def test_results_without_any_figure_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no figure can be drawn"):
        export_figures(ReportData(results=(), tasks={}), into=tmp_path, file_format="png")

from pathlib import Path

import pytest

from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.reporting.figure_files import FIGURE_KINDS, save_figures
from tests.helpers.report_data import OUTCOME, made_data, of_ways, with_all_that_is_told


@pytest.mark.parametrize("file_format", ["svg", "png", "pdf"])
def test_a_figure_is_a_file_of_its_own(tmp_path: Path, file_format: str):
    path = tmp_path / f"figure.{file_format}"
    data = made_data(tasks=(OUTCOME,))
    (written,) = save_figures(data, "degradation", path)
    assert written == path
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[file_format]
    content = path.read_bytes()
    assert content.startswith(start)
    if file_format == "svg":
        assert b"var(--" not in content  # colours are written out
        assert b"<text" not in content  # letters are outlines
    (again,) = save_figures(data, "degradation", tmp_path / f"again.{file_format}")
    assert again.read_bytes() == content


def test_a_saved_figure_still_fits_the_page(tmp_path: Path):
    from clinical_symile.reporting.render import draw_sections

    (section,) = draw_sections(["degradation"], made_data(tasks=(OUTCOME,)))
    picture = section.content.panels[0].picture
    before = picture.__html__()
    picture.save(tmp_path / "x.png", heading="A heading", legend=section.content.legend)
    assert picture.__html__() == before


def test_several_figures_of_a_kind_have_stable_names(tmp_path: Path):
    written = save_figures(made_data(), "degradation", tmp_path / "degradation.png")
    assert [path.name for path in written] == [
        "degradation-retrieval-cxr_given_ecg_labs-mcar.png",
        "degradation-classification-deterioration-mcar.png",
    ]


def test_every_kind_is_drawn_or_says_that_it_cannot(tmp_path: Path):
    data = of_ways(with_all_that_is_told(made_data(tasks=(OUTCOME,))))
    missing = {"missing_query", "modality_value", "subgroups"}
    for kind in FIGURE_KINDS.keys() - missing:
        assert save_figures(data, kind, tmp_path / f"{kind}.png")
    for kind in missing:
        with pytest.raises(DataError, match=f"'{kind}' can be drawn"):
            save_figures(data, kind, tmp_path / f"{kind}.png")


def test_an_unknown_kind_or_format_is_refused(tmp_path: Path):
    with pytest.raises(DefinitionError, match="did you mean 'degradation'"):
        save_figures(made_data(), "degradtion", tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"ends in \.svg, \.png or \.pdf"):
        save_figures(made_data(), "degradation", tmp_path / "x.gif")

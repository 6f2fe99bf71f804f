from pathlib import Path

from clinical_symile.reporting.summary import report_summary


def test_the_summary_is_the_description_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(
        '<head><meta charset="utf-8"><meta name="description" content="A &lt; B. Yes.">'
        "</head><p>Other text.</p>",
        encoding="utf-8",
    )
    assert report_summary(page) == "A < B. Yes."


def test_a_page_without_a_description_has_no_summary(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<title>own</title>", encoding="utf-8")
    assert report_summary(page) == ""

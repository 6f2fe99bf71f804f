"""The check of a built site in a browser, by which pages of the documentation are looked at."""

from pathlib import Path

import pytest

from tests.helpers.site_browser import CHROMIUM, problems_of_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open pages with"),
]


def test_a_page_that_does_not_fit_or_asks_for_more_is_named(tmp_path: Path):
    (tmp_path / "good.html").write_text("<title>t</title><article><h1>h</h1>text</article>")
    (tmp_path / "bad.html").write_text(
        "<title>t</title><article><h1>h</h1><p style='width: 2000px'>wide</p> **raw** "
        "<img src='lost.png'><script src='https://example.org/a.js'></script>"
        "<script>console.error('complaint')</script></article>"
    )
    found = "\n".join(problems_of_site(tmp_path, widths=(390,)))
    assert "good.html" not in found
    for words in ("px wide", "over the edge", "broken image", "requests", "raw Markdown"):
        assert words in found
    assert "complaint" in found
    assert "lost.png: 404" in found

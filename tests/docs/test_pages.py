"""Every page of the documentation looks right in a browser, on a desktop and on a phone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.site_browser import CHROMIUM, problems_of_site

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open pages with"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of the build is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_fits_desktop_and_phone_and_asks_for_nothing_outside(site: Path):
    assert len(list(site.rglob("*.html"))) > 50
    assert problems_of_site(site) == []


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

"""Read the answer of a rendered report from its page."""

from html.parser import HTMLParser
from pathlib import Path


def report_summary(page: Path) -> str:
    """Return the answer of a report's first screen, as its page states it for search engines.

    Args:
        page: the rendered page; one of a template of your own may have none, which gives `""`.
    """
    parser = _MetaDescription()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser.found


class _MetaDescription(HTMLParser):
    """Parser that keeps the description in a page's head."""

    def __init__(self) -> None:
        super().__init__()
        self.found = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the content of `<meta name="description">`."""
        values = dict(attrs)
        if tag == "meta" and values.get("name") == "description":
            self.found = values.get("content") or ""

"""MkDocs hooks: add generated pages, notebooks and files of the repository to the site.

A page in `docs/` may link to a file elsewhere in the repository. Such a file becomes a page
(Markdown) or a download (anything else), so that the site needs neither a network nor the
repository.
"""

import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs.hooks import layout, notebooks, reference  # noqa: E402

_LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
_LOADED = re.compile(
    r"""(?:\bsrc=|<link (?![^>]*rel="?(?:canonical|prev|next))[^>]*href=)["']?(https?://[^"'\s>]+)"""
)
_PICTURE = re.compile(r"""<img [^>]*\bsrc="(?!data:)([^"]+)"[^>]*>(?!\s*</a>)""")
_LINKED = re.compile(r"(?s)<(a|pre|h[1-6])\b.*?</\1>")
_MENTION = re.compile(
    r"<code>(?:docs/(?P<page>[\w/]+)\.md|(?P<code>CS-[A-Z]\d{3}))</code>"
    r"|(?<![\w/])docs/(?P<plain>[\w/]+)\.md\b"
)
_TITLE = re.compile(r"(?m)^# (.+)$")
_BESIDE = "repository"
_LOG = get_plugin_logger("site")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add every page that is not a Markdown file in `docs/`."""
    for path, write in reference.pages().items():
        if written := files.get_file_from_path(path):
            files.remove(written)  # the page begins with this file
        files.append(File.generated(config, path, content=write()))
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            files.remove(file)
            for path, content in notebooks.to_markdown(ROOT / "docs" / file.src_uri).items():
                where = posixpath.join(posixpath.dirname(file.src_uri), path)
                files.append(File.generated(config, where, content=content))
    for path in sorted(_linked(files)):
        copy = File.generated(config, f"{_BESIDE}/{path}", abs_src_path=str(ROOT / path))
        copy.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(copy)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links out of `docs/` at the copies in the site."""
    here = page.file.src_uri
    origin = here.removeprefix(f"{_BESIDE}/") if here.startswith(_BESIDE) else f"docs/{here}"

    def moved(link: re.Match[str]) -> str:
        target = _target(origin, link[2])
        if target.startswith("docs/"):
            target = target.removeprefix("docs/")
        elif not target.startswith(".."):
            target = f"{_BESIDE}/{target}"
        return link[1] + posixpath.relpath(target, posixpath.dirname(here) or ".") + link[3]

    if here.startswith(_BESIDE):
        markdown = _with_place(markdown, origin)
    return _LINK.sub(moved, markdown)


def _with_place(markdown: str, path: str) -> str:
    """Say below the title which file of the repository a page is; without a title, make one."""
    title = _TITLE.match(markdown)
    name = posixpath.basename(path).removesuffix(".md").replace("_", " ")
    head = title[0] if title else f"# Measured: {name}"
    text = markdown[title.end() :] if title else markdown
    return f"{head}\n\n*This is `{path}` of the repository.*\n\n{text.lstrip()}"


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Link pages and error codes that are mentioned, and fit the page to narrow screens.

    Every picture opens in its own size: on a phone its text is too small to read.
    """
    html = _PICTURE.sub(lambda found: f'<a href="{found[1]}">{found[0]}</a>', html)
    return layout.fit(_with_links(html, page, files))


def _with_links(html: str, page: Page, files: Files) -> str:
    """Turn `docs/….md` and error codes of a text, such as a docstring's, into links."""

    def link(found: re.Match[str]) -> str:
        code = found["code"]
        path = "troubleshooting.md" if code else f"{found['page'] or found['plain']}.md"
        target = files.get_file_from_path(path)
        if target is None or target is page.file:
            return found[0]
        address = target.url_relative_to(page.file)
        if code:
            return f'<a href="{address}#{code.lower()}">{found[0]}</a>'
        title = _TITLE.search(target.content_string)
        return f'<a href="{address}">{title[1] if title else path}</a>'

    parts, end = [], 0
    for kept in _LINKED.finditer(html):
        parts += [_MENTION.sub(link, html[end : kept.start()]), kept[0]]
        end = kept.end()
    return "".join([*parts, _MENTION.sub(link, html[end:])])


def on_post_template(output: str, *, template_name: str, config: MkDocsConfig) -> str:
    """Leave out the theme's page for wrong addresses: it needs a server that the site has not."""
    return "" if template_name == "404.html" else output


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Warn of everything that a page would load from elsewhere; a strict build then fails."""
    for address in _LOADED.findall(output):
        _LOG.warning("%s loads %s; expected no external file", page.file.src_uri, address)
    return output


def _linked(files: Files) -> set[str]:
    """Return the repository's files that pages link to, directly or by another such file."""
    pages = [f for f in files if f.src_uri.endswith(".md")]
    found: set[str] = set()
    waiting = [
        target for page in pages for target in _targets(f"docs/{page.src_uri}", page.content_string)
    ]
    while waiting:
        target = waiting.pop()
        if target in found or target.startswith(("docs/", "..")) or not (ROOT / target).is_file():
            continue
        found.add(target)
        if target.endswith(".md"):
            waiting += _targets(target, (ROOT / target).read_text(encoding="utf-8"))
    return found


def _targets(origin: str, text: str) -> Iterator[str]:
    for link in _LINK.finditer(text):
        yield _target(origin, link[2])


def _target(origin: str, link: str) -> str:
    """Return the path in the repository that a link leads to; a folder is its README."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    return f"{target}/README.md" if (ROOT / target).is_dir() else target

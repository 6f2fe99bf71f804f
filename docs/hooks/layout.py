"""Fit the HTML of a page to narrow screens: labelled cells, and names that break well.

Everything here changes how a page is laid out, and no word of it.
"""

import re
from collections.abc import Callable

_TABLE = re.compile(r"(?s)<table>.*?</table>")
_ROW = re.compile(r"(?s)<tr\b.*?</tr>")
_CELL = re.compile(r"(?s)<t([dh])\b([^>]*)>(.*?)</t[dh]>")
_TAG = re.compile(r"(<[^>]+>)")
_NUMBERS = re.compile(r"[\d.,:%/ +\-\u2013\u2212]*")
_QUANTITY = re.compile(r"[\d.,]+ (?:s|min|h|kB|MB|GB)")
_INTERVAL = re.compile(r"\[[+-]?\d[^\][<]*\]")
_LONG_NAME = re.compile(r"[\w./]{16,}")
_INSIDE_NAME = re.compile(r"(?<=\w)([./_])(?=\w)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*|(?<=[\s\[])-[a-z](?![\w-])")
_PLAIN = ("Description", "meaning")  # what these columns say needs no label
_LONG = 40  # letters of a cell that is more than a name
_UNBROKEN = 22  # letters of a name that stays on one line of a table
_SHORT_CODE = re.compile(rf"<code>([^<]{{1,{_UNBROKEN}}})</code>")


def fit(html: str) -> str:
    """Return a page's HTML with labels in its tables, and places where long names may break."""
    html = _TABLE.sub(lambda table: _fit_table(table[0]), html)
    return _map_text(html, _break_names, _keep_options)


def _fit_table(table: str) -> str:
    """Give the cells of a table of words the names of their columns.

    Without room for the columns, the cells of a row are shown below each other (`site.css`). A
    table of numbers stays a table.
    """
    rows = [[cell.groups() for cell in _CELL.finditer(row)] for row in _ROW.findall(table)]
    if len(rows[0]) > 2 and _has_words([cell for row in rows[1:] for cell in row[1:]]):
        labels = [_text(content) for _, _, content in rows[0]]
        table = _ROW.sub(lambda row: _label(row[0], labels), table)
        table = table.replace("<table>", "<table data-stacked>", 1)
    return _CELL.sub(_keep_short, table)


def _has_words(cells: list[tuple[str, ...]]) -> bool:
    """Return True for cells of words, also beside some that are aligned as numbers are."""
    words = [_text(content) for _, attributes, content in cells if "right" not in attributes]
    if len(words) < len(cells):
        return any(len(text) > _LONG for text in words)
    return not all(_NUMBERS.fullmatch(text) for text in words)


def _label(row: str, labels: list[str]) -> str:
    names = iter(labels)

    def labelled(cell: re.Match[str]) -> str:
        kind, attributes, content = cell.groups()
        name = next(names, "").replace('"', "&quot;")
        if kind == "h":
            return cell[0]
        if not _text(content):
            return f"<td{attributes} data-empty></td>"
        if name in _PLAIN:
            return cell[0]
        return f'<td{attributes} data-label="{name}">{content}</td>'

    return _CELL.sub(labelled, row)


def _keep_short(cell: re.Match[str]) -> str:
    """Keep a short name, a number with its unit, and an interval on one line."""
    kind, attributes, content = cell.groups()
    text = _text(content)
    if (text and len(text) <= _UNBROKEN and " " not in text) or _QUANTITY.fullmatch(text):
        content = f'<span class="unbroken">{content}</span>'
    elif _NUMBERS.fullmatch(text):
        content = content.replace(" / ", "&nbsp;/ ").replace(" %", "&nbsp;%")
    else:
        content = _SHORT_CODE.sub(r'<code class="unbroken">\1</code>', content)
        content = _INTERVAL.sub(r'<span class="unbroken">\g<0></span>', content)
    return f"<t{kind}{attributes}>{content}</t{kind}>"


def _map_text(html: str, text: Callable[[str], str], code: Callable[[str], str]) -> str:
    """Change the text of a page outside its tags: `text` outside blocks of code, `code` in any."""
    block = inline = 0
    parts = _TAG.split(html)
    for place, part in enumerate(parts):
        if part.startswith("<"):
            block += part.startswith("<pre") - part.startswith("</pre")
            inline += part.startswith("<code") - part.startswith("</code")
        elif part:
            part = code(part) if inline else part
            parts[place] = part if block else _map_tagged(part, text)
    return "".join(parts)


def _map_tagged(part: str, text: Callable[[str], str]) -> str:
    return "".join(
        piece if piece.startswith("<") else text(piece) for piece in _TAG.split(part) if piece
    )


def _break_names(text: str) -> str:
    """Let a long name break after a dot, a slash or an underscore."""
    return _LONG_NAME.sub(lambda name: _INSIDE_NAME.sub(r"\1<wbr>", name[0]), text)


def _keep_options(text: str) -> str:
    """Keep an option on one line: browsers break lines after its hyphens."""
    return _OPTION.sub(r'<span class="unbroken">\g<0></span>', text)


def _text(html: str) -> str:
    return " ".join(_TAG.sub("", html).split())

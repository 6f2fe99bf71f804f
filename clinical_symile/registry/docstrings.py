"""Read the sections of a Google-style docstring."""

import inspect
import re
from typing import Any


def first_paragraph(documented: Any) -> str:
    """Return the first paragraph of an object's docstring as one line."""
    text = inspect.getdoc(documented) or ""
    return " ".join(text.partition("\n\n")[0].split())


def docstring_section(documented: Any, title: str) -> dict[str, str]:
    """Return the entries of a section such as `Args` or `Attributes`.

    Args:
        documented: a class, a function or a module.
        title: the section's title, without the colon.

    Returns:
        The description of each entry, as one line.
    """
    lines = (inspect.getdoc(documented) or "").splitlines()
    if f"{title}:" not in lines:
        return {}
    entries: dict[str, list[str]] = {}
    for line in lines[lines.index(f"{title}:") + 1 :]:
        if line and not line.startswith(" "):
            break
        if head := re.match(r" {4}(\w+)(?: \([^)]*\))?: ?(.*)", line):
            entries[head[1]] = [head[2]]
        elif line.strip() and entries:
            entries[next(reversed(entries))].append(line.strip())
    return {name: " ".join(words) for name, words in entries.items()}

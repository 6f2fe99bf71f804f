"""Check names that come from files before they become a path, a run or a metric."""

import re

from clinical_symile.errors import DataError

# Letters of any script, digits and these; a name neither begins with a dot nor ends in a space.
_NAME = re.compile(r"[\w<>=\-][\w<>=@. \-]*(?<! )")


def check_name(name: str, *, what: str, where: str) -> str:
    """Return a name if it can be one part of a path.

    Args:
        name: the name.
        what: the kind of name, for the message.
        where: the file or folder that has it, for the message.

    Raises:
        DataError: it holds other characters, such as `/`, begins with a dot or ends in a space.
    """
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{where}: {what} {name!r} cannot be a name; expected letters, digits, '_', '-', '.', "
            "'<', '>', '=', '@' and spaces, with no dot at the start and no space at the end. "
            "Rename it.",
            code="CS-R014",
        )
    return name


def check_path(name: str, *, what: str, where: str) -> str:
    """Return a name of several parts joined by `/`, such as a task's, if each part is a name.

    Args:
        name: the name.
        what: the kind of name, for the message.
        where: the file or folder that has it, for the message.

    Raises:
        DataError: see `check_name`.
    """
    for part in name.split("/"):
        check_name(part, what=what, where=where)
    return name

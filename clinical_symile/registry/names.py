"""Check the names that files bring, and build every path that a name becomes.

One rule holds for names of outcomes, runs, tasks, patterns, modalities, groups and cohorts. A name
has Unicode letters and digits, `_`, `.`, `-` and spaces. Names of outcomes may have `<`, `>` and
`=`, and patterns `@`. A file that is called by a name is found by `path_in` alone. A test holds
this.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from clinical_symile.errors import DataError

# The signs that a name may have besides, and what a path has instead. `%` is in no name, so
# different names have different paths.
_ESCAPES = {"<": "%3C", ">": "%3E", "=": "%3D"}
_SIGNS = frozenset({*_ESCAPES, "@"})
# A file system takes 255 bytes; the rest is for endings such as `.parquet.partial`.
_MOST_BYTES = 200
# Windows takes these for devices, whatever follows a dot.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)
# Characters of a name that are shown in a message.
_SHOWN = 60


def check_name(name: str, *, what: str, where: str) -> str:
    """Return a name if it can be one part of a path on every system.

    Args:
        name: the name.
        what: the kind of name, for the message.
        where: the file or folder that has it, for the message.

    Raises:
        DataError: it holds other characters, such as `/`, begins with a dot or a space, ends in
            one, is too long or a device of Windows, or is not in the Unicode form NFC.
    """
    if problem := _problem(name):
        raise DataError(
            f"{where}: {what} {name[:_SHOWN]!r} cannot be a name: it {problem}; expected letters, "
            "digits, '_', '-', '.' and spaces, and '<', '>', '=' or '@', with no dot or space at "
            f"either end and at most {_MOST_BYTES} bytes. Rename it.",
            code="CS-R014",
        )
    return name


def _problem(name: str) -> str:
    """Return what is wrong with a name; empty if nothing is."""
    if not name:
        return "is empty"
    if len(_escaped(name).encode(errors="replace")) > _MOST_BYTES:
        return "is too long"
    if name[0] in ". " or name[-1] in ". ":
        return "begins or ends with a dot or a space"
    if any(not _is_allowed(sign) for sign in name) or unicodedata.category(name[0])[0] == "M":
        return "has other characters"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in the Unicode form NFC"
    if name.split(".")[0].rstrip().casefold() in _DEVICES:
        return "is the name of a device on Windows"
    return ""


def _is_allowed(sign: str) -> bool:
    is_mark = unicodedata.category(sign) in ("Mn", "Mc")
    return sign.isalpha() or sign.isdigit() or is_mark or sign in "_.- " or sign in _SIGNS


def is_name(name: str) -> bool:
    """Return True if `check_name` accepts a name."""
    return not _problem(name)


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


def check_names_differ(names: Iterable[str], *, what: str, where: str) -> None:
    """Refuse names that differ only in capital letters or in their Unicode form.

    Args:
        names: the names.
        what: their kind, in the plural, for the message.
        where: the file or folder that has them, for the message.

    Raises:
        DataError: two names differ only so; some file systems keep one file for both.
    """
    known: dict[str, str] = {}
    for name in dict.fromkeys(names):
        other = known.setdefault(folded_name(name), name)
        if other != name:
            raise DataError(
                f"{where}: the {what} {other[:_SHOWN]!r} and {name[:_SHOWN]!r} differ only in "
                "capital letters or in their Unicode form; some file systems keep one file for "
                "both. Rename one.",
                code="CS-R014",
            )


def folded_name(name: str) -> str:
    """Return a name as file systems compare it that ignore capital letters.

    >>> folded_name("AKI") == folded_name("aki")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", name).casefold())


def path_in(folder: Path, *names: str, before: str = "", suffix: str = "") -> Path:
    """Return the path of a file or folder that is called by names, always below a folder.

    >>> path_in(Path("runs"), "classification/lactate<2", suffix=".parquet").as_posix()
    'runs/classification/lactate%3C2.parquet'

    Args:
        folder: the folder.
        names: one or more names; a name of several parts becomes folders.
        before: what the last part begins with, such as `figure-`.
        suffix: what the last part ends in, such as `.parquet`.

    Raises:
        DataError: a part is no name, see `check_name`.
    """
    parts = [part for name in names for part in name.split("/")]
    *folders, last = [_escaped(check_name(part, what="name", where=str(folder))) for part in parts]
    return folder.joinpath(*folders, f"{before}{last}{suffix}")


def name_of(path: Path, *, suffix: str) -> str:
    """Return the name of which `path_in` made the last part of a path.

    >>> name_of(Path("outcomes/x/lactate%3C2.parquet"), suffix=".parquet")
    'lactate<2'
    """
    name = path.name.removesuffix(suffix)
    for sign, escaped in _ESCAPES.items():
        name = name.replace(escaped, sign)
    return name


def _escaped(name: str) -> str:
    return "".join(_ESCAPES.get(sign, sign) for sign in name)


def file_name(path: str) -> str:
    r"""Return the last part of a path of any system; another text stays as it is.

    >>> file_name("/home/someone/resnet.pt"), file_name(r"C:\weights\resnet.pt"), file_name("l2")
    ('resnet.pt', 'resnet.pt', 'l2')
    """
    return PureWindowsPath(path).name if "/" in path or "\\" in path else path


def is_absolute_path(text: str) -> bool:
    """Return True for an absolute path of any system.

    >>> [is_absolute_path(text) for text in ("/home/x", "D:/x", "pretraining/clip", "and/or")]
    [True, True, False, False]
    """
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def is_path_below(text: str) -> bool:
    """Return True for a relative path without `..`, on every system.

    >>> [is_path_below(text) for text in ("hosp/labs.csv", "../x.csv", "/x.csv", "C:x.csv")]
    [True, False, False, False]
    """
    path, windows = PurePosixPath(text), PureWindowsPath(text)
    return not (".." in path.parts or ".." in windows.parts or path.is_absolute() or windows.anchor)

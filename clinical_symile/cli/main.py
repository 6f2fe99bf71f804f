"""Run the verb of a command, and print what a user can fix as sentences."""

import errno
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clinical_symile.cli.parser import build_parser, parse_arguments, print_problems, verb_function
from clinical_symile.errors import (
    ClinicalSymileError,
    Problem,
    RenamedWordWarning,
    UncheckedFilesWarning,
)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A full disk, one that fails or is gone, a folder without permission, a file where a folder must
# be, a name that is too long for the disk.
FOR_THE_USER = (
    *(*FULL, errno.EIO, errno.ESTALE, errno.ENODEV, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOLCK),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a user's mistake ends it with a sentence and exit status 1."""
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    options = parse_arguments(arguments)
    try:
        with _plain_warnings():
            status = verb_function(options.verb, "run_{}")(options)
        sys.stdout.flush()
    except ClinicalSymileError as error:
        print_problems(error.problems)
        status = 1
    except BrokenPipeError:
        # The reader of our output has stopped; nothing may be flushed into the pipe any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        if error.errno not in FOR_THE_USER:
            raise
        print_problems([Problem(_file_problem(error), "CS-U002")])
        status = 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to continue.", file=sys.stderr)
        status = 130
    sys.exit(status)


def _file_problem(error: OSError) -> str:
    """Return a sentence about a disk or file that cannot be used."""
    if error.errno in FULL:
        return f"{error.filename or 'disk'}: {error.strerror}. Make room and run this again."
    if error.errno not in (errno.EACCES, errno.EPERM) or error.filename is None:
        return f"{error.filename or 'disk'}: {error.strerror}. Fix it and run this again."
    owner = _owner(Path(os.fsdecode(error.filename)))
    return (
        f"{error.filename}: you have no permission{f'; it belongs to {owner}' if owner else ''}. "
        "Nothing is wrong with the files. Ask the owner to share them, as the page Checksums and "
        "permissions says, or choose another path."
    )


def _owner(path: Path) -> str | None:
    """Return the owner of a path, or of the first folder above it that can be looked at."""
    for place in (path, *path.parents):
        try:
            return place.owner()
        except (OSError, KeyError, NotImplementedError):
            continue
    return None


def _complete() -> None:
    """Answer a shell that completes a command, and end the program."""
    import argcomplete

    argcomplete.autocomplete(build_parser(os.environ["COMP_LINE"].split()))


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print our own warnings as one line, without the source line that raised them."""
    usual = warnings.formatwarning

    def plain(message: Any, category: type[Warning], *rest: Any, **more: Any) -> str:
        if issubclass(category, RenamedWordWarning):
            return f"warning: {message}\n"
        if issubclass(category, UncheckedFilesWarning):
            return f"note: {message}\n"
        return usual(message, category, *rest, **more)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual

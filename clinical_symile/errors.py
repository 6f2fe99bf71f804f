"""Exceptions for user-facing errors, grouped by who can fix them.

A message reads `<where>: <what is wrong, with the value>; expected <what>. <What to do.>`. Code
that finds several problems raises them together.
"""

import warnings


class ClinicalSymileError(Exception):
    """An error that a user can fix; the command line prints it without a traceback.

    Args:
        problems: one sentence each; all that were found.
    """

    def __init__(self, *problems: str):
        super().__init__("\n".join(problems))
        self.problems = problems


class DefinitionError(ClinicalSymileError):
    """A wrong definition of a cohort, task or report; its author can fix it."""


class DataError(ClinicalSymileError):
    """Files that are missing, broken or contradictory; the owner of the data can fix them."""


class CannotScore(Exception):  # noqa: N818, a verdict rather than an error
    """Under some pattern there is nothing to score, or no way to; the message says why."""


class RenamedWordWarning(FutureWarning):
    """A definition or a file uses a word that has a new name; the old one is read until 0.3.0."""


def warn_renamed(old: str, new: str, *, where: str) -> None:
    """Warn that a word of an earlier version was read, and name the word that replaces it.

    Args:
        old: the word that was read, with its kind, such as `key 'absent'`.
        new: the word to use instead, in quotes.
        where: the file or folder.
    """
    warnings.warn(
        f"{where}: {old} is called {new} since 0.2.0. The old name is read until 0.3.0. Rename it.",
        RenamedWordWarning,
        stacklevel=3,
    )

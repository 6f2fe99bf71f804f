"""Exceptions for user-facing errors, grouped by who can fix them, and the codes of their kinds.

A message reads `<where>: <what is wrong, with the value>; expected <what>. <What to do.> [<code>]`.
Code that finds several problems raises them together. `registry/error_codes.toml` says
what each code means and what to do.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

RENAMED_WORD = "CS-W001"


class Problem(str):
    """A sentence about one problem that knows the code of its kind.

    Args:
        sentence: where, what is wrong, what was expected, what to do.
        code: such as `CS-D012`; None for a kind that has none, as in a plug-in's own errors.
    """

    code: str | None

    def __new__(cls, sentence: str, code: str | None = None) -> "Problem":  # noqa: D102
        problem = super().__new__(cls, sentence)
        problem.code = code
        return problem

    def at(self, where: str) -> "Problem":
        """Return the same problem with the place before it."""
        return Problem(f"{where}: {self}", self.code)

    def with_code(self) -> str:
        """Return the sentence with its code at the end."""
        return f"{self} [{self.code}]" if self.code else str(self)


def as_problems(sentences: Iterable[str], code: str | None) -> tuple[Problem, ...]:
    """Return sentences as problems; `code` is for those that have none of their own."""
    return tuple(
        each if isinstance(each, Problem) and each.code else Problem(each, code)
        for each in sentences
    )


class ClinicalSymileError(Exception):
    """An error that a user can fix; the command line prints it without a traceback.

    Args:
        problems: one sentence each; all that were found.
        code: the code of their kind, in `error_codes.toml`. A problem of another error keeps its
            own.

    Attributes:
        problems: the sentences, each with its code.
    """

    def __init__(self, *problems: str, code: str | None = None):
        self.problems: tuple[Problem, ...] = as_problems(problems, code)
        super().__init__("\n".join(problem.with_code() for problem in self.problems))


class DefinitionError(ClinicalSymileError):
    """A wrong definition of a cohort, task or report; its author can fix it."""


class DataError(ClinicalSymileError):
    """Files that are missing, broken or contradictory; the owner of the data can fix them."""


class CannotScore(Exception):  # noqa: N818, a verdict rather than an error
    """Under some pattern there is nothing to score, or no way to; the message says why.

    Args:
        reason: one sentence.
        code: the code of its kind, in `error_codes.toml`.

    Attributes:
        reason: the sentence, with its code beside it; as text, the error has the code at the end.
    """

    def __init__(self, reason: str, *, code: str | None = None):
        self.reason: Problem = Problem(reason, code)
        super().__init__(self.reason.with_code())


class RenamedWordWarning(FutureWarning):
    """A definition or a file uses a word that has a new name; the old one is read until 0.3.0."""


class UncheckedFilesWarning(UserWarning):
    """A folder has no checksums, so that nothing tells whether its files were changed."""


def warn_renamed(
    old: str, new: str, *, where: str, since: str = "0.2.0", advice: str = "Rename it."
) -> None:
    """Warn that a word of an earlier version was read, and name the word that replaces it.

    Args:
        old: the word that was read, with its kind, such as `key 'absent'`.
        new: the word to use instead, in quotes.
        where: the file or folder.
        since: the version that has the new word.
        advice: the sentence that says what to do.
    """
    warnings.warn(
        f"{where}: {old} is called {new} since {since}. The old name is read until 0.3.0. "
        f"{advice} [{RENAMED_WORD}]",
        RenamedWordWarning,
        stacklevel=3,
    )


@dataclass(frozen=True)
class ErrorCode:
    """One kind of error.

    Attributes:
        code: such as `CS-D012`. A code is never used again for another kind.
        title: what happened, in a few words.
        meaning: why it happens.
        action: what to do.
    """

    code: str
    title: str
    meaning: str
    action: str


@cache
def error_codes() -> dict[str, ErrorCode]:
    """Return every kind of error by its code, in the order of `error_codes.toml`."""
    import tomllib  # here, so that only looking up a code pays for it
    from importlib.resources import files

    text = (
        files("clinical_symile.registry").joinpath("error_codes.toml").read_text(encoding="utf-8")
    )
    groups = tomllib.loads(text)
    return {
        code: ErrorCode(code, *words) for group in groups.values() for code, words in group.items()
    }

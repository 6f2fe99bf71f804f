"""What goes wrong for a user, by whose it is to mend.

A message reads `<where>: <what is wrong, with the value>; expected <what>. <What to do.>`. Whoever
finds several problems raises them together.
"""


class ClinicalSymileError(Exception):
    """Something a user can mend; the command line prints it without a traceback.

    Args:
        problems: one sentence each; all that were found.
    """

    def __init__(self, *problems: str):
        super().__init__("\n".join(problems))
        self.problems = problems


class DefinitionError(ClinicalSymileError):
    """A cohort, task or report is not written as it must be: for whoever wrote the definition."""


class DataError(ClinicalSymileError):
    """Files are missing, broken or contradict each other: for whoever holds the data."""


class CannotScore(Exception):  # noqa: N818, a verdict rather than an error
    """Under some pattern there is nothing to score, or no way to; the message says why."""

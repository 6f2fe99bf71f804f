"""Define what a checklist is filled from, and the form of an answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from clinical_symile.formatting import join_words
from clinical_symile.reporting.cards.model_facts import Method, find_methods
from clinical_symile.reporting.report_data import ReportData

ANSWERED, PARTLY, AUTHORS = "answered", "partly answered", "for the authors"


@dataclass(frozen=True)
class Answer:
    """The answer of the records to one item.

    Attributes:
        status: `answered`, `partly answered` or `for the authors`.
        text: what the records say; of a partly answered item also what is left to the authors.
        record: where it is recorded.
    """

    status: str
    text: str
    record: str = ""


@dataclass(frozen=True)
class StudyRecords:
    """The records of a benchmark or of one run, as a checklist reads them.

    Attributes:
        data: the records.
        methods: the methods that are neither baselines nor the oracle.
    """

    data: ReportData
    methods: Sequence[Method]

    @classmethod
    def of(cls, data: ReportData) -> "StudyRecords":
        """Return the study of some records."""
        return cls(data, find_methods(data))

    @property
    def cohort(self) -> Mapping[str, Any]:
        """The manifest of the cohort; empty where the store is not there."""
        return self.data.cohort

    @cached_property
    def trained(self) -> list[Method]:
        """The methods whose training is recorded."""
        return [method for method in self.methods if method.definition]

    @cached_property
    def outcomes(self) -> list[str]:
        """The outcomes that tasks predict."""
        found: list[str] = []
        for task in self.data.tasks.values():
            named = task.get("outcome", [])
            found += [named] if isinstance(named, str) else list(named)
        return list(dict.fromkeys(found))

    @cached_property
    def patterns(self) -> list[str]:
        """The missingness patterns of the results."""
        return list(dict.fromkeys(row.missingness for row in self.data.results))

    @cached_property
    def cohorts(self) -> list[str]:
        """The cohorts that were evaluated."""
        return list(dict.fromkeys(row.cohort for row in self.data.results))

    def of_each(self, words: Callable[[Method], str]) -> str:
        """Return the words of every trained method without a full stop; once for those alike."""
        said: dict[str, list[str]] = {}
        for method in self.trained:
            said.setdefault(words(method).rstrip("."), []).append(method.label)
        if len(said) == 1:
            return next(iter(said))
        return "; ".join(f"{join_words(labels)}: {text}" for text, labels in said.items())


AnswerFunction = Callable[[StudyRecords], Answer]


def for_authors(text: str = "") -> Answer:
    """Return that the records do not answer an item; the text says what to state."""
    return Answer(AUTHORS, text)


def partly(text: str, left: str, record: str) -> Answer:
    """Return a partial answer.

    Args:
        text: what the records say.
        left: what the authors must add, beginning with a verb.
        record: where it is recorded.
    """
    return Answer(PARTLY, f"{text} Authors: {left}", record)


def listed(words: Sequence[str]) -> str:
    """Join words; `none` without any."""
    return join_words(list(words)) or "none"

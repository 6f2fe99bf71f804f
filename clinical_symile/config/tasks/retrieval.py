"""`Retrieval`: the fields of a task that finds a sample's measurement among candidates."""

from typing import Literal

from pydantic import model_validator

from clinical_symile.config.tasks._fields import (
    Candidates,
    EvaluationFields,
    Names,
    pattern_problems,
    raise_problems,
)
from clinical_symile.registry.families import RETRIEVAL_METRICS


class Retrieval(EvaluationFields):
    """A task that retrieves a sample's target recording given its other modalities.

    Queries and candidates are samples of `split`. `EvaluationFields` has the other fields.

    Attributes:
        kind: `retrieval`.
        query: the modalities of a query.
        target: the modality to retrieve.
        candidates: number of candidates per query: its own and some drawn from the others' targets;
            `all` for all of them; `published` for the cohort's own lists, unchanged.
        same_subject: True if other samples of the query's subject may be drawn.
    """

    kind: Literal["retrieval"]
    query: Names
    target: str
    candidates: Candidates
    same_subject: bool = False

    @property
    def input_modalities(self) -> tuple[str, ...]:
        """The modalities that a model receives, and that missingness patterns hide."""
        return self.query

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities that the task reads: the query's and the target."""
        return (*self.query, self.target)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes that it asks for: none, since it asks for recordings."""
        return ()

    @model_validator(mode="after")
    def _consistent(self) -> "Retrieval":
        problems = pattern_problems(self.missingness, self.query)
        if self.target in self.query:
            problems.append(f"target '{self.target}' is in the query too. Take it out of one.")
        if self.same_subject and self.candidates == "published":
            problems.append(
                "same_subject is of lists that are drawn; published ones are kept as they are. "
                "Remove it."
            )
        problems += self.metric_problems(RETRIEVAL_METRICS)
        return raise_problems(problems, self)

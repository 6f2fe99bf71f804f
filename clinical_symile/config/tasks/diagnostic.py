"""`DiagnosticTask`: the fields of a task that examines a model by a registered diagnostic."""

from typing import Literal

from pydantic import model_validator

from clinical_symile.config.component import ComponentConfig, argument_problems
from clinical_symile.config.tasks._fields import (
    EvaluationFields,
    Names,
    pattern_problems,
    raise_problems,
)
from clinical_symile.registry.base import literal_of, name_problems, unknown_name_message
from clinical_symile.registry.families import DIAGNOSTICS, PROBES


class DiagnosticTask(EvaluationFields):
    """A task that examines how a model represents or uses its modalities.

    Its measures describe a model. They are not compared between models, and have no margin.
    `EvaluationFields` has the other fields.

    Attributes:
        kind: `diagnostic`.
        diagnostic: name and arguments of the diagnostic; `metrics` are names of its measures.
        inputs: the modalities that are examined.
        outcome: the outcome that answers are judged by; only of a diagnostic that reads one.
        probe: name and arguments of the probe that predicts the outcome; only of a diagnostic that
            reads predictions.
    """

    kind: Literal["diagnostic"]
    diagnostic: ComponentConfig
    inputs: Names
    outcome: str | None = None
    probe: ComponentConfig | None = None

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcome that the task needs, if any."""
        return () if self.outcome is None else (self.outcome,)

    @property
    def input_modalities(self) -> tuple[str, ...]:
        """The modalities that a model receives, and that missingness patterns hide."""
        return self.inputs

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities that the task reads."""
        return self.inputs

    @model_validator(mode="after")
    def _consistent(self) -> "DiagnosticTask":
        problems = pattern_problems(self.missingness, self.inputs)
        problems += argument_problems(self.diagnostic, DIAGNOSTICS, where="diagnostic")
        problems += self._problems_of_the_diagnostic()
        if self.probe is not None:
            problems += argument_problems(self.probe, PROBES, where="probe")
        problems += self.primary_problems()
        if self.margin is not None:
            problems.append("margin is of metrics that models are compared by. Remove it.")
        return raise_problems(problems, self)

    def _problems_of_the_diagnostic(self) -> list[str]:
        """Return a sentence for each metric and each field that does not fit the diagnostic."""
        name = self.diagnostic.name
        if name_problems(name, DIAGNOSTICS):
            return []  # said with the arguments
        known: dict[str, str] = literal_of(name, DIAGNOSTICS, "measures") or {}
        problems = [
            unknown_name_message(metric, known, what="measure", to=name)
            for metric in self.metrics
            if metric not in known
        ]
        needed = literal_of(name, DIAGNOSTICS, "reads") or ()
        for field in ("outcome", "probe"):
            if field in needed and getattr(self, field) is None:
                problems.append(f"has no '{field}'; the diagnostic '{name}' needs it. Add it.")
            if field not in needed and getattr(self, field) is not None:
                problems.append(f"{field} is not read by the diagnostic '{name}'. Remove it.")
        return problems

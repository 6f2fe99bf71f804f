"""`Classification`: the fields of a task that predicts outcomes from embeddings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from clinical_symile.config.component import ComponentConfig, argument_problems
from clinical_symile.config.tasks._fields import (
    EvaluationFields,
    Names,
    Outcomes,
    Seed,
    pattern_problems,
    raise_problems,
)
from clinical_symile.registry.families import CLASSIFICATION_METRICS, PROBES


class Classification(EvaluationFields):
    """A task that predicts one or more binary outcomes from embeddings.

    For each missingness pattern a probe is fitted on `train` samples under the same pattern; its
    hyperparameters are chosen on `tuning` samples. `EvaluationFields` has the other fields.

    Attributes:
        kind: `classification`.
        outcome: the name of an outcome that cohorts define; or several, each predicted separately.
            Metrics are then the mean over them, and each one's own.
        inputs: the modalities whose embeddings are used.
        probe: name and arguments of the probe.
        uncertain: the label of a sample that the cohort calls uncertain: `unknown` leaves the
            sample out, like unknown labels.
        label_share: fraction of the labels of each class in the train and tuning splits that a
            probe may use.
        label_seeds: each draws a label subset once; metrics are the mean over the draws.
    """

    kind: Literal["classification"]
    outcome: Outcomes
    inputs: Names
    probe: ComponentConfig
    uncertain: Literal["unknown", "positive", "negative"] = "unknown"
    label_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    label_seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)

    @property
    def input_modalities(self) -> tuple[str, ...]:
        """The modalities that a model receives, and that missingness patterns hide."""
        return self.inputs

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities that the task reads."""
        return self.inputs

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The names of all outcomes to predict."""
        return (self.outcome,) if isinstance(self.outcome, str) else self.outcome

    @property
    def questions(self) -> dict[str, "Classification"]:
        """The task for one outcome and one label draw at a time, by a name for each."""
        draws = [f"/{seed}" for seed in self.label_seeds] if len(self.label_seeds) > 1 else [""]
        return {
            outcome + draw: self.model_copy(update={"outcome": outcome, "label_seeds": (seed,)})
            for outcome in self.outcomes
            for draw, seed in zip(draws, self.label_seeds, strict=True)
        }

    @model_validator(mode="after")
    def _consistent(self) -> "Classification":
        problems = pattern_problems(self.missingness, self.inputs)
        problems += argument_problems(self.probe, PROBES, where="probe")
        problems += [
            f"{field} names '{value}' twice; expected different ones. Remove one."
            for field, values in (("outcome", self.outcomes), ("label_seeds", self.label_seeds))
            for value in dict.fromkeys(values)
            if values.count(value) > 1
        ]
        if self.label_share == 1 and len(self.label_seeds) > 1:
            problems.append(
                "label_seeds draw nothing where label_share is 1. Give one, or a share below 1."
            )
        problems += self.metric_problems(CLASSIFICATION_METRICS)
        return raise_problems(problems, self)

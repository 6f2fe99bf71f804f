"""`Pretraining`, `Retrieval` and `Classification`, read from `tasks/`.

The fields below are the documentation of a task's file.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clinical_symile.config._validators import accept_only, is_text
from clinical_symile.config.catalog import Catalog, digest_of, read_definition, read_toml
from clinical_symile.config.component import ComponentConfig, unknown_names, wrong_arguments
from clinical_symile.config.overrides import apply_override
from clinical_symile.errors import DefinitionError
from clinical_symile.missingness.patterns import expand, parse_pattern
from clinical_symile.registry import (
    AUGMENTATIONS,
    CLASSIFICATION_METRICS,
    ENCODERS,
    MISSING_MODALITY_HANDLERS,
    OBJECTIVES,
    PROBES,
    RETRIEVAL_METRICS,
    SELECTION_METRICS,
    unknown_name_message,
)

Split = Literal["train", "tuning", "held_out"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Candidates = Annotated[
    int | Literal["all", "published"],
    accept_only(
        lambda value: (
            value in ("all", "published")
            or (isinstance(value, int) and not isinstance(value, bool) and value >= 2)
        ),
        expected="a whole number from 2, 'all' or 'published'",
    ),
]
Outcomes = Annotated[
    str | tuple[str, ...],
    accept_only(
        lambda value: (
            is_text(value)
            or (isinstance(value, list | tuple) and len(value) > 0 and all(map(is_text, value)))
        ),
        expected="the name of an outcome, or a list of names",
    ),
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimiser(_Table):
    """AdamW with warm-up and cosine decay.

    Attributes:
        learning_rate: its peak.
        weight_decay: of matrices; gains, biases, the logit scale and learned absent embeddings are
            never decayed.
        warmup_fraction: share of all steps over which the learning rate rises from zero.
        gradient_clip: largest norm of the gradient.
    """

    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    gradient_clip: Positive


class Selection(_Table):
    """Which epoch's weights are kept: the one whose retrieval is best on the tuning split.

    Attributes:
        metric: mean_reciprocal_rank or a recall, averaged over `targets`; each is retrieved from
            all other modalities among all complete tuning samples.
        targets: the modalities to retrieve.
    """

    metric: str
    targets: tuple[str, ...]


class Pretraining(_Table):
    """How embeddings are learned.

    Attributes:
        name: the task's name.
        kind: `pretraining`.
        description: one sentence.
        modalities: what is learned from, in this order.
        missingness: the pattern that the learner sees; what is random is drawn once, from the
            seed of the run.
        pairs: `matched`, or `shuffled`: each modality's samples are permuted, a control that can
            learn nothing about which belong together.
        objective: name and arguments.
        encoders: name and arguments, for each modality.
        augment: name and arguments of what is done to a modality's inputs in training; it is drawn
            from the run's seed, anew for each batch.
        dim: width of the embeddings.
        norm: `l2` gives vectors of length 1, `layer_norm` of length sqrt(dim).
        absent: how to learn from samples that lack a modality, a name of `list absences`.
        batch_size: samples in a step: what the loss sees at once.
        encode_at_a_time: of how many samples the encoders hold the activations, so that a batch may
            be larger than memory; gradients are those of the whole batch. Left out: all.
        batch_statistics: what batch normalisation takes its mean and variance over: the `batch`, or
            each of the `parts` that `encode_at_a_time` makes of it, an approximation.
        epochs: passes over the train split.
        precision: as Lightning Fabric names it.
        compile: whether `torch.compile` makes the encoders, which takes a minute or two and may pay
            on a GPU.
        optimiser: see there.
        selection: see there.
    """

    name: str
    kind: Literal["pretraining"]
    description: str
    modalities: Annotated[tuple[str, ...], Field(min_length=2)]
    missingness: str
    pairs: Literal["matched", "shuffled"] = "matched"
    objective: ComponentConfig
    encoders: dict[str, ComponentConfig]
    augment: dict[str, ComponentConfig] = {}
    dim: Count
    norm: Literal["l2", "layer_norm"]
    absent: str
    batch_size: Annotated[int, Field(ge=2)]
    encode_at_a_time: Annotated[int, Field(ge=2)] | None = None
    batch_statistics: Literal["batch", "parts"] = "batch"
    epochs: Count
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    compile: bool = False
    optimiser: Optimiser
    selection: Selection

    @model_validator(mode="after")
    def _consistent(self) -> "Pretraining":
        known = dict.fromkeys(self.modalities)
        problems = [
            f"encoders and modalities differ by '{name}'; expected one encoder for each "
            "modality. Add or remove it."
            for name in sorted(self.encoders.keys() ^ known.keys())
        ]
        for name, encoder in self.encoders.items():
            problems += wrong_arguments(encoder, ENCODERS, what="encoder", where=f"encoders.{name}")
        problems += unknown_names(
            [self.absent], MISSING_MODALITY_HANDLERS, what="way with absent modalities"
        )
        problems += unknown_names(self.augment, known, what="modality")
        for name, change in self.augment.items():
            problems += wrong_arguments(
                change, AUGMENTATIONS, what="augmentation", where=f"augment.{name}"
            )
        problems += wrong_arguments(self.objective, OBJECTIVES, what="objective", where="objective")
        problems += _of_pattern(self.missingness, self.modalities)
        problems += unknown_names(
            [self.selection.metric], SELECTION_METRICS, what="selection metric"
        )
        problems += unknown_names(self.selection.targets, known, what="modality")
        return _without(problems, self)


class Retrieval(_Table):
    """Finding the sample's own measurement among candidates.

    Attributes:
        name: the task's name.
        kind: `retrieval`.
        description: one sentence.
        query: what a query may hold.
        target: the modality that is looked for.
        split: whose samples are queries and candidates.
        candidates: how many a query chooses among, its own and some drawn from the others' targets;
            `all` for all of them; `published` for the cohort's own lists, as they are.
        same_subject: whether other samples of the query's subject may be drawn.
        seed: draws the candidates and what goes missing.
        missingness: patterns; each is scored.
        metrics: names of retrieval metrics.
        primary: the one to look at first.
        interval: how intervals are made of what resamples of people give: `bca` corrects for bias
            and skewness, `percentile` does not; without it, as each metric says.
        margin: how much of it may be lost without harm, for claims that nothing is lost; none
            without it.
    """

    name: str
    kind: Literal["retrieval"]
    description: str
    query: Annotated[tuple[str, ...], Field(min_length=1)]
    target: str
    split: Split
    candidates: Candidates
    same_subject: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    missingness: Annotated[tuple[str, ...], Field(min_length=1)]
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    primary: str
    interval: Literal["bca", "percentile"] | None = None
    margin: Positive | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """All that the task reads."""
        return (*self.query, self.target)

    @model_validator(mode="after")
    def _written_out(self) -> "Retrieval":
        patterns = expand(self.missingness, self.query)
        object.__setattr__(self, "missingness", patterns)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "Retrieval":
        problems = [p for name in self.missingness for p in _of_pattern(name, self.query)]
        if self.target in self.query:
            problems.append(f"target '{self.target}' is in the query too. Take it out of one.")
        if self.same_subject and self.candidates == "published":
            problems.append(
                "same_subject is of lists that are drawn; published ones are kept as they are. "
                "Remove it."
            )
        problems += _of_metrics(self, RETRIEVAL_METRICS, what="retrieval metric")
        return _without(problems, self)


class Classification(_Table):
    """Predicting one outcome, or each of several, from embeddings.

    For each pattern a probe learns from `train` samples under the same pattern, and chooses by
    `tuning` samples.

    Attributes:
        name: the task's name.
        kind: `classification`.
        description: one sentence.
        outcome: a name that cohorts give a column for; or several, each predicted for itself.
            Metrics are then the mean over them, and each one's own.
        inputs: the modalities whose embeddings are used.
        split: whose samples are scored.
        probe: name and arguments of the way of predicting.
        uncertain: what a label counts as that the cohort says is uncertain: `unknown` leaves the
            sample out, as is done with unknown labels.
        label_share: of the labels of each class of the train and tuning splits, how many may be
            learned from.
        label_seeds: each draws these labels once; metrics are the mean over the draws.
        seed: draws what goes missing, and all else that is drawn.
        missingness: patterns; each is scored.
        metrics: names of classification metrics.
        primary: the one to look at first.
        interval: how intervals are made of what resamples of people give: `bca` corrects for bias
            and skewness, `percentile` does not; without it, as each metric says.
        margin: how much of it may be lost without harm, for claims that nothing is lost; none
            without it.
    """

    name: str
    kind: Literal["classification"]
    description: str
    outcome: Outcomes
    inputs: Annotated[tuple[str, ...], Field(min_length=1)]
    split: Split
    probe: ComponentConfig
    uncertain: Literal["unknown", "positive", "negative"] = "unknown"
    label_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    label_seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    seed: Annotated[int, Field(ge=0)] = 0
    missingness: Annotated[tuple[str, ...], Field(min_length=1)]
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    primary: str
    interval: Literal["bca", "percentile"] | None = None
    margin: Positive | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """All that the task reads."""
        return self.inputs

    @property
    def outcomes(self) -> tuple[str, ...]:
        """All that is predicted."""
        return (self.outcome,) if isinstance(self.outcome, str) else self.outcome

    @property
    def questions(self) -> dict[str, "Classification"]:
        """The task for one outcome and one draw of labels at a time, each by a name of its own."""
        draws = [f"/{seed}" for seed in self.label_seeds] if len(self.label_seeds) > 1 else [""]
        return {
            outcome + draw: self.model_copy(update={"outcome": outcome, "label_seeds": (seed,)})
            for outcome in self.outcomes
            for draw, seed in zip(draws, self.label_seeds, strict=True)
        }

    @model_validator(mode="after")
    def _written_out(self) -> "Classification":
        patterns = expand(self.missingness, self.inputs)
        object.__setattr__(self, "missingness", patterns)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "Classification":
        problems = [p for name in self.missingness for p in _of_pattern(name, self.inputs)]
        problems += wrong_arguments(self.probe, PROBES, what="probe", where="probe")
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
        problems += _of_metrics(self, CLASSIFICATION_METRICS, what="classification metric")
        return _without(problems, self)


Task = Pretraining | Retrieval | Classification
KINDS: dict[str, type[Task]] = {
    "pretraining": Pretraining,
    "retrieval": Retrieval,
    "classification": Classification,
}


def read_task(path: Path, *, name: str, overrides: Sequence[str] = ()) -> Task:
    """Read a task's file.

    Args:
        path: the TOML file.
        name: the task's name in the catalog.
        overrides: `field=value` as after `--set`, with dots into tables; the value is TOML, or a
            string if it is not. Only fields that exist can be set.

    Raises:
        DefinitionError: with every problem of the file and the overrides.
    """
    return parse_task(read_toml(path), name=name, overrides=overrides, where=str(path))


def pretraining_task(catalog: Catalog, name: str, overrides: Sequence[str]) -> Pretraining:
    """A pretraining task of the catalog with some fields set.

    Raises:
        DefinitionError: no such task, or of another kind, or with problems.
    """
    task = read_task(catalog.path("tasks", name), name=name, overrides=overrides)
    if not isinstance(task, Pretraining):
        raise DefinitionError(
            f"task '{name}' is of kind {task.kind}; expected pretraining. "
            "`clinical-symile list tasks` shows all."
        )
    return task


def parse_task(
    table: Mapping[str, Any], *, name: str, where: str, overrides: Sequence[str] = ()
) -> Task:
    """A task from what its file says, as `read_task`."""
    if "name" in table:
        raise DefinitionError(f"{where}: has a key 'name'; the path is the name. Remove it.")
    for override in overrides:
        table = apply_override(table, override)
    kind = table.get("kind")
    if kind not in KINDS:
        raise DefinitionError(f"{where}: {unknown_name_message(str(kind), KINDS, what='kind')}")
    return read_definition(KINDS[kind], {**table, "name": name}, where=where)


def task_digest(task: Task) -> str:
    """A digest of all that a task says but its description, its place and its margin."""
    content = task.model_dump(mode="json", exclude={"name", "description", "margin"})
    return digest_of(json.dumps(content, sort_keys=True))


def applicability_problems(
    task: Retrieval | Classification, modalities: Sequence[str], outcomes: Sequence[str]
) -> list[str]:
    """Why a task cannot be asked of a cohort that has these; empty if it can."""
    wanted = task.outcomes if isinstance(task, Classification) else ()
    problems = []
    if absent := [f"'{name}'" for name in task.modalities if name not in modalities]:
        problems.append(f"it has no modality {', '.join(absent)}, only {', '.join(modalities)}.")
    if uncoded := [f"'{name}'" for name in wanted if name not in outcomes]:
        has = ", ".join(outcomes) or "none"
        problems.append(f"it codes no outcome {', '.join(uncoded)}; it has {has}.")
    return problems


Checked = TypeVar("Checked", bound=BaseModel)


def _without(problems: Sequence[str], checked: Checked) -> Checked:
    if problems:
        raise ValueError("\n".join(problems))
    return checked


def _of_pattern(pattern: str, modalities: Sequence[str]) -> list[str]:
    try:
        parse_pattern(pattern).check(tuple(modalities))
    except DefinitionError as error:
        return list(error.problems)
    return []


def _of_metrics(
    task: Retrieval | Classification, known: Mapping[str, Any], *, what: str
) -> list[str]:
    problems = unknown_names(task.metrics, known, what=what)
    if task.primary not in task.metrics:
        problems.append(
            f"primary '{task.primary}' is not one of the metrics: {', '.join(task.metrics)}. "
            "Add it there, or choose one of them."
        )
    return problems

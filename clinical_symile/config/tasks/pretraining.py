"""`Pretraining`: the fields of a task that trains an encoder for each modality."""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_serializer, model_validator

from clinical_symile.config._validators import accept_only
from clinical_symile.config.component import (
    ComponentConfig,
    argument_problems,
    unknown_names,
    unknown_objects,
)
from clinical_symile.config.tasks._fields import (
    Count,
    Positive,
    TaskTable,
    pattern_problems,
    raise_problems,
)
from clinical_symile.config.tasks.encoders import EncoderConfig, encoder_problems
from clinical_symile.config.tasks.pairs import EXPECTED, PATTERN, is_pairs
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.registry.families import (
    AUGMENTATIONS,
    BALANCES,
    CLASSIFICATION_METRICS,
    FUSIONS,
    MISSING_MODALITY_METHODS,
    OBJECTIVES,
    SELECTION_METRICS,
)

Pairs = Annotated[str, accept_only(is_pairs, expected=EXPECTED), Field(pattern=PATTERN)]


class Optimiser(TaskTable):
    """AdamW with warm-up and cosine decay.

    Attributes:
        learning_rate: its peak.
        weight_decay: of weight matrices; gains, biases, the logit scale and learned embeddings of
            missing modalities are never decayed.
        warmup_fraction: fraction of all steps over which the learning rate rises from zero.
        gradient_clip: largest norm of the gradient.
    """

    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    gradient_clip: Positive


class TemperatureSchedule(TaskTable):
    """A temperature that follows the training's progress instead of being learned.

    Attributes:
        shape: `linear` goes from `first` to `last`; `cosine` goes there and back in each period.
        first: the temperature of the first step.
        last: the temperature of the last step, or of the middle of a period.
        periods: the number of periods of `cosine`.
    """

    shape: Literal["linear", "cosine"]
    first: Positive
    last: Positive
    periods: Count = 1


class ModalityDropout(TaskTable):
    """Hide some of the available modalities anew in each epoch; every sample keeps at least one.

    Attributes:
        rate: the share of available modalities that an epoch hides.
        rates: other rates of some modalities.
        rising: the share of the epochs over which the rates rise from 0; 0 for none.
    """

    rate: Annotated[float, Field(ge=0, lt=1)] = 0.3
    rates: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(default_factory=dict)
    rising: Annotated[float, Field(ge=0, le=1)] = 0.0

    def at(self, epoch: int, epochs: int, modalities: Sequence[str]) -> list[float]:
        """Return the rate of each modality in an epoch.

        Args:
            epoch: counted from 1.
            epochs: all epochs of the training.
            modalities: the modalities of the task, in order.
        """
        risen = self.rising * epochs
        share = 1.0 if risen == 0 else min(1.0, (epoch - 1) / risen)
        return [share * self.rates.get(name, self.rate) for name in modalities]


class Undersample(TaskTable):
    """Leave most train subjects of one group out, to study what that does to them.

    Attributes:
        group: a subgroup of the cohort, such as `sex`.
        value: the group's level whose subjects are left out.
        keep: the share of these subjects that stays in the train split.
    """

    group: str
    value: str
    keep: Annotated[float, Field(ge=0, le=1)]


class Selection(TaskTable):
    """Model selection: the epoch that is best on the tuning split is kept.

    Attributes:
        metric: mean_reciprocal_rank or a recall, averaged over `targets`; each is retrieved from
            all other modalities among all complete tuning samples. A supervised objective has auroc
            or auprc of its predictions for the complete tuning samples whose label is known.
        targets: the modalities to retrieve, or the labels to predict.
    """

    metric: str
    targets: tuple[str, ...]


class Side(TaskTable):
    """Side information that the objective may read, of train samples only.

    A run that reads labels has seen them: its results are marked wherever they are judged by one.

    Attributes:
        labels: outcomes of the cohort.
        values: a modality of single values, such as labs; it may be one that the task does not
            train on.
        number: a kept column of the cohort with numbers, such as `age`.
    """

    labels: tuple[str, ...] = ()
    values: str | None = None
    number: str | None = None

    @model_serializer(mode="wrap")
    def _without_number(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Leave out a number that is not named, so that digests of other tasks stay as they are."""
        return {key: value for key, value in handler(self).items() if key != "number" or value}


class Pretraining(TaskTable):
    """A task that trains embeddings of several modalities with a contrastive objective.

    Attributes:
        name: the task's name, from its path.
        kind: `pretraining`.
        description: one sentence.
        modalities: the modalities to train on, in this order.
        missingness: missingness pattern of the train split; what is random is drawn once, from the
            seed of the run.
        pairs: `matched`; `shuffled`: each modality's samples are permuted, a control that cannot
            learn which recordings belong together; `paired-25`: 25 % of the samples keep their
            recordings together, and the others are taken apart; `mismatched-20`: in 20 % one
            recording is that of another sample. Any whole percentage may be given.
        batches: `shuffled`; `one-site`: each batch is of one site, the cohort's subgroup `site`;
            `one-per-subject`: no batch has two samples of a subject.
        objective: name and arguments.
        encoders: name and arguments, for each modality.
        augment: name and arguments of the augmentation of a modality's inputs; it is drawn
            from the run's seed, anew for each batch.
        dim: width of the embeddings.
        norm: `l2` gives vectors of length 1, `layer_norm` of length sqrt(dim).
        missing_modality: how to train on samples with a missing modality, a name of
            `list missing_modality`.
        modality_dropout: hides modalities at random in training, with any method; by default
            30 % with the method `dropout`, and none with the others.
        batch_size: samples in a step: the negatives of the loss come from these.
        encode_at_a_time: number of samples whose activations the encoders hold, so that a batch may
            be larger than memory; gradients are those of the whole batch. By default all.
        batch_statistics: batch normalisation takes its mean and variance over the `batch`, or
            over each of the `parts` that `encode_at_a_time` makes of it, an approximation.
        epochs: passes over the train split.
        precision: as Lightning Fabric names it; or `auto`, the fastest that the device has
            instructions for, which the run's record names and a resumed training keeps.
        compile: True compiles the encoders with `torch.compile`, which takes a minute or two and
            may pay on a GPU.
        optimiser: settings of AdamW and its schedule.
        balance: name and arguments of a rule that combines the gradients of the loss's terms, or
            scales those of encoders; by default none.
        temperature_schedule: a schedule of the temperature; by default it is learned.
        selection: how the best epoch is selected.
        recipe: `basic`, or `strong`: its fields replace those of the task, as `show task` prints
            them; the guide to training lists them.
        start: folder of a finished run whose weights the training starts from; its modalities,
            widths and encoders must be the same. By default weights are new.
        undersample: leaves train subjects of one group out; by default none.
        side: side information that the objective reads; none if it reads embeddings alone.
        settings: up to three other settings to try, each with the fields that it changes, such as
            `{ "objective.temperature" = 0.1 }`. `benchmark --tune` trains the task and each of
            these, and keeps the best on the tuning split. They are not inherited.
    """

    name: str
    kind: Literal["pretraining"]
    description: str
    modalities: Annotated[tuple[str, ...], Field(min_length=2)]
    missingness: str
    pairs: Pairs = "matched"
    batches: Literal["shuffled", "one-site", "one-per-subject"] = "shuffled"
    objective: ComponentConfig
    encoders: dict[str, EncoderConfig]
    augment: dict[str, ComponentConfig] = Field(default_factory=dict)
    dim: Count
    norm: Literal["l2", "layer_norm"]
    missing_modality: str
    modality_dropout: ModalityDropout | None = None
    batch_size: Annotated[int, Field(ge=2)]
    encode_at_a_time: Annotated[int, Field(ge=2)] | None = None
    batch_statistics: Literal["batch", "parts"] = "batch"
    epochs: Count
    precision: Literal["32-true", "bf16-mixed", "64-true", "auto"] = "32-true"
    compile: bool = False
    optimiser: Optimiser
    balance: ComponentConfig | None = None
    temperature_schedule: TemperatureSchedule | None = None
    selection: Selection
    recipe: Literal["basic", "strong"] = "basic"
    start: Annotated[str, Field(min_length=1)] | None = None
    undersample: Undersample | None = None
    side: Side | None = None
    settings: Annotated[tuple[dict[str, Any], ...], Field(max_length=3)] = ()

    @property
    def trained_modalities(self) -> tuple[str, ...]:
        """The modalities that the missingness pattern does not hide in every train sample."""
        return tuple(parse_pattern(self.missingness).visible_modalities(self.modalities))

    def labels_read(self, outcomes: Collection[str]) -> list[str]:
        """Return the outcomes whose labels training reads.

        These are the labels that the objective reads, and the outcome that the missingness pattern
        of the train split depends on: a marker or a mask tells it to the encoders.

        Args:
            outcomes: those of the cohort.
        """
        pattern = parse_pattern(self.missingness)
        hidden_by = pattern.mechanism == "mnar" and pattern.given in outcomes
        own = self.side.labels if self.side is not None else ()
        return list(dict.fromkeys([*own, *[pattern.given] * hidden_by]))

    @model_validator(mode="after")
    def _consistent(self) -> "Pretraining":
        known = dict.fromkeys(self.modalities)
        problems = [
            f"encoders and modalities differ by '{name}'; expected one encoder for each "
            "modality. Add or remove it."
            for name in sorted(self.encoders.keys() ^ known.keys())
        ]
        for name, encoder in self.encoders.items():
            problems += encoder_problems(encoder, where=f"encoders.{name}")
        problems += unknown_objects([self.missing_modality], MISSING_MODALITY_METHODS)
        problems += unknown_names(self.augment, known, what="modality")
        if self.modality_dropout is not None:
            problems += unknown_names(self.modality_dropout.rates, known, what="modality")
        for name, change in self.augment.items():
            problems += argument_problems(change, AUGMENTATIONS, where=f"augment.{name}")
        problems += argument_problems(self.objective, OBJECTIVES, where="objective")
        problems += self._fusion_problems()
        if self.balance is not None:
            problems += argument_problems(self.balance, BALANCES, where="balance")
        problems += pattern_problems([self.missingness], self.modalities)
        problems += unknown_objects([self.selection.metric], SELECTION_METRICS)
        labels = self.side.labels if self.side is not None else ()
        if self.selection.metric in CLASSIFICATION_METRICS:
            problems += unknown_names(
                self.selection.targets, dict.fromkeys(labels), what="label of side.labels"
            )
        else:
            problems += unknown_names(self.selection.targets, known, what="modality")
        problems += [
            f"side.labels names '{name}' more than once; expected each label once. Remove it."
            for name in dict.fromkeys(labels)
            if labels.count(name) > 1
        ]
        return raise_problems(problems, self)

    def _fusion_problems(self) -> list[str]:
        """Return what is wrong with a fusion that the objective's table names, a sentence each."""
        found, where = self.objective.arguments.get("fusion"), "objective.fusion"
        if not isinstance(found, dict):
            return []
        fusion = cast(dict[str, Any], found)
        if not isinstance(fusion.get("name"), str):
            return [f"{where} has no 'name'; expected one of `list fusion`. Add it."]
        return argument_problems(ComponentConfig(**fusion), FUSIONS, where=where)

"""Measure what is lost from one group of samples to another, such as sites or periods of time.

The groups are those of a subgroup of the cohort: a column such as the site or the year, with bands
if it is a number. What a probe learned from one group is asked of the held-out samples of another.
All probes learn from as many samples, so that a large group is not taken for an easy one.
"""

from collections.abc import Hashable, Mapping
from typing import ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import (
    DiagnosticInputs,
    DiagnosticMeasure,
    unit_vectors,
)
from clinical_symile.evaluation.diagnostics.measures import (
    ByWeights,
    auroc_by_weights,
    auroc_measure,
    average,
    joint_measure,
)
from clinical_symile.evaluation.labels import training_samples
from clinical_symile.evaluation.probes.base import LabelledSamples, ProbeInputs
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import PROBES


class GroupShift:
    """Probes of one group, asked of the held-out samples of every other group.

    The loss is the AUROC of the probe of the group itself, minus that of the other group's probe,
    of the same held-out samples. It is about 0 where the groups do not differ. The encoders are
    those of the run: train it on one group alone, with `undersample` and `keep = 0`, to ask of
    encoders and probe together.

    Intervals are over examined subjects. They do not say what other train samples would change, and
    are too narrow where groups have few train subjects. The control does: the train and the tuning
    subjects of a group are split into halves at random, several times, and a probe learns from each
    half. A loss above the control is more than such probes of the same group differ by in 95 % of
    the splits. Halves have fewer samples than whole groups, so that their probes differ by more.

    Args:
        group: the subgroup of the cohort: the site, the period, or any other.
        least_subjects: the fewest subjects of a group, among train samples and among examined ones,
            with a known outcome and something available. Smaller groups are left out. So are groups
            without two train subjects and a tuning subject of each class.
        splits: how often a group is split into halves.
    """

    display_name = "shift between groups"
    description = "What a probe of one site, period or other group loses in another one."
    reads = ("outcome", "probe")
    measures: ClassVar[dict[str, str]] = {
        "auroc_lost": "AUROC of a group's own probe minus that of another group's, of the same "
        "held-out samples; 0 where nothing is lost.",
        "auroc_between_halves": "By how much AUROC differs between probes of two random halves of "
        "a group's train subjects: not by more in 95 % of the splits. A loss below it may be "
        "chance.",
        "auroc_across": "AUROC in a group of the probe of another group.",
        "auroc_within": "AUROC in a group of its own probe, from as many train samples.",
    }

    def __init__(self, *, group: str, least_subjects: int = 50, splits: int = 20):
        if least_subjects < 2:
            raise ValueError(f"least_subjects is {least_subjects}; expected 2 or more.")
        if splits < 1:
            raise ValueError(f"splits is {splits}; expected 1 or more.")
        self._group, self._least, self._splits = group, least_subjects, splits

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure every ordered pair of groups; see `Diagnostic`."""
        for store in (inputs.store, inputs.train_store):
            if self._group not in store.subgroups:
                raise CannotScore(
                    f"the cohort '{store.cohort}' has no subgroup '{self._group}'; it has "
                    f"{', '.join(store.subgroups) or 'none'}.",
                    code="CS-S009",
                )
        examined = inputs.store.group(self._group)[inputs.request.rows]
        used = ~np.isnan(inputs.label) & inputs.samples.available.any(axis=1)
        known = _labelled(inputs)
        learned = inputs.train_store.group(self._group)
        subjects = inputs.train_store.samples["subject"].to_numpy()
        of_subjects = [
            {
                level: _subjects_by_class(samples, learned == level, subjects)
                for level in {*examined}
                if level is not None
            }
            for samples in known
        ]
        levels = [
            level
            for level in sorted(of_subjects[0])
            if len(np.unique(inputs.subjects[used & (examined == level)])) >= self._least
            and sum(map(len, of_subjects[0][level])) >= self._least
            and all(len(of_class) >= 2 for of_class in of_subjects[0][level])
            and all(len(of_class) >= 1 for of_class in of_subjects[1][level])
        ]
        if len(levels) < 2:
            raise CannotScore(
                f"fewer than two groups of '{self._group}' have {self._least} subjects with a "
                "known outcome, among the train samples and among the examined ones, and subjects "
                "with the outcome and without it: two of each in the train split, one in the "
                "tuning split. Split the cohort by subject, or take wider groups.",
                code="CS-S007",
            )
        own = _risks(inputs, known, {one: learned == one for one in levels})
        halves = []
        for split in range(self._splits):
            rng = np.random.default_rng([inputs.request.task.seed, split])
            drawn = {
                (one, half): np.isin(subjects, of_half) & (learned == one)
                for one in levels
                for half, of_half in enumerate(_halves([of[one] for of in of_subjects], rng))
            }
            halves.append(_risks(inputs, known, drawn))
        at = {one: used & (examined == one) for one in levels}
        return _measures(inputs, at, own, halves)


_Key = TypeVar("_Key", bound=Hashable)


def _labelled(inputs: DiagnosticInputs) -> tuple[LabelledSamples, LabelledSamples]:
    """Return the train and the tuning samples with a known outcome, embedded."""
    model = inputs.model if inputs.model.source is None else inputs.model.source()
    train, tuning = (
        LabelledSamples(
            **vars(unit_vectors(model, one.rows, one.available, inputs.modalities)), label=one.label
        )
        for one in training_samples(inputs.question, inputs.train_store, inputs.request.pattern)
    )
    return train, tuning


def _subjects_by_class(
    samples: LabelledSamples,
    of_level: Bool[np.ndarray, " row"],
    subjects: Shaped[np.ndarray, " row"],
) -> tuple[Shaped[np.ndarray, " negative"], Shaped[np.ndarray, " positive"]]:
    """Return the subjects of a group without the outcome, and those who have it in some sample.

    Args:
        samples: those with a known outcome.
        of_level: True for the rows of the cohort that are of the group.
        subjects: the subject of each row of the cohort.
    """
    at = of_level[samples.rows]
    positive = np.unique(subjects[samples.rows[at & (samples.label == 1)]])
    return np.setdiff1d(subjects[samples.rows[at]], positive), positive


def _halves(
    of_subjects: list[tuple[Shaped[np.ndarray, " negative"], Shaped[np.ndarray, " positive"]]],
    rng: np.random.Generator,
) -> tuple[Shaped[np.ndarray, " one"], Shaped[np.ndarray, " other"]]:
    """Split subjects into two halves, each with a half of each class.

    Args:
        of_subjects: by split of the cohort, the subjects of a group without the outcome and with.
        rng: draws the halves.
    """
    # Every second one of both classes in a row: a class of two or more has one in each half.
    orders = [np.concatenate([rng.permutation(of) for of in one]) for one in of_subjects]
    return np.concatenate([one[::2] for one in orders]), np.concatenate([o[1::2] for o in orders])


def _risks(
    inputs: DiagnosticInputs,
    known: tuple[LabelledSamples, LabelledSamples],
    groups: Mapping[_Key, Bool[np.ndarray, " row"]],
) -> dict[_Key, Float[np.ndarray, " sample"]]:
    """Return the risk of each examined sample by the probe of each group.

    All probes learn from as many train samples, drawn by class, so that none is left without one.
    Tuning samples only choose among fits, so that all of a group are used.

    Args:
        inputs: the task, the model and the examined samples.
        known: the train and the tuning samples with a known outcome.
        groups: True for the rows of the cohort that a group's probe learns from.
    """
    seed, about = inputs.request.task.seed, inputs.question.probe
    train, tuning = known
    places = {one: np.flatnonzero(rows[train.rows]) for one, rows in groups.items()}
    count = min(map(len, places.values()))
    learned = {
        one: train.take(_some(at, count, train.label, seed=seed)) for one, at in places.items()
    }
    return {
        one: resolve(about.name, PROBES)(**about.arguments).predict(
            ProbeInputs(
                learned[one],
                tuning.take(np.flatnonzero(rows[tuning.rows])),
                inputs.samples,
                None,
                seed=seed,
            )
        )
        for one, rows in groups.items()
    }


def _some(
    places: Int[np.ndarray, " sample"],
    count: int,
    label: Int[np.ndarray, " train"],
    *,
    seed: int,
) -> Int[np.ndarray, " taken"]:
    """Draw some of the places with the share of each class that all have; at least one of each.

    Args:
        places: of the samples of a group with a known outcome, of both classes.
        count: how many to draw, no more than there are.
        label: the outcome of each train sample.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    classes = [places[label[places] == value] for value in (0, 1)]
    positive = min(max(round(count * len(classes[1]) / len(places)), 1), count - 1)
    numbers = count - positive, positive
    drawn = [rng.choice(of, size=n, replace=False) for of, n in zip(classes, numbers, strict=True)]
    return np.sort(np.concatenate(drawn))


def _measures(
    inputs: DiagnosticInputs,
    used: dict[str, Bool[np.ndarray, " sample"]],
    risks: dict[str, Float[np.ndarray, " sample"]],
    halves: list[dict[tuple[str, int], Float[np.ndarray, " sample"]]],
) -> list[DiagnosticMeasure]:
    """Return the measures of each ordered pair of groups, after their means.

    Args:
        inputs: the task and the examined samples.
        used: by group, the samples that are asked of.
        risks: by group, the risk of each sample by the group's probe.
        halves: for each split, by group and half, the risks by the probe of the half.
    """
    label = np.nan_to_num(inputs.label).astype(np.int64)
    parts: dict[str, list[DiagnosticMeasure]] = {name: [] for name in GroupShift.measures}
    for asked, at in used.items():
        parts["auroc_within"].append(
            auroc_measure(f"auroc_within/{asked}", at, label, risks[asked])
        )
        two_halves = [(one[asked, 0], one[asked, 1]) for one in halves]
        parts["auroc_between_halves"].append(
            _between_halves(f"auroc_between_halves/{asked}", at, label, two_halves)
        )
        for source in used:
            if source == asked:
                continue
            pair, two = f"{asked}_from_{source}", (risks[asked], risks[source])
            parts["auroc_across"].append(auroc_measure(f"auroc_across/{pair}", at, label, two[1]))
            parts["auroc_lost"].append(_lost(f"auroc_lost/{pair}", at, label, two))
    return [one for name, several in parts.items() for one in average(name, several)]


def _lost(
    name: str,
    used: Bool[np.ndarray, " sample"],
    label: Int[np.ndarray, " sample"],
    risks: tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]],
) -> DiagnosticMeasure:
    """Return the AUROC of the first risks minus that of the second ones, in a group."""
    return joint_measure(
        name,
        used,
        lambda at: _difference(at, label, risks),
        low=-1.0,
        high=1.0,
        higher_is_better=False,
    )


def _between_halves(
    name: str,
    used: Bool[np.ndarray, " sample"],
    label: Int[np.ndarray, " sample"],
    halves: list[tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]],
) -> DiagnosticMeasure:
    """Return the 95 % quantile over splits of the absolute difference of two AUROCs."""

    def prepare(at: Int[np.ndarray, " part"]) -> ByWeights:
        forms = [_difference(at, label, risks) for risks in halves]

        def form(weights: Real[np.ndarray, "resample sample"]) -> Float[np.ndarray, " resample"]:
            return np.quantile(np.abs([one(weights) for one in forms]), 0.95, axis=0)

        return form

    return joint_measure(name, used, prepare, low=0.0, high=1.0, higher_is_better=False)


def _difference(
    at: Int[np.ndarray, " part"],
    label: Int[np.ndarray, " sample"],
    risks: tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]],
) -> ByWeights:
    """Return the AUROC of the first risks minus that of the second ones, as weights give it."""
    own, other = (auroc_by_weights(label[at], risk[at]) for risk in risks)
    return lambda weights: own(weights) - other(weights)

"""Measure what is lost from one group of samples to another, such as sites or periods of time.

The groups are those of a subgroup of the cohort: a column such as the site or the year, with bands
if it is a number. What a probe learned from one group is asked of the held-out samples of another.
All probes learn from as many samples, so that a large group is not taken for an easy one.
"""

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import (
    DiagnosticInputs,
    DiagnosticMeasure,
    unit_vectors,
)
from clinical_symile.evaluation.diagnostics.measures import (
    ByWeights,
    auroc_by_weights,
    average,
    joint_measure,
)
from clinical_symile.evaluation.labels import training_samples
from clinical_symile.evaluation.probes.base import LabelledSamples, ProbeInputs
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import PROBES
from clinical_symile.training.supervised import LabelledRows


class GroupShift:
    """Probes of one group, asked of the held-out samples of every other group.

    The loss is the AUROC of the probe of the group itself, minus that of the other group's probe,
    of the same held-out samples. It is about 0 where the groups do not differ. The encoders are
    those of the run: train it on one group alone, with `undersample` and `keep = 0`, to ask of
    encoders and probe together.

    Intervals are over examined subjects. They do not say what other train samples would change. The
    control does: it is the difference of two probes of the same group, that learned from a half
    each.

    Args:
        group: the subgroup of the cohort: the site, the period, or any other.
        least_subjects: the fewest subjects of a group, among train samples and among examined ones,
            with a known outcome and something available. Smaller groups are left out.
    """

    display_name = "shift between groups"
    description = "What a probe of one site, period or other group loses in another one."
    reads = ("outcome", "probe")
    measures: ClassVar[dict[str, str]] = {
        "auroc_lost": "AUROC of a group's own probe minus that of another group's, of the same "
        "held-out samples; 0 where nothing is lost.",
        "auroc_lost_by_chance": "AUROC of a probe of one half of a group's train samples, minus "
        "that of the other half's; what is lost without a shift.",
        "auroc_across": "AUROC in a group of the probe of another group.",
        "auroc_within": "AUROC in a group of its own probe, from as many train samples.",
    }

    def __init__(self, *, group: str, least_subjects: int = 50):
        if least_subjects < 2:
            raise ValueError(f"least_subjects is {least_subjects}; expected 2 or more.")
        self._group, self._least = group, least_subjects

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
        train, tuning = training_samples(
            inputs.question, inputs.train_store, inputs.request.pattern
        )
        learned = inputs.train_store.group(self._group)
        subjects = inputs.train_store.samples["subject"].to_numpy()
        levels = [
            level
            for level in sorted({level for level in examined if level is not None})
            if len(np.unique(inputs.subjects[used & (examined == level)])) >= self._least
            and len(np.unique(subjects[train.rows[learned[train.rows] == level]])) >= self._least
            and (learned[tuning.rows] == level).any()
        ]
        if len(levels) < 2:
            raise CannotScore(
                f"fewer than two groups of '{self._group}' have {self._least} subjects with a "
                "known outcome, among the train samples and among the examined ones, and one in "
                "the tuning split. Split the cohort by subject, or take wider groups.",
                code="CS-S007",
            )
        seed = inputs.request.task.seed
        own, one_half, other_half = (
            _risks(inputs, (train, tuning), of, levels)
            for of in (learned, *_halves(learned, (train, tuning), levels, seed=seed))
        )
        at = {one: used & (examined == one) for one in levels}
        return _measures(inputs, at, own, (one_half, other_half))


def _risks(
    inputs: DiagnosticInputs,
    known: tuple[LabelledRows, LabelledRows],
    learned: Shaped[np.ndarray, " row"],
    levels: list[str],
) -> dict[str, Float[np.ndarray, " sample"]]:
    """Return the risk of each examined sample by the probe of each group.

    Args:
        inputs: the task, the model and the examined samples.
        known: the train and the tuning samples with a known outcome.
        learned: the group of each row of the cohort that the probes learn from.
        levels: the groups.

    Raises:
        CannotScore: the train samples of a group lack a class.
    """
    model = inputs.model if inputs.model.source is None else inputs.model.source()
    seed = inputs.request.task.seed
    vectors: list[dict[str, LabelledSamples]] = []
    for rows in known:
        every = unit_vectors(model, rows.rows, rows.available, inputs.modalities)
        labelled = LabelledSamples(**vars(every), label=rows.label)
        places = {one: np.flatnonzero(learned[rows.rows] == one) for one in levels}
        count = min(len(of_level) for of_level in places.values())
        vectors.append(
            {
                one: labelled.take(_some(of_level, count, seed=seed))
                for one, of_level in places.items()
            }
        )
    train, tuning = vectors
    if lacking := [one for one in levels if len(np.unique(train[one].label)) < 2]:
        raise CannotScore(
            f"no probe can be fitted to the group {', '.join(lacking)}: its train samples lack "
            "a class.",
            code="CS-S008",
        )
    about = inputs.question.probe
    return {
        one: resolve(about.name, PROBES)(**about.arguments).predict(
            ProbeInputs(train[one], tuning[one], inputs.samples, None, seed=seed)
        )
        for one in levels
    }


def _halves(
    learned: Shaped[np.ndarray, " row"],
    known: tuple[LabelledRows, LabelledRows],
    levels: list[str],
    *,
    seed: int,
) -> list[Shaped[np.ndarray, " row"]]:
    """Return the groups of all rows twice, each time with a half of each class of a group.

    Args:
        learned: the group of each row of the cohort that the probes learn from.
        known: the train and the tuning samples with a known outcome.
        levels: the groups.
        seed: of the task.
    """
    rng = np.random.default_rng(seed)
    made = [np.full(len(learned), None, dtype=object) for _ in range(2)]
    for samples in known:
        for level in levels:
            for label in (0, 1):
                of_class = (samples.label == label) & (learned[samples.rows] == level)
                order = rng.permutation(samples.rows[of_class])
                # One sample alone is in both, so that neither half lacks a class for it.
                middle = (len(order) + 1) // 2
                made[0][order[:middle]] = level
                made[1][order[len(order) - middle :]] = level
    return made


def _some(
    places: Int[np.ndarray, " sample"], count: int, *, seed: int
) -> Int[np.ndarray, " taken"]:
    """Draw some of the places, in their order; all of them if there are no more."""
    drawn = np.random.default_rng(seed).choice(places, size=count, replace=False)
    return np.sort(drawn)


def _measures(
    inputs: DiagnosticInputs,
    used: dict[str, Bool[np.ndarray, " sample"]],
    risks: dict[str, Float[np.ndarray, " sample"]],
    halves: tuple[dict[str, Float[np.ndarray, " sample"]], ...],
) -> list[DiagnosticMeasure]:
    """Return the measures of each ordered pair of groups, after their means.

    Args:
        inputs: the task and the examined samples.
        used: by group, the samples that are asked of.
        risks: by group, the risk of each sample by the group's probe.
        halves: the same by probes of one half of the train samples, and by those of the other.
    """
    label = np.nan_to_num(inputs.label).astype(np.int64)
    parts: dict[str, list[DiagnosticMeasure]] = {name: [] for name in GroupShift.measures}
    for asked, at in used.items():
        parts["auroc_within"].append(_area(f"auroc_within/{asked}", at, label, risks[asked]))
        two_halves = halves[0][asked], halves[1][asked]
        parts["auroc_lost_by_chance"].append(
            _lost(f"auroc_lost_by_chance/{asked}", at, label, two_halves)
        )
        for source in used:
            if source == asked:
                continue
            pair, two = f"{asked}_from_{source}", (risks[asked], risks[source])
            parts["auroc_across"].append(_area(f"auroc_across/{pair}", at, label, two[1]))
            parts["auroc_lost"].append(_lost(f"auroc_lost/{pair}", at, label, two))
    return [one for name, several in parts.items() for one in average(name, several)]


def _area(
    name: str,
    used: Bool[np.ndarray, " sample"],
    label: Int[np.ndarray, " sample"],
    risk: Float[np.ndarray, " sample"],
) -> DiagnosticMeasure:
    """Return AUROC in a group."""
    return joint_measure(
        name,
        used,
        lambda at: auroc_by_weights(label[at], risk[at]),
        low=0.0,
        high=1.0,
        chance=0.5,
    )


def _lost(
    name: str,
    used: Bool[np.ndarray, " sample"],
    label: Int[np.ndarray, " sample"],
    risks: tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]],
) -> DiagnosticMeasure:
    """Return the AUROC of the first risks minus that of the second ones, in a group."""

    def prepare(at: Int[np.ndarray, " part"]) -> ByWeights:
        own, other = (auroc_by_weights(label[at], risk[at]) for risk in risks)
        return lambda weights: own(weights) - other(weights)

    return joint_measure(name, used, prepare, low=-1.0, high=1.0, higher_is_better=False)

"""Measure what under-sampling a group in pretraining does to it, against a balanced twin.

Source: Maity et al., "An investigation of representation and allocation harms in contrastive
learning", ICLR 2024, https://arxiv.org/abs/2310.01583 (collapse of groups, and its
effect through representations).
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Real, Shaped

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.undersampling import draw_undersample
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import (
    DiagnosticInputs,
    DiagnosticMeasure,
    unit_vectors,
)
from clinical_symile.evaluation.diagnostics.measures import (
    ByWeights,
    average,
    for_pairs,
    joint_measure,
    mean_of_pairs,
    sample_mean,
)
from clinical_symile.evaluation.labels import training_samples
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs
from clinical_symile.evaluation.runner import trained_predictor
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import PROBES
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import load_learner
from clinical_symile.training.supervised import LabelledRows

LEAST_SUBJECTS = 50
"""The fewest examined subjects of a group whose harms are measured."""

_Vectors = Float[np.ndarray, "sample dim"]


class Harms:
    """A run on an under-sampled group compared with its balanced twin, on the same samples.

    The twin is a run of the same task without `undersample`, with the same seed and store. Groups
    of fewer than 50 examined subjects are left out.

    Args:
        group: the subgroup of the cohort.
        twin: folder of the balanced run.
    """

    display_name = "harms of under-sampling"
    description = "Whether a group collapses, and what it loses, where training had few of it."
    source = "Maity et al., 2024"
    reads = ("outcome", "probe")
    needs = ("a run with undersample, and its balanced twin",)
    measures: ClassVar[dict[str, str]] = {
        "representation_harm": "One minus the mean cosine of two groups, by that of the twin; "
        "below 1 they collapse.",
        "total_effect": "Confidence in the true outcome minus that of the twin.",
        "indirect_effect": "The same with a probe that learned from all: by representations alone.",
        "direct_effect": "What remains of the total effect: by the probe's own training samples.",
    }

    def __init__(self, *, group: str, twin: str):
        self._group, self._twin = group, Path(twin)

    def measure(self, inputs: DiagnosticInputs) -> list[DiagnosticMeasure]:
        """Measure every pair of groups and every group; see `Diagnostic`."""
        own = None if inputs.model.encoders is None else inputs.model.encoders.run
        if own is None or inputs.model.source is not None:
            raise CannotScore(
                "the diagnostic 'harms' needs a trained run on its own cohort; this model has no "
                "record of its training. Evaluate a run.",
                code="CS-S006",
            )
        if self._group not in inputs.store.subgroups:
            raise CannotScore(
                f"the cohort has no subgroup '{self._group}'; it has "
                f"{', '.join(inputs.store.subgroups) or 'none'}.",
                code="CS-S009",
            )
        twin = balanced_twin(own, Run(self._twin), inputs)
        groups = inputs.store.group(self._group)[inputs.request.rows]
        return harm_measures(inputs, twin, groups=groups, kept=_kept(own, inputs))


def harm_measures(
    inputs: DiagnosticInputs,
    twin: EmbeddingPredictor,
    *,
    groups: Shaped[np.ndarray, " sample"],
    kept: Bool[np.ndarray, " row"],
) -> list[DiagnosticMeasure]:
    """Measure the harms of a model against its balanced twin.

    Args:
        inputs: the model and the examined samples.
        twin: the balanced model, with embeddings of the same store.
        groups: the group of each examined sample; None where it is unknown.
        kept: for each row of the store, True if the model's training kept its subject.

    Raises:
        CannotScore: no group has enough subjects, or a probe cannot be fitted.
    """
    own, request = inputs.samples, inputs.request
    other = unit_vectors(twin, request.rows, request.available, inputs.modalities)
    subjects = inputs.subjects
    levels = [
        level
        for level in sorted({level for level in groups if level is not None})
        if len(np.unique(subjects[groups == level])) >= LEAST_SUBJECTS
    ]
    if not levels:
        raise CannotScore(
            f"no group has {LEAST_SUBJECTS} subjects among the examined samples.", code="CS-S007"
        )
    harms = [
        _collapse(
            f"representation_harm/{one}-{two}/{name}",
            (own.z[:, place], other.z[:, place]),
            tuple(
                for_pairs(own.available[:, place] & (groups == level), seed=request.task.seed)
                for level in (one, two)
            ),
        )
        for one, two in combinations(levels, 2)
        for place, name in enumerate(inputs.modalities)
    ]
    known = training_samples(inputs.question, inputs.store, inputs.request.pattern)
    everyone = np.ones(len(kept), dtype=bool)
    learned, balanced = (
        tuple(_labelled(inputs, model, rows) for rows in known) for model in (inputs.model, twin)
    )
    full_probe = _confidence(inputs, learned, own, everyone)
    effects = confidence_effects(
        own_probe=full_probe if kept.all() else _confidence(inputs, learned, own, kept),
        full_probe=full_probe,
        balanced=_confidence(inputs, balanced, other, everyone),
    )
    made = average("representation_harm", harms)
    for name, values in effects.items():
        parts = [
            sample_mean(
                f"{name}/{level}", np.where(groups == level, values, np.nan), low=-1.0, high=1.0
            )
            for level in levels
        ]
        made += average(name, parts)
    return made


def confidence_effects(
    *,
    own_probe: Float[np.ndarray, " sample"],
    full_probe: Float[np.ndarray, " sample"],
    balanced: Float[np.ndarray, " sample"],
) -> dict[str, Float[np.ndarray, " sample"]]:
    """Return the total effect of each sample, and its indirect and direct part.

    Args:
        own_probe: confidence from the model, by a probe that learned from what its training kept.
        full_probe: the same by a probe that learned from all train samples.
        balanced: confidence from the twin, by a probe that learned from all train samples.
    """
    total, indirect = own_probe - balanced, full_probe - balanced
    return {
        "total_effect": total,
        "indirect_effect": indirect,
        "direct_effect": total - indirect,
    }


def balanced_twin(own: Run, twin: Run, inputs: DiagnosticInputs) -> EmbeddingPredictor:
    """Load the twin of a run.

    Raises:
        CannotScore: it is no finished run, or differs by more than `undersample`.
    """
    if not (twin.path / "run.toml").is_file() or not twin.is_finished:
        raise CannotScore(
            f"the twin '{twin.name}' is no finished run. Train the same task without undersample, "
            "with the same seed, and name its folder.",
            code="CS-S006",
        )
    mine, its = own.metadata, twin.metadata
    differing = [key for key in ("store_digest", "seed") if mine.get(key) != its.get(key)]
    definitions = [
        {key: value for key, value in dict(about["definition"]).items() if key not in _MAY_DIFFER}
        for about in (mine, its)
    ]
    if definitions[0] != definitions[1]:
        differing.append("definition")
    if its["definition"].get("undersample") is not None:
        differing.append("undersample, which it has too")
    if differing:
        raise CannotScore(
            f"the twin '{twin.name}' differs by {', '.join(differing)}; expected the same but for "
            "undersample, which a twin has not.",
            code="CS-S006",
        )
    task = parse_task(its["definition"], name=its["task"], where=str(twin.path / "run.toml"))
    assert isinstance(task, Pretraining)
    learner = load_learner(twin, task, inputs.store)
    return trained_predictor(twin, task, learner, inputs.store, seed=its["seed"])


_MAY_DIFFER = ("undersample", "description")


def _kept(own: Run, inputs: DiagnosticInputs) -> Bool[np.ndarray, " row"]:
    """Return for each row of the store whether a run's training kept its subject."""
    rows = np.arange(len(inputs.store.samples))
    about = own.metadata["definition"].get("undersample")
    if about is None:
        return np.ones(len(rows), dtype=bool)
    return draw_undersample(rows, inputs.store, **about, seed=own.metadata["seed"])


def _collapse(
    name: str,
    spaces: tuple[_Vectors, _Vectors],
    members: Sequence[Bool[np.ndarray, " sample"]],
) -> DiagnosticMeasure:
    """Return one minus the mean cosine of two groups, divided by that of the twin."""
    first, second = members

    def prepare(at: Int[np.ndarray, " part"]) -> ByWeights:
        counted = first[at][:, None] & second[at]
        means = [mean_of_pairs(z[at] @ z[at].T, counted) for z in spaces]

        def form(weights: Real[np.ndarray, "resample part"]) -> Float[np.ndarray, " resample"]:
            own, twin = (1 - mean(weights) for mean in means)
            return own / np.where(twin > 0, twin, np.nan)

        return form

    groups = {f"{name}/first": first, f"{name}/second": second}
    return joint_measure(name, first | second, prepare, low=0.0, high=np.inf, among=groups)


def _labelled(
    inputs: DiagnosticInputs, model: EmbeddingPredictor, known: LabelledRows
) -> LabelledSamples:
    """Return a model's embeddings of samples with a known outcome."""
    vectors = unit_vectors(model, known.rows, known.available, inputs.modalities)
    return LabelledSamples(**vars(vectors), label=known.label)


def _confidence(
    inputs: DiagnosticInputs,
    known: tuple[LabelledSamples, ...],
    examined: EmbeddedSamples,
    kept: Bool[np.ndarray, " row"],
) -> Float[np.ndarray, " sample"]:
    """Return the predicted probability of each sample's true outcome; NaN where it is unknown.

    Args:
        inputs: the task and the store.
        known: the train and the tuning samples that a probe learns from.
        examined: the same model's embeddings of the examined samples.
        kept: for each row of the store, True if the probe may learn from it.
    """
    train, tuning = known
    learned = train.take(np.flatnonzero(kept[train.rows]))
    if len(np.unique(learned.label)) < 2:
        raise CannotScore(
            "no probe can be fitted: without the subjects who were left out, the train split lacks "
            "a class.",
            code="CS-S008",
        )
    probe = resolve(inputs.question.probe.name, PROBES)(**inputs.question.probe.arguments)
    risk = probe.predict(
        ProbeInputs(learned, tuning, examined, None, seed=inputs.request.task.seed)
    )
    is_known = ~np.isnan(inputs.label) & examined.available.any(axis=1)
    return np.where(is_known, np.where(inputs.label == 1, risk, 1 - risk), np.nan)

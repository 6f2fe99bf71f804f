"""Compute what each modality contributes to a run, if every combination was evaluated."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from clinical_symile.errors import DataError
from clinical_symile.evaluation.analysis.sample_outcomes import SampleOutcomes
from clinical_symile.evaluation.base import chance_inputs
from clinical_symile.metrics.shapley import (
    SubsetValues,
    interaction,
    modality_subsets,
    shapley_values,
    value_alone,
    value_left_out,
)
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.stats.estimate import LEVEL
from clinical_symile.stats.resampling import resample_metric
from clinical_symile.tracking.analysis_tables import ModalityValue


def modality_contributions(scored: Mapping[str, SampleOutcomes]) -> list[ModalityValue]:
    """Compute Shapley values and interactions with intervals.

    They need all 2^M - 1 combinations of modalities, that is the patterns `complete`, `without-…`
    and `only-…`. Without any modality the value is the chance level, so that a metric without one
    has no contributions.

    Args:
        scored: the outcomes of a run on a task, by pattern.

    Returns:
        One row for each quantity; empty if a combination or the chance level is missing.

    Raises:
        DataError: two combinations were not scored on the same samples.
    """
    found = _by_subset(scored)
    if not found:
        return []
    first = next(iter(found.values()))
    modalities = first.task.input_modalities
    chance = _chance(first)
    if (
        chance is None
        or len(modalities) < 2
        or {*modality_subsets(modalities)} != {frozenset(), *found}
    ):
        return []
    for one in found.values():
        if not np.array_equal(one.rows, first.rows):
            raise DataError(
                f"run '{one.about['run']}', task '{one.about['task']}': patterns "
                f"'{first.about['missingness']}' and '{one.about['missingness']}' were scored on "
                "different samples. Evaluate again.",
                code="CS-S004",
            )
    return _rows(found, modalities, chance)


def contribution_values(
    values: SubsetValues, modalities: Sequence[str]
) -> dict[tuple[str, str], Any]:
    """Compute every quantity, by its name and its modalities joined by `+`."""
    made: dict[tuple[str, str], Any] = {
        ("shapley", name): value for name, value in shapley_values(values, modalities).items()
    }
    made |= {("alone", name): value_alone(values, name) for name in modalities}
    made |= {("left_out", name): value_left_out(values, modalities, name) for name in modalities}
    for size in range(2, len(modalities) + 1):
        for some in combinations(modalities, size):
            made["interaction", "+".join(some)] = interaction(values, some)
    whole = values[frozenset(modalities)] - values[frozenset()]
    return made | {("total", "+".join(modalities)): whole}


def _by_subset(scored: Mapping[str, SampleOutcomes]) -> dict[frozenset[str], SampleOutcomes]:
    found = {}
    for name, one in scored.items():
        if name == "complete" or name.startswith(("without-", "only-")):
            task = one.task
            inputs = task.input_modalities
            found.setdefault(frozenset(parse_pattern(name).visible_modalities(inputs)), one)
    return found


def _chance(one: SampleOutcomes) -> float | None:
    if one.metric.chance is None:
        return None
    return one.metric.chance(chance_inputs(one.outcome))


def _rows(
    found: Mapping[frozenset[str], SampleOutcomes], modalities: Sequence[str], chance: float
) -> list[ModalityValue]:
    some = next(iter(found.values()))
    sign = 1 if some.metric.higher_is_better else -1
    width = len(some.arrays)

    def numbers(weights: np.ndarray, *arrays: np.ndarray) -> Float[np.ndarray, "resample number"]:
        values: dict[frozenset[str], Any] = {frozenset(): np.full(len(weights), sign * chance)}
        for place, (shown, one) in enumerate(found.items()):
            taken = arrays[place * width : (place + 1) * width]
            values[shown] = sign * one.weighted(weights, *taken)
        return np.stack([*contribution_values(values, modalities).values()], axis=1)

    arrays = [array for one in found.values() for array in one.arrays]
    names = list(contribution_values(dict.fromkeys(modality_subsets(modalities), 0.0), modalities))
    value = numbers(np.ones((1, len(some.rows)), dtype=np.int64), *arrays)[0]
    drawn = resample_metric(numbers, arrays, some.subjects, rng=some.rng)
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    about = {name: some.about[name] for name in ("run", "cohort", "task", "digest")}
    return [
        ModalityValue(
            **about,
            metric=some.metric.name,
            quantity=quantity,
            modalities=which,
            value=float(value[place]),
            low=float(low[place]) if low[place] < high[place] else None,
            high=float(high[place]) if low[place] < high[place] else None,
            n_samples=some.n_samples,
            n_subjects=len(np.unique(some.subjects)),
        )
        for place, (quantity, which) in enumerate(names)
    ]

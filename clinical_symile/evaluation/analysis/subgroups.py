"""Estimate a run's metric in subgroups: those of the cohort, and by recorded modalities."""

from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
from jaxtyping import Int, Shaped

from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.sample_outcomes import SampleOutcomes
from clinical_symile.formatting import RARE_GROUPS, SMALLEST_COUNT
from clinical_symile.metrics.subgroups import SubgroupEstimate, subgroup_estimates
from clinical_symile.stats.multiple_testing import holm
from clinical_symile.tracking.analysis_tables import SubgroupResult

_AVAILABILITY = "availability"


def subgroup_results(
    scored: Mapping[str, SampleOutcomes], store: CohortStore
) -> list[SubgroupResult]:
    """Estimate the primary metric in each group under each pattern, and test the gaps.

    The gap of a group is the difference from all other samples. All tests are one family, adjusted
    by Holm's method. A subgroup with a single level among a pattern's samples is left out.

    Args:
        scored: the outcomes of a run on a task, by pattern.
        store: the cohort.
    """
    found: list[tuple[SampleOutcomes, str, list[SubgroupEstimate]]] = []
    for one in scored.values():
        for name, levels in groupings(store).items():
            groups = levels[one.rows]
            if len({level for level in groups if level is not None}) < 2:
                continue
            made = subgroup_estimates(
                one.weighted,
                one.arrays,
                one.subjects,
                groups,
                classes=_classes(one),
                higher_is_better=one.metric.higher_is_better,
                rng=one.rng,
                estimate=one.metric.estimate,
            )
            found.append((one, name, [_with_sample_count(group, one, groups) for group in made]))
    tests = [
        (place, group.level, group.p_value)
        for place, (_, _, made) in enumerate(found)
        for group in _distinct(made)
        if group.p_value is not None
    ]
    adjusted = holm([p for _, _, p in tests])
    by_place = {(place, level): p for (place, level, _), p in zip(tests, adjusted, strict=True)}
    return [
        SubgroupResult(
            **one.about,
            metric=one.metric.name,
            subgroup=name,
            **asdict(group),
            p_holm=_adjusted(by_place, place, group, made),
            n_tests=len(tests),
        )
        for place, (one, name, made) in enumerate(found)
        for group in made
    ]


def groupings(store: CohortStore) -> dict[str, Shaped[np.ndarray, " sample"]]:
    """Return the level of every sample, by subgroup: the cohort's, and the present modalities.

    Levels that fewer than ten subjects of the store have are joined under one name. Such a label
    may name a person, and these tables leave the run's folder.
    """
    names = np.array(store.modalities)
    present = np.array(["+".join(names[row]) or "none" for row in store.present], dtype=object)
    subjects = store.samples["subject"].to_numpy()
    levels = {name: _join_rare(store.group(name), subjects) for name in store.subgroups}
    return {**levels, _AVAILABILITY: present}


def _join_rare(
    levels: Shaped[np.ndarray, " sample"], subjects: Shaped[np.ndarray, " sample"]
) -> Shaped[np.ndarray, " sample"]:
    """Give one name to all levels that fewer than ten subjects have."""
    joined = levels.copy()
    for level in {level for level in levels if level is not None}:
        is_level = levels == level
        if len(np.unique(subjects[is_level])) < SMALLEST_COUNT:
            joined[is_level] = RARE_GROUPS
    return joined


def _classes(one: SampleOutcomes) -> Int[np.ndarray, " row"] | None:
    """Return the class and part of each row as one number: a group needs some of each."""
    if "label" not in one.outcome:
        return None
    label = one.outcome["label"].to_numpy()
    if "part" not in one.outcome:
        return label
    return label + 2 * np.unique(one.outcome["part"], return_inverse=True)[1]


def _with_sample_count(
    group: SubgroupEstimate, one: SampleOutcomes, groups: Shaped[np.ndarray, " row"]
) -> SubgroupEstimate:
    """Correct the number of samples: a sample with several rows counts once."""
    if group.withheld:
        return group
    return replace(group, n_samples=len(np.unique(one.rows[groups == group.level])))


def _distinct(made: list[SubgroupEstimate]) -> list[SubgroupEstimate]:
    """Return the groups whose gaps are different tests: two complementary groups share one."""
    return made[:1] if len(made) == 2 else made


def _adjusted(
    by_place: Mapping[tuple[int, str], float],
    place: int,
    group: SubgroupEstimate,
    made: list[SubgroupEstimate],
) -> float | None:
    if group.p_value is None:
        return None
    first = _distinct(made)[0].level if len(made) == 2 else group.level
    return by_place[place, first]

"""How groups of patients fare with a run: subgroups of the cohort, and who has which modality."""

from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
from jaxtyping import Int, Shaped

from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.sample_outcomes import SampleOutcomes
from clinical_symile.metrics.subgroups import SubgroupEstimate, subgroup_estimates
from clinical_symile.stats.multiple_testing import holm
from clinical_symile.tracking.analysis_tables import SubgroupResult

AVAILABILITY = "availability"


def subgroup_results(
    scored: Mapping[str, SampleOutcomes], store: CohortStore
) -> list[SubgroupResult]:
    """The primary metric of each group under each pattern, with gaps tested as one family.

    A subgroup of which a pattern's samples have one level only is left out there: it tells nothing.
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
            )
            found.append((one, name, [_counted(group, one, groups) for group in made]))
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
    """The groups of every sample, by subgroup: those of the cohort, and which modalities it has."""
    names = np.array(store.modalities)
    has = np.array(["+".join(names[row]) or "none" for row in store.present], dtype=object)
    return {**{name: store.group(name) for name in store.subgroups}, AVAILABILITY: has}


def _classes(one: SampleOutcomes) -> Int[np.ndarray, " row"] | None:
    """Of each row its class, and its part where there are several: of each a group needs some."""
    if "label" not in one.outcome:
        return None
    label = one.outcome["label"].to_numpy()
    if "part" not in one.outcome:
        return label
    return label + 2 * np.unique(one.outcome["part"], return_inverse=True)[1]


def _counted(
    group: SubgroupEstimate, one: SampleOutcomes, groups: Shaped[np.ndarray, " row"]
) -> SubgroupEstimate:
    """A sample that has several rows is one."""
    if group.withheld:
        return group
    return replace(group, n_samples=len(np.unique(one.rows[groups == group.level])))


def _distinct(made: list[SubgroupEstimate]) -> list[SubgroupEstimate]:
    """Groups whose gaps are different tests: of two that are all, the gap is one and the same."""
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

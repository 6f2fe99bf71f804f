"""Show the sentences of a report: warnings, methods, provenance and missing results."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from clinical_symile.formatting import mask_small_counts
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    Section,
)
from clinical_symile.reporting.text.caveats import (
    above_oracle_sentences,
    code_difference_sentence,
    interval_sentence,
)
from clinical_symile.reporting.text.findings import (
    oracle_sentences,
)
from clinical_symile.tracking.results import Comparison, Result, SkippedResult
from clinical_symile.tracking.rounding import ROUNDED


def draw_above_oracle(
    *,
    above_best: Sequence[Comparison],
    tasks: TaskTables,
    series: Sequence[Series],
    tested: int,
) -> Content | None:
    """Warn of results that are better than the oracle's by more than chance explains."""
    sentences = above_oracle_sentences(above_best, tasks=tasks, series=series)
    if not sentences:
        return None
    return Content(
        heading="Better than is possible.",
        text=f"{tested} results were compared with the oracle on the same samples, with intervals "
        "that hold simultaneously. By chance alone, about one report in forty has such a line. A "
        "label or an answer probably leaks: find the leak before you use these results.",
        values={"sentences": sentences},
    )


def draw_methods(*, runs: Sequence[Mapping[str, Any]], series: Sequence[Series]) -> Content | None:
    """Describe how each run copes with missing modalities."""
    by_run = {one.run: one for one in series}
    known = [(by_run[str(run["name"])], run["definition"]) for run in runs]
    if not known:
        return None
    return Content(
        heading="Which methods are compared",
        text="The same model, trained in different ways to cope with missing modalities. “On 50 % "
        "missing” is the pattern during training; without it, training used what was recorded.",
        values={"methods": known},
    )


def draw_oracle(
    *, oracle: Mapping[str, Any] | None, cohort: Mapping[str, Any], tasks: TaskTables
) -> Content | None:
    """Return the exact values of the synthetic world."""
    sentences = oracle_sentences(oracle, cohort=cohort, tasks=tasks)
    if not sentences:
        return None
    return Content(
        heading="What is possible",
        text="The distribution of the synthetic cohort is known, so these values are exact: over "
        "all possible subjects, with nothing missing. The oracle of the figures is evaluated on "
        "the held-out samples.",
        values={"sentences": sentences},
    )


def draw_not_scored(
    *, unscored: Sequence[SkippedResult], notes: Sequence[str], synthetic: bool
) -> Content | None:
    """List the results that could not be computed, with the reason."""
    if not unscored and not notes:
        return None
    rows = [
        row if synthetic else replace(row, reason=mask_small_counts(row.reason)) for row in unscored
    ]
    return Content(heading="What could not be computed", values={"rows": rows, "notes": notes})


def draw_provenance(
    *,
    runs: Sequence[Mapping[str, Any]],
    results: Sequence[Result],
    series: Sequence[Series],
    tasks: TaskTables,
    cohort: Mapping[str, Any],
    versions: Mapping[str, str],
    elapsed_s: float | None,
) -> Content:
    """List runs, digests, versions and how intervals were computed."""
    return Content(
        heading="How the results were made",
        caption=code_difference_sentence(runs) or "",
        values={
            "runs": runs,
            "results": results,
            "labels": {one.run: one.label for one in series},
            "tasks": tasks,
            "cohort": cohort,
            "versions": versions,
            "elapsed_s": elapsed_s,
            "intervals": _sentence_on_numbers(results, tasks),
        },
    )


def _sentence_on_numbers(results: Sequence[Result], tasks: TaskTables) -> str | None:
    """Say how intervals were computed, and that numbers are rounded where they are."""
    rounding = ROUNDED if any(row.rounded for row in results) else None
    return " ".join(filter(None, (interval_sentence(results, tasks=tasks), rounding))) or None


_PROVENANCE_NEEDS = ("runs", "results", "series", "tasks", "cohort", "versions", "elapsed_s")

ABOVE_ORACLE = Section(
    "above_oracle",
    ("above_best", "tasks", "series", "tested"),
    draw_above_oracle,
    "sections/above_oracle.j2",
    display_name="results above the oracle",
    description=(
        "Warns of results that are better than the oracle's by more than chance explains."
    ),
)
METHODS = Section(
    "methods",
    ("runs", "series"),
    draw_methods,
    "sections/methods.j2",
    display_name="methods",
    description="Describes how each run treats missing modalities.",
)
ORACLE_VALUES = Section(
    "oracle",
    ("oracle", "cohort", "tasks"),
    draw_oracle,
    "sections/oracle.j2",
    display_name="exact values",
    description="States the exact values of the synthetic cohort's distribution.",
)
NOT_SCORED = Section(
    "not_scored",
    ("unscored", "notes", "synthetic"),
    draw_not_scored,
    "sections/not_scored.j2",
    display_name="missing results",
    description="Lists the results that could not be computed, with the reason.",
)
PROVENANCE = Section(
    "provenance",
    _PROVENANCE_NEEDS,
    draw_provenance,
    "sections/provenance.j2",
    display_name="provenance",
    description="Lists runs, digests, versions, and how intervals were computed.",
)
HIDDEN = Section(
    "hidden",
    _PROVENANCE_NEEDS,
    draw_provenance,
    "sections/hidden.j2",
    display_name="hidden measurements",
    description="Lists the runs, and the share of each modality that each pattern hides.",
)

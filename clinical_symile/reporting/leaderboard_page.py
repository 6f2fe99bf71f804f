"""Write a leaderboard as a page that loads nothing else, and as a table.

Page and table state no value more exactly than reports do, and sizes as bounds where two of them
differ by less than ten.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from clinical_symile.config.catalog import builtin_folder
from clinical_symile.formatting import (
    DASH,
    format_interval,
    format_value,
)
from clinical_symile.reporting.cost_quantities import COST_QUANTITIES, CostQuantity
from clinical_symile.reporting.csv_file import write_csv
from clinical_symile.reporting.leaderboard import BundleContent, QuestionRanking, RankedResult
from clinical_symile.reporting.render import render_page
from clinical_symile.reporting.text.labels import metric_label, pattern_label
from clinical_symile.tracking.rounding import sizes_in_words

LEADERBOARD_PAGE, LEADERBOARD_TABLE = "leaderboard.html", "leaderboard.csv"
_DECIMALS = 3  # as reports state values at most
_BAR = 112  # units of width of the bar of a rank
_NOT_TRAINED = "not trained here"
_SIZES = ("n_samples", "n_subjects")
Sizes = Mapping[str, Mapping[int, str]]


_COSTS = (
    *("parameters_used", "flops_per_sample", "training_s", "training_processor_s"),
    *("training_peak_bytes", "training_peak_device_bytes", "energy_j"),
)
QUANTITIES = tuple(COST_QUANTITIES[field] for field in _COSTS)


def write_leaderboard(
    rankings: Sequence[QuestionRanking], bundles: Sequence[BundleContent], *, out: Path
) -> list[Path]:
    """Write the page and the table of a leaderboard, and return their paths.

    Args:
        rankings: what `rank_bundles` returned.
        bundles: those that take part.
        out: the folder.
    """
    rankings = [ranking for ranking in rankings if ranking.entries]
    entries = [one for ranking in rankings for one in ranking.entries]
    sizes = _sizes(one.row for one in entries)
    lines = [_line(ranking, one, sizes) for ranking in rankings for one in ranking.entries]
    table = write_csv(pd.DataFrame(lines), out / LEADERBOARD_TABLE)
    known = [
        one for one in QUANTITIES if any(one.of(entry.facts.costs) is not None for entry in entries)
    ]
    has_device = any(entry.facts.costs.device for entry in entries)
    render_page(
        builtin_folder("reports/shared") / "leaderboard.j2",
        context={
            "bundles": [_about(bundle) for bundle in bundles],
            "head": _head(known, has_device),
            "rankings": [_shown(ranking, known, has_device, sizes) for ranking in rankings],
            "filters": _filters(rankings, known),
        },
        out=out / LEADERBOARD_PAGE,
    )
    return [out / LEADERBOARD_PAGE, table]


def _sizes(rows: Iterable[Any]) -> Sizes:
    """Return the sizes in words, so that no small difference follows from two of them.

    Rankings of a store may be of nested samples, and stores of a cohort may be, too.
    """
    rows = list(rows)
    return {key: sizes_in_words(rows, key) for key in _SIZES}


def _line(ranking: QuestionRanking, one: RankedResult, sizes: Sizes) -> dict[str, Any]:
    """Return a line of the table."""
    row, facts = one.row, one.facts
    values = {key: getattr(row, key) for key in ("value", "low", "high", "chance")}
    about = {key: value for key, value in vars(facts).items() if key != "costs"}
    costs = {field: getattr(facts.costs, field) for field in (*_COSTS, "device")}
    values |= {"oracle": ranking.best_possible, **about, **costs}
    return {
        **{key: getattr(ranking, key) for key in ("cohort", "task", "pattern", "metric")},
        **{"rank": one.rank, "rank_low": one.low, "rank_high": one.high},
        **{"entries": len(ranking.entries), "bundle": one.bundle, "method": one.method},
        **{"run": row.run, "seed": row.seed},
        **{key: round(n, _DECIMALS) if isinstance(n, float) else n for key, n in values.items()},
        **{key: words[getattr(row, key)] for key, words in sizes.items()},
        **{"digest": row.digest, "mask": row.mask},
    }


def _about(bundle: BundleContent) -> dict[str, Any]:
    """Return what the page says of a bundle: cells, and what was not checked."""
    results = bundle.data.results
    runs = len({row.run for row in results})
    tasks = len({row.task for row in results})
    patterns = len({row.missingness for row in results})
    cells = [bundle.name, bundle.cohort, runs, tasks, patterns, bundle.version]
    return {"cells": [str(cell) for cell in cells], "skipped": bundle.skipped}


def _choices(ranking: QuestionRanking, one: RankedResult) -> dict[str, tuple[str, str]]:
    """Return what the page's filters choose by: for each a value and its words."""
    facts, seed = one.facts, str(one.row.seed)
    trained_with = facts.trained_with
    return {
        "cohort": (ranking.cohort, ranking.cohort),
        "task": (ranking.task, ranking.task),
        "met with": (ranking.pattern, pattern_label(ranking.pattern)),
        "trained with": (
            trained_with or _NOT_TRAINED,
            pattern_label(trained_with) if trained_with else _NOT_TRAINED,
        ),
        "missing modalities": (facts.missing_modality or DASH, facts.missing_modality or DASH),
        "kind": (facts.kind, facts.kind),
        "seed": (seed, seed),
        "bundle": (one.bundle, one.bundle),
        "train samples": (facts.train_samples or DASH, facts.train_samples or DASH),
    }


def _filters(
    rankings: Sequence[QuestionRanking], known: Sequence[CostQuantity]
) -> list[dict[str, Any]]:
    """Return the filters that choose among anything: of equal values, then of upper limits."""
    chosen = [_choices(ranking, one) for ranking in rankings for one in ranking.entries]
    found: list[dict[str, Any]] = []
    for name in chosen[0]:
        options = dict(sorted({one[name] for one in chosen}, key=_by_number))
        if len(options) > 1:
            found.append(_filter(name, "", options))
    for quantity in known:
        numbers = {quantity.of(one.facts.costs) for ranking in rankings for one in ranking.entries}
        limits = {quantity.words(n): n for n in sorted(n for n in numbers if n is not None)}
        if len(limits) > 1:
            options = {str(n): words for words, n in limits.items()}
            found.append(_filter(quantity.title, " at most", options))
    return found


def _filter(name: str, words: str, options: Mapping[str, str]) -> dict[str, Any]:
    return {
        "key": _key(name),
        "title": f"{name}{words}",
        "is_limit": bool(words),
        "options": options,
        "first": "complete" if name == "met with" and "complete" in options else "",
    }


def _by_number(choice: tuple[str, str]) -> tuple[bool, int, str]:
    """Sort seeds as numbers, and all else as text; nothing missing comes first."""
    value = choice[0]
    return (value != "complete", int(value) if value.isdecimal() else 0, value)


def _key(name: str) -> str:
    """Return the name of an attribute of the page: `trained with` is `trained-with`."""
    return name.replace(" ", "-")


def _head(known: Sequence[CostQuantity], has_device: bool) -> list[str]:
    first = ["rank", "ranks the data allow", "method", "value", "95 % interval", "bundle", "seed"]
    more = ["trained with", "missing modalities", "samples, subjects", "train samples"]
    return [*first, *more, *(one.title for one in known), *["device"] * has_device]


def _shown(
    ranking: QuestionRanking, known: Sequence[CostQuantity], has_device: bool, sizes: Sizes
) -> dict[str, Any]:
    """Return a ranking as its template shows it."""
    metric, best = ranking.metric, ranking.best_possible
    chance = next((e.row.chance for e in ranking.entries if e.row.chance is not None), None)
    levels = {"Chance": chance, "Oracle": best}
    return {
        "title": ranking.title,
        "label": f"{ranking.title}, {pattern_label(ranking.pattern)}, {ranking.cohort}",
        "about": f"{ranking.cohort}. Met with: {pattern_label(ranking.pattern)}. "
        f"{metric_label(metric)}, {'higher' if ranking.higher_is_better else 'lower'} is better.",
        "levels": [f"{k}: {format_value(v, metric)}." for k, v in levels.items() if v is not None],
        "apart": ranking.apart,
        "rows": [
            {
                "data": _row_data(ranking, one, known),
                "bar": _bar(one, len(ranking.entries)),
                "cells": _cells(one, metric, known, has_device, sizes),
            }
            for one in ranking.entries
        ],
    }


def _bar(one: RankedResult, entries: int) -> dict[str, float]:
    """Return where the bar of a rank starts, its width and its mark, on a scale of 112 units."""
    step = _BAR / entries
    return {
        "start": round((one.low - 1) * step, 1),
        "width": round((one.high - one.low + 1) * step, 1),
        "mark": round((one.rank - 0.5) * step, 1),
    }


def _row_data(
    ranking: QuestionRanking, one: RankedResult, known: Sequence[CostQuantity]
) -> dict[str, str]:
    """Return the attributes of a row that filters read; a number that is unknown has none."""
    choices = {_key(name): value for name, (value, _) in _choices(ranking, one).items()}
    numbers = {_key(one_of.title): one_of.of(one.facts.costs) for one_of in known}
    return choices | {name: str(n) for name, n in numbers.items() if n is not None}


def _cells(
    one: RankedResult,
    metric: str,
    known: Sequence[CostQuantity],
    has_device: bool,
    sizes: Sizes,
) -> list[str]:
    row, facts = one.row, one.facts
    numbers = [(quantity, quantity.of(facts.costs)) for quantity in known]
    return [
        str(one.rank),
        str(one.low) if one.low == one.high else f"{one.low} to {one.high}",
        one.method,
        format_value(row.value, metric, exact=True),
        format_interval(row.low, row.high, metric, exact=True),
        one.bundle,
        str(row.seed),
        pattern_label(facts.trained_with) if facts.trained_with else _NOT_TRAINED,
        facts.missing_modality or DASH,
        ", ".join(words[getattr(row, key)] for key, words in sizes.items()),
        facts.train_samples or DASH,
        *(DASH if n is None else quantity.words(n) for quantity, n in numbers),
        *[facts.costs.device or DASH] * has_device,
    ]

"""`clinical-symile benchmark`: prepare, train, evaluate, compare and report."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinical_symile.cli.arguments import (
    COHORT,
    MARGIN,
    REPORT,
    add_devices,
    add_engine,
    add_generate,
    add_launcher,
    add_links,
    add_offline,
    add_overrides,
    add_verbose,
    margin,
    name_list,
    offer,
    optional_name_list,
    seeds,
)


def add_benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `benchmark`."""
    add_grid_arguments(parser)
    parser.add_argument(
        "--tune",
        action="store_true",
        help="try each setting that a task lists, with the first seed, and keep the best on the "
        "tuning split",
    )


def add_grid_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `benchmark` and `sweep` share: what to train and evaluate, and where."""
    offer(parser.add_argument("report", metavar="REPORT", help=REPORT), "reports")
    cohort = parser.add_argument("--cohort", metavar="COHORT", required=True, help=COHORT)
    offer(cohort, "cohorts")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder of all results"
    )
    parser.add_argument("--source", metavar="DIR", type=Path, help="folder of the raw files")
    for option, about in (
        ("--pretraining", "pretraining tasks to train, instead of the report's"),
        ("--tasks", "tasks to evaluate, instead of the report's; patterns such as retrieval/*"),
    ):
        added = parser.add_argument(option, metavar="A,B", type=name_list, help=about)
        offer(added, "tasks")
    parser.add_argument(
        "--baselines",
        metavar="A,B",
        type=optional_name_list,
        help="baselines, instead of the report's; none for no baseline",
    )
    parser.add_argument(
        "--missingness",
        metavar="P,Q",
        type=name_list,
        help="missingness patterns such as complete,mcar-30, instead of the report's",
    )
    parser.add_argument(
        "--seeds",
        metavar="I,J",
        type=seeds,
        help="seeds to train with, such as 0,1,2, instead of the report's",
    )
    parser.add_argument(
        "--recipe",
        metavar="A,B",
        type=name_list,
        help="recipes to train each task with, beside each other: basic, strong",
    )
    parser.add_argument("--margin", metavar="D", type=margin, help=MARGIN)
    parser.add_argument(
        "--primary",
        metavar="TASK:PATTERN,...",
        type=name_list,
        help="comparisons that the study is about, set before its results are known; their "
        "p-values are adjusted for each other alone",
    )
    add_generate(parser)
    add_links(parser)
    add_overrides(parser)
    add_devices(parser)
    add_offline(parser)
    add_launcher(parser)
    add_engine(parser)
    add_verbose(parser)


def run_benchmark(options: argparse.Namespace) -> int:
    """Run a benchmark and print its results."""
    return run_and_show(options, tune=options.tune)


def run_and_show(
    options: argparse.Namespace, *, tune: bool = False, space: Sequence[str] = (), trials: int = 0
) -> int:
    """Run a benchmark and print its results.

    Args:
        options: the arguments of `add_grid_arguments`.
        tune: see `BenchmarkSpec`.
        space: see `BenchmarkSpec`.
        trials: see `BenchmarkSpec`.
    """
    if options.offline:
        from clinical_symile.tracking.offline import go_offline

        go_offline()
    import clinical_symile as cs
    from clinical_symile.cli.console import CONSOLE, show_benchmark

    spec = cs.BenchmarkSpec(
        report=options.report,
        cohort=options.cohort,
        pretraining=_chosen(options.pretraining),
        tasks=_chosen(options.tasks),
        baselines=_chosen(options.baselines),
        missingness=_chosen(options.missingness),
        seeds=_chosen(options.seeds),
        margin=options.margin,
        primary=_chosen(options.primary),
        generate=tuple(options.generate),
        allow_links=options.allow_links,
        overrides=tuple(options.set),
        recipes=_chosen(options.recipe),
        tune=tune,
        space=tuple(space),
        trials=trials,
        accelerator=options.accelerator,
        devices=options.devices,
        nodes=options.nodes,
        deterministic=options.deterministic,
    )
    made = cs.benchmark(
        spec,
        out=options.out,
        source=options.source,
        catalog=options.catalog,
        launcher=options.launcher,
        jobs=options.jobs,
        threads=options.threads,
        retries=options.retries,
        engine=dict(options.engine),
    )
    show_benchmark(made, CONSOLE, verbose=options.verbose)
    return 0


def _chosen(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)

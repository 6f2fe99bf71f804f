"""`clinical-symile evaluate`: evaluate a run, or the file of an external model, on tasks."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import (
    STORE,
    add_offline,
    add_tasks,
    add_verbose,
    complete_by,
    name_list,
    run_folder_name,
)

# The options that each kind of model needs, and those that it would ignore, with the reason.
_NEEDS = {
    "run": ("store",),
    "predictions": ("out",),
    "embeddings": ("store", "out", "objective"),
    "scores": ("store", "out"),
}
_IGNORES = {
    "run": {
        "objective": "RUN was trained with one",
        "similarity": "RUN was trained with one",
    },
    "predictions": {
        "objective": "predictions need no score to rank them",
        "similarity": "predictions need no score to rank them",
        "training_store": "only a RUN has one",
        "missingness": "the column missingness of FILE names the pattern",
        "missing_query": "FILE has finished scores",
    },
    "embeddings": {
        "missingness": "embeddings are scored under the patterns of the tasks",
        "missing_query": "the objective has its own rule",
        "training_store": "only a RUN has one",
    },
    "scores": {
        "objective": "they are scores already",
        "similarity": "they are scores already",
        "training_store": "only a RUN has one",
        "missingness": "the column missingness of FILE names the pattern",
        "missing_query": "FILE has finished scores",
    },
}


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("run", metavar="RUN", type=Path, nargs="?", help="folder of a trained run")
    model.add_argument(
        "--predictions",
        metavar="FILE",
        type=Path,
        help="probabilities of an external model, as CSV or Parquet",
    )
    model.add_argument(
        "--embeddings",
        metavar="FILE",
        type=Path,
        help="embeddings of an external model, as CSV or Parquet",
    )
    model.add_argument(
        "--scores",
        metavar="FILE",
        type=Path,
        help="scores of candidates by an external model, as CSV or Parquet",
    )
    parser.add_argument(
        "--store",
        metavar="STORE",
        type=Path,
        help=f"{STORE}; not needed for predictions with labels",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder of the benchmark that the results are added to; needed for FILE",
    )
    parser.add_argument(
        "--name",
        type=run_folder_name,
        help="name of the new run (default: from the name of FILE or RUN)",
    )
    parser.add_argument(
        "--training-store",
        metavar="STORE",
        type=Path,
        help="store that RUN was trained on, if STORE holds another cohort (default: its "
        "recorded place)",
    )
    objective = parser.add_argument(
        "--objective",
        metavar="NAME",
        help="objective whose score ranks the embeddings of FILE, such as clip",
    )
    complete_by(objective, lambda _: _objectives())
    parser.add_argument(
        "--similarity",
        choices=("cosine", "dot"),
        help="scale the embeddings of FILE to length 1 (cosine), or use them as they are (dot); "
        "default: as the objective does",
    )
    add_tasks(parser)
    parser.add_argument(
        "--missingness",
        metavar="P,Q",
        type=name_list,
        help="missingness patterns such as complete,mcar-30, instead of those of the tasks",
    )
    parser.add_argument(
        "--missing-query",
        choices=("marginalize", "mean_bank", "drop"),
        help="rule for a query modality that is missing: average over train embeddings, use their "
        "mean, or leave it out (default: the rule of RUN's objective)",
    )
    add_offline(parser)
    add_verbose(parser)


def run_evaluate(options: argparse.Namespace) -> int:
    """Evaluate a model and print its results."""
    _check_options(options)
    if options.offline:
        from clinical_symile.tracking.offline import go_offline

        go_offline(options.run)
    return _evaluate_run(options) if options.run else _evaluate_file(options)


def _check_options(options: argparse.Namespace) -> None:
    """Refuse a command that lacks an option, or has one that would be ignored."""
    given = next(name for name in _NEEDS if getattr(options, name) is not None)
    model = "a run" if given == "run" else f"--{given}"
    lacking = [name for name in _NEEDS[given] if getattr(options, name) is None]
    if lacking:
        needed = ", ".join(f"--{name}" for name in lacking)
        options.parser.error(f"evaluate of {model} needs {needed}")
    for name, reason in _IGNORES[given].items():
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            options.parser.error(f"evaluate of {model} takes no --{option}: {reason}")


def _evaluate_run(options: argparse.Namespace) -> int:
    from clinical_symile.api.external import add_run_to_benchmark
    from clinical_symile.api.runs import evaluate
    from clinical_symile.api.sync import sync_mlflow
    from clinical_symile.cli.console import CONSOLE, show_benchmark, show_results, show_synced

    if options.out is not None:
        for name in ("missingness", "missing_query"):
            if getattr(options, name) is not None:
                option = name.replace("_", "-")
                options.parser.error(f"evaluate of a run with --out takes no --{option}")
        made = add_run_to_benchmark(
            options.run,
            options.store,
            out=options.out,
            name=options.name,
            training_store=options.training_store,
            tasks=options.tasks,
            catalog=options.catalog,
        )
        show_benchmark(made, CONSOLE, verbose=options.verbose)
        return 0
    results = evaluate(
        options.run,
        options.store,
        tasks=options.tasks,
        missingness=options.missingness,
        missing_query=options.missing_query,
        name=options.name,
        training_store=options.training_store,
        catalog=options.catalog,
    )
    show_results(results, CONSOLE, verbose=options.verbose)
    # On another cohort than its own, a run's results are in a folder beside it.
    (folder,) = {row.run for row in (*results.rows, *results.skipped)}
    show_synced(sync_mlflow(options.run.resolve().parent / folder), CONSOLE)
    return 0


def _evaluate_file(options: argparse.Namespace) -> int:
    from clinical_symile.api.external import evaluate_file
    from clinical_symile.cli.console import CONSOLE, show_benchmark

    made = evaluate_file(
        predictions=options.predictions,
        embeddings=options.embeddings,
        scores=options.scores,
        out=options.out,
        store=options.store,
        name=options.name,
        objective=options.objective,
        similarity=options.similarity,
        tasks=options.tasks,
        catalog=options.catalog,
    )
    show_benchmark(made, CONSOLE, verbose=options.verbose)
    return 0


def _objectives() -> list[str]:
    from clinical_symile.registry.families import OBJECTIVES

    return list(OBJECTIVES)

"""`clinical-symile evaluate`: evaluate a run, or the file of an external model, on tasks."""

import argparse
from pathlib import Path

from clinical_symile.cli.arguments import STORE, add_tasks, complete_by, name_list, run_folder_name

# What each kind of model needs, and what it takes no notice of and why.
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
        "missingness": "the column missingness of FILE says it",
        "missing_query": "FILE has been scored",
    },
    "embeddings": {
        "missingness": "they are scored under the patterns of the tasks",
        "missing_query": "the objective has its own rule",
        "training_store": "only a RUN has one",
    },
    "scores": {
        "objective": "they are scores already",
        "similarity": "they are scores already",
        "training_store": "only a RUN has one",
        "missingness": "the column missingness of FILE says it",
        "missing_query": "FILE has been scored",
    },
}


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("run", metavar="RUN", type=Path, nargs="?", help="a run's folder")
    model.add_argument(
        "--predictions", metavar="FILE", type=Path, help="probabilities, as CSV or Parquet"
    )
    model.add_argument(
        "--embeddings", metavar="FILE", type=Path, help="embeddings, as CSV or Parquet"
    )
    model.add_argument(
        "--scores", metavar="FILE", type=Path, help="scores of candidates, as CSV or Parquet"
    )
    parser.add_argument(
        "--store", metavar="STORE", type=Path, help=f"{STORE}; not needed if FILE has labels"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="a benchmark's folder, for FILE, or for RUN on another cohort",
    )
    parser.add_argument(
        "--name", type=run_folder_name, help="of the new run; without it, from FILE or RUN"
    )
    parser.add_argument(
        "--training-store",
        metavar="STORE",
        type=Path,
        help="of RUN on another cohort: what it was trained on; without it, the recorded place",
    )
    objective = parser.add_argument(
        "--objective", metavar="NAME", help="of FILE's embeddings: whose score ranks them"
    )
    complete_by(objective, lambda _: _objectives())
    parser.add_argument(
        "--similarity",
        choices=("cosine", "dot"),
        help="of FILE's embeddings: scale them to length 1, or take them as they are; without it, "
        "as the objective says",
    )
    add_tasks(parser)
    parser.add_argument(
        "--missingness", metavar="P,Q", type=name_list, help="patterns instead of the tasks' own"
    )
    parser.add_argument(
        "--missing-query",
        choices=("marginalize", "mean_bank", "drop"),
        help="of RUN: the rule by which the score treats a missing query modality; without it, "
        "the objective's own",
    )


def run_evaluate(options: argparse.Namespace) -> int:
    """Evaluate a model and print its results."""
    _check_options(options)
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
    from clinical_symile.api.runs import evaluate, sync_mlflow
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
        show_benchmark(made, CONSOLE)
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
    show_results(results, CONSOLE)
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
    show_benchmark(made, CONSOLE)
    return 0


def _objectives() -> list[str]:
    from clinical_symile.registry.families import OBJECTIVES

    return list(OBJECTIVES)

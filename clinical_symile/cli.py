"""The command line. Each verb imports what it needs, so that `--help` and `list` answer at once."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clinical_symile import __version__
from clinical_symile.errors import ClinicalSymileError

LISTS = (
    "cohorts",
    "tasks",
    "reports",
    "objectives",
    "encoders",
    "modalities",
    "metrics",
    "missingness",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a user's mistake ends it with a sentence and exit status 1."""
    options = _parser().parse_args(arguments)
    try:
        status = options.verb(options)
    except ClinicalSymileError as error:
        print("\n".join(f"error: {problem}" for problem in error.problems), file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        status = 130
    sys.exit(status or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clinical-symile",
        description="Which way of learning from chest X-ray, ECG and labs together holds up when "
        "some of them are missing?",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--catalog",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="a directory with cohorts/, tasks/ or reports/ of your own; may be repeated",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("list", help="what there is to choose from")
    verb.set_defaults(verb=_list)
    verb.add_argument("what", nargs="?", choices=LISTS, help="one kind; without it, all of them")

    verb = verbs.add_parser("check", help="read every definition and report every problem")
    verb.set_defaults(verb=_check)

    verb = verbs.add_parser("doctor", help="what this machine has and what is amiss")
    verb.set_defaults(verb=_doctor)

    verb = verbs.add_parser("prepare", help="raw files of a cohort to a store")
    verb.set_defaults(verb=_prepare)
    verb.add_argument("cohort", metavar="COHORT")
    verb.add_argument("--source", metavar="DIR", type=Path, required=True, help="the raw files")
    verb.add_argument("--out", metavar="STORE", type=Path, required=True, help="the store to write")
    _add_generate(verb)

    verb = verbs.add_parser("train", help="learn embeddings as a pretraining task says")
    verb.set_defaults(verb=_train)
    verb.add_argument("task", metavar="TASK", help="such as pretraining/symile")
    verb.add_argument("--store", metavar="STORE", type=Path, required=True)
    verb.add_argument("--out", metavar="RUNS", type=Path, required=True, help="folder of runs")
    verb.add_argument("--name", help="of the run; without it, from the task and the seed")
    verb.add_argument("--seed", type=int, default=0)
    _add_set(verb)
    _add_devices(verb)

    verb = verbs.add_parser("evaluate", help="score a run on tasks under missingness")
    verb.set_defaults(verb=_evaluate)
    verb.add_argument("run", metavar="RUN", type=Path, help="a run's folder")
    verb.add_argument("--store", metavar="STORE", type=Path, required=True)
    verb.add_argument("--tasks", metavar="A,B", type=_names, default=["*"], help="without it, all")
    verb.add_argument("--missingness", metavar="P,Q", type=_names, help="instead of the tasks' own")

    verb = verbs.add_parser("benchmark", help="all that a report needs and is not there yet")
    verb.set_defaults(verb=_benchmark)
    verb.add_argument("report", metavar="REPORT")
    verb.add_argument("--cohort", metavar="COHORT", required=True)
    verb.add_argument("--out", metavar="DIR", type=Path, required=True)
    verb.add_argument("--source", metavar="DIR", type=Path, help="the raw files")
    verb.add_argument("--pretraining", metavar="A,B", type=_names, help="instead of the report's")
    verb.add_argument("--tasks", metavar="A,B", type=_names, help="instead of the report's")
    verb.add_argument("--seeds", metavar="I,J", type=_seeds, help="instead of the report's")
    _add_generate(verb)
    _add_set(verb)
    _add_devices(verb)

    verb = verbs.add_parser("report", help="render a report of a benchmark's folder again")
    verb.set_defaults(verb=_report)
    verb.add_argument("report", metavar="REPORT")
    verb.add_argument("--out", metavar="DIR", type=Path, required=True)
    return parser


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="set a field of the pretraining task, such as epochs=10; may be repeated",
    )


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--generate",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="set a parameter of a made-up cohort, such as synergy=0.5; may be repeated",
    )


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--devices", type=int, default=1, help="how many (default: 1)")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _seeds(text: str) -> list[int]:
    try:
        return [int(name) for name in _names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}'; expected numbers such as 0,1,2") from None


def _list(options: argparse.Namespace) -> int:
    from clinical_symile.listing import listing

    print(listing(options.catalog, [options.what] if options.what else LISTS))
    return 0


def _check(options: argparse.Namespace) -> int:
    from clinical_symile.check import check

    problems, notes = check(options.catalog)
    print("\n".join(notes))
    print("\n".join(f"error: {problem}" for problem in problems), file=sys.stderr)
    return 1 if problems else 0


def _doctor(options: argparse.Namespace) -> int:
    from clinical_symile.doctor import examine

    findings = examine(options.catalog)
    for finding in findings:
        print(finding)
    return 0 if all(finding.well for finding in findings) else 1


def _prepare(options: argparse.Namespace) -> int:
    from clinical_symile.catalog import open_catalog
    from clinical_symile.source import prepare_cohort
    from clinical_symile.terminal import CONSOLE, progress_bar, show_store

    store = prepare_cohort(
        open_catalog(options.catalog),
        options.cohort,
        source=options.source,
        out=options.out,
        generate=options.generate,
        bar=progress_bar,
    )
    show_store(store, CONSOLE)
    return 0


def _train(options: argparse.Namespace) -> int:
    from clinical_symile.benchmark import pretraining_task, run_name
    from clinical_symile.catalog import open_catalog
    from clinical_symile.run import Run
    from clinical_symile.store import open_store
    from clinical_symile.terminal import CONSOLE, progress_bar, show_mirrored, show_training
    from clinical_symile.tracking import mirror, tracking_uri
    from clinical_symile.train import train

    task = pretraining_task(open_catalog(options.catalog), options.task, options.set)
    store = open_store(options.store)
    run = Run(options.out / (options.name or run_name(task.name, options.seed)))
    uri = tracking_uri(options.out)
    with progress_bar(f"Train {run.name}") as progress:
        train(
            task,
            store=store,
            run=run,
            seed=options.seed,
            accelerator=options.accelerator,
            devices=options.devices,
            on_epoch=lambda run: mirror(run.path, cohort=store.cohort, uri=uri),
            progress=progress,
        )
    show_training(run, CONSOLE)
    show_mirrored(mirror(run.path, cohort=store.cohort, uri=uri), uri, CONSOLE)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from clinical_symile.benchmark import applicable_tasks, evaluate_run
    from clinical_symile.catalog import open_catalog
    from clinical_symile.run import Run
    from clinical_symile.store import open_store
    from clinical_symile.terminal import CONSOLE, progress_bar, show_evaluation, show_mirrored
    from clinical_symile.tracking import mirror, tracking_uri

    run, store = Run(options.run), open_store(options.store)
    catalog = open_catalog(options.catalog)
    tasks, notes = applicable_tasks(catalog, store, patterns=options.tasks)
    with progress_bar(f"Evaluate {run.name}") as progress:
        evaluate_run(run, tasks, store=store, missingness=options.missingness, progress=progress)
    show_evaluation(run, tasks, notes, CONSOLE)
    uri = tracking_uri(run.path.parent)
    show_mirrored(mirror(run.path, cohort=store.cohort, uri=uri), uri, CONSOLE)
    return 0


def _benchmark(options: argparse.Namespace) -> int:
    from clinical_symile.benchmark import benchmark
    from clinical_symile.catalog import open_catalog
    from clinical_symile.terminal import CONSOLE, progress_bar, show_benchmark

    made = benchmark(
        options.report,
        catalog=open_catalog(options.catalog),
        cohort=options.cohort,
        out=options.out,
        source=options.source,
        pretraining=options.pretraining,
        tasks=options.tasks,
        seeds=options.seeds,
        generate=options.generate,
        overrides=options.set,
        accelerator=options.accelerator,
        devices=options.devices,
        bar=progress_bar,
    )
    show_benchmark(made, CONSOLE)
    return 0


def _report(options: argparse.Namespace) -> int:
    from clinical_symile.benchmark import render_report
    from clinical_symile.catalog import open_catalog

    page = render_report(options.report, catalog=open_catalog(options.catalog), out=options.out)
    print(f"Report: {page}")
    return 0

"""The command line. Each verb imports what it needs, so that `--help` and `list` answer at once."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

from clinical_symile.cli.parser import LISTS, parse_arguments, print_problems
from clinical_symile.errors import ClinicalSymileError, Problem

# A full disk, a folder without permission, a file where a folder must be.
FOR_THE_USER = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a user's mistake ends it with a sentence and exit status 1."""
    options = parse_arguments(arguments)
    try:
        status = VERBS[options.verb](options)
        sys.stdout.flush()
    except ClinicalSymileError as error:
        print_problems(error.problems)
        status = 1
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing may be flushed into the pipe any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        if error.errno not in FOR_THE_USER:
            raise
        sentence = f"{error.filename or 'disk'}: {error.strerror}. Fix it and run this again."
        print_problems([Problem(sentence, "CS-U002")])
        status = 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        status = 130
    sys.exit(status)


def _list(options: argparse.Namespace) -> int:
    from clinical_symile.cli.list import list_catalog

    print(list_catalog(options.catalog, [options.what] if options.what else LISTS))
    return 0


def _check(options: argparse.Namespace) -> int:
    if options.plugin is not None:
        from clinical_symile.evaluation.leak_checks.plugin import check_plugin

        print("\n".join(check_plugin(options.plugin)))
        return 0
    if options.canary is not None:
        from clinical_symile.evaluation.leak_checks.check import check_no_leakage

        print(check_no_leakage(options.canary))
        return 0
    from clinical_symile.cli.check import check_definitions, check_source

    problems, notes = check_definitions(options.catalog)
    if options.cohort is not None:
        try:
            found = check_source(options.catalog, options.cohort, source=options.source)
        except ClinicalSymileError as error:
            found = error.problems
        problems = list(dict.fromkeys([*problems, *found]))
        notes += [f"{options.cohort}: its query fits the tables of {options.source}."] * (not found)
    print("\n".join(notes), flush=True)
    print_problems(problems)
    return 1 if problems else 0


def _doctor(options: argparse.Namespace) -> int:
    from clinical_symile.cli.doctor import run_doctor

    findings = run_doctor(options.catalog, store=options.store)
    for finding in findings:
        print(finding)
    return 0 if all(finding.well for finding in findings) else 1


def _init(options: argparse.Namespace) -> int:
    from clinical_symile.cli.init import init_cohort, init_cohort_from

    check = f"clinical-symile --catalog {options.at} check"
    if options.raw is None:
        written, notes = init_cohort(options.cohort, at=options.at, like=options.like), ()
    else:
        written, notes = init_cohort_from(options.cohort, at=options.at, raw=options.raw)
        check += f" --cohort {options.cohort} --source {options.raw}"
        notes = (*notes, "Look for TODO in these files: the tables do not say it.")
    print("\n".join([*map(str, written), *notes, f"Now `{check}`."]))
    return 0


def _prepare(options: argparse.Namespace) -> int:
    from clinical_symile.cli.console import CONSOLE, show_selected, show_store
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.data.prepare_cohort import count_cohort, prepare_cohort
    from clinical_symile.tracking.progress import progress_bar

    if options.dry_run:
        selected = count_cohort(
            open_catalog(options.catalog),
            options.cohort,
            source=options.source,
            generate=options.generate,
            bar=progress_bar,
        )
        show_selected(selected, CONSOLE)
        return 0
    was_there = (options.out / "manifest.json").is_file()
    store = prepare_cohort(
        open_catalog(options.catalog),
        options.cohort,
        source=options.source,
        out=options.out,
        generate=options.generate,
        bar=progress_bar,
    )
    show_store(store, CONSOLE)
    if was_there:
        CONSOLE.print(
            "Already there; nothing was read. Remove it to read changed recordings again."
        )
    return 0


def _audit(options: argparse.Namespace) -> int:
    from clinical_symile.data.audit.audit import audit_store
    from clinical_symile.data.store import open_store

    findings = audit_store(open_store(options.store), pretraining=options.pretraining)
    for finding in findings:
        print(finding)
        if options.samples and finding.samples:
            print(f"        samples {', '.join(map(str, finding.samples))}")
    if not options.samples and any(finding.samples for finding in findings):
        print("With --samples, this names the samples of each finding.")
    return max(finding.severity for finding in findings).status


def _card(options: argparse.Namespace) -> int:
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.data.croissant import write_croissant
    from clinical_symile.data.store import open_store
    from clinical_symile.reporting.cohort_card import render_card

    store, beside = open_store(options.store), options.out.with_suffix(".croissant.json")
    template = open_catalog(options.catalog).path("reports", "cohort_card")
    render_card(store, report=template, out=options.out)
    write_croissant(store, out=beside)
    print(f"Card: {options.out}\nCroissant: {beside}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from clinical_symile.api.runs import train
    from clinical_symile.cli.console import CONSOLE, show_synced, show_training
    from clinical_symile.tracking.mlflow import sync_run

    run = train(
        options.task,
        options.store,
        out=options.out,
        name=options.name,
        seed=options.seed,
        overrides=options.set,
        accelerator=options.accelerator,
        devices=options.devices,
        catalog=options.catalog,
        on_epoch=sync_run,
    )
    show_training(run, CONSOLE)
    show_synced(sync_run(run), CONSOLE)
    return 0


def _import_checkpoint(options: argparse.Namespace) -> int:
    from clinical_symile.api.runs import import_checkpoint

    run, notes = import_checkpoint(
        options.file, options.store, out=options.out, name=options.name, catalog=options.catalog
    )
    print("\n".join([*notes, f"{run.path}: ready for `clinical-symile evaluate`."]))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    return _evaluate_run(options) if options.run else _evaluate_file(options)


def _evaluate_file(options: argparse.Namespace) -> int:
    from clinical_symile.benchmarking.external import (
        ExternalRun,
        add_embeddings,
        add_predictions,
        add_scores,
    )
    from clinical_symile.cli.console import CONSOLE, show_benchmark
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.data.external.tables import file_stem
    from clinical_symile.tracking.progress import progress_bar

    file = options.predictions or options.embeddings or options.scores
    target = ExternalRun(
        name=options.name or file_stem(file).replace(" ", "_"),
        out=options.out,
        store=options.store,
        tasks=tuple(options.tasks),
        catalog=open_catalog(options.catalog),
        bar=progress_bar,
    )
    if options.predictions:
        made = add_predictions(file, target)
    elif options.scores:
        made = add_scores(file, target)
    else:
        made = add_embeddings(
            file, target, objective=options.objective, similarity=options.similarity
        )
    show_benchmark(made, CONSOLE)
    return 0


def _evaluate_run(options: argparse.Namespace) -> int:
    from clinical_symile.cli.console import CONSOLE, show_evaluation, show_synced
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.data.store import open_store
    from clinical_symile.evaluation.task_selection import applicable_patterns, applicable_tasks
    from clinical_symile.tracking.mlflow import sync_run
    from clinical_symile.tracking.progress import progress_bar
    from clinical_symile.tracking.run import Run

    run, store = Run(options.run), open_store(options.store)
    tasks, notes = applicable_tasks(open_catalog(options.catalog), store, patterns=options.tasks)
    patterns = None
    if options.missingness is not None:
        patterns, unasked = applicable_patterns(tasks, options.missingness)
        tasks = [task for task in tasks if patterns[task.name]]
        notes += unasked
    from clinical_symile.evaluation.analysis.analyze import analyze_run
    from clinical_symile.evaluation.runner import evaluate_run  # PyTorch takes seconds, as above

    with progress_bar(f"Evaluate {run.name}") as progress:
        evaluate_run(run, tasks, store=store, missingness=patterns, progress=progress)
    with progress_bar(f"Assess {run.name}") as progress:
        analyze_run(run, tasks, store=store, progress=progress)
    show_evaluation(run, tasks, notes, CONSOLE)
    show_synced(sync_run(run), CONSOLE)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from clinical_symile.cli.console import CONSOLE, show_comparisons
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.data.store import open_store
    from clinical_symile.evaluation.compare import compare_all
    from clinical_symile.evaluation.task_selection import applicable_tasks
    from clinical_symile.tracking.progress import progress_bar
    from clinical_symile.tracking.results import write_rows
    from clinical_symile.tracking.run import Run

    runs, store = [Run(path) for path in options.runs], open_store(options.store)
    tasks, notes = applicable_tasks(open_catalog(options.catalog), store, patterns=options.tasks)
    with progress_bar("Compare") as progress:
        comparisons, lost = compare_all(
            runs, tasks, store=store, margin=options.margin, progress=progress
        )
    out = options.out or options.runs[0].resolve().parent
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("comparisons", comparisons), ("losses", lost)):
        write_rows(out / f"{name}.jsonl", rows)
    show_comparisons(comparisons, lost, notes, CONSOLE)
    CONSOLE.print(f"Differences {out / 'comparisons.jsonl'}, {out / 'losses.jsonl'}")
    return 0


def _benchmark(options: argparse.Namespace) -> int:
    from clinical_symile.benchmarking.spec import BenchmarkSpec, plan_benchmark
    from clinical_symile.cli.console import CONSOLE, show_benchmark
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.tracking.progress import progress_bar

    def chosen(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
        return None if values is None else tuple(values)

    catalog = open_catalog(options.catalog)
    spec = BenchmarkSpec(
        report=options.report,
        cohort=options.cohort,
        pretraining=chosen(options.pretraining),
        tasks=chosen(options.tasks),
        baselines=chosen(options.baselines),
        seeds=chosen(options.seeds),
        margin=options.margin,
        generate=tuple(options.generate),
        overrides=tuple(options.set),
        accelerator=options.accelerator,
        devices=options.devices,
    )
    plan_benchmark(spec, catalog=catalog)
    from clinical_symile.benchmarking.run import benchmark  # PyTorch takes seconds, as above

    made = benchmark(
        spec, catalog=catalog, out=options.out, source=options.source, bar=progress_bar
    )
    show_benchmark(made, CONSOLE)
    return 0


def _report(options: argparse.Namespace) -> int:
    from clinical_symile.config.catalog import open_catalog
    from clinical_symile.reporting.benchmark_report import render_report

    page = render_report(options.report, catalog=open_catalog(options.catalog), out=options.out)
    print(f"Report: {page}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from clinical_symile.api.reports import export

    written = export(
        options.folder, formats=options.format, into=options.to, catalog=options.catalog
    )
    print("\n".join(map(str, written)))
    return 0


def _show(options: argparse.Namespace) -> int:
    from clinical_symile.cli.show import show_definition

    print(show_definition(options.catalog, options.what, options.name), end="")
    return 0


def _explain(options: argparse.Namespace) -> int:
    from clinical_symile.cli.explain import explain_code, list_codes

    print(list_codes() if options.code is None else explain_code(options.code))
    return 0


def _schema(options: argparse.Namespace) -> int:
    from clinical_symile.cli.show import definition_schema

    print(definition_schema(options.what))
    return 0


VERBS = {
    "list": _list,
    "show": _show,
    "explain": _explain,
    "schema": _schema,
    "check": _check,
    "doctor": _doctor,
    "init": _init,
    "prepare": _prepare,
    "audit": _audit,
    "card": _card,
    "train": _train,
    "import-checkpoint": _import_checkpoint,
    "evaluate": _evaluate,
    "compare": _compare,
    "benchmark": _benchmark,
    "report": _report,
    "export": _export,
}

"""Train, evaluate and compare runs and your own models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from clinical_symile.api._arguments import (
    DEFAULT_TASKS,
    PathLike,
    Paths,
    Settings,
    as_names,
    as_overrides,
    as_run,
    choose_bar,
    open_definitions,
)
from clinical_symile.config.tasks.read import Pretraining, Task, pretraining_task
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.data.store_manifest import is_synthetic
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.task_selection import (
    EvaluationTask,
    applicable_patterns,
    applicable_tasks,
    run_name,
)
from clinical_symile.registry.names import path_in
from clinical_symile.reporting.results import Comparisons, Results
from clinical_symile.reporting.run_data import read_runs, task_table
from clinical_symile.tracking.disclosure import TOO_FEW, shareable, withheld_patterns
from clinical_symile.tracking.progress import ProgressBar
from clinical_symile.tracking.run import Run


def train(
    task: str | Task,
    store: PathLike | CohortStore,
    *,
    out: PathLike,
    name: str | None = None,
    seed: int = 0,
    overrides: Settings = (),
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    deterministic: bool = False,
    catalog: Paths = (),
    on_epoch: Callable[[Run], object] | None = None,
    progress: bool = True,
) -> Run:
    """Train encoders as a pretraining task says; a finished run is returned as it is.

    Args:
        task: a name such as `pretraining/symile`, or what `get_task` returned.
        store: what to train on.
        out: the folder of runs.
        name: the name of the run's folder; without it, made of the task and the seed.
        seed: seed of weights, batches, missingness and negatives.
        overrides: fields of the task to change, such as `{"epochs": 2, "encoders.ecg.width": 4}`.
        accelerator: `auto`, `cpu` or `cuda`.
        devices: number of GPUs.
        nodes: number of machines, each with `devices` GPUs; `torchrun` or `srun` starts the program
            on each of them.
        deterministic: use algorithms that give the same bits every time, also on CUDA; the run's
            record says what a step then costs.
        catalog: folders with definitions of your own.
        on_epoch: called with the run after each epoch is written.
        progress: show a progress bar on a terminal or in a notebook.

    Returns:
        The run.

    Raises:
        DefinitionError: the task or an override is wrong.
        DataError: the run's folder holds another run, or the store has too few samples.

    Examples:
        >>> small = {"epochs": 1, "dim": 8, "encoders.ecg.sampling_rate_hz": 20}
        >>> task = "pretraining/symile"
        >>> run = cs.train(task, "store", out="runs", name="small", overrides=small)
        >>> run.is_finished
        True
    """
    if isinstance(task, str):
        task = pretraining_task(open_definitions(catalog), task, as_overrides(overrides))
    elif overrides:
        raise DefinitionError(
            "overrides are for the name of a task. Give them to get_task.", code="CS-F024"
        )
    if not isinstance(task, Pretraining):
        raise DefinitionError(
            f"task '{task.name}' is of kind {task.kind}; expected pretraining. Name another task.",
            code="CS-F011",
        )
    opened = open_store(store)
    run = Run(path_in(Path(out), name or run_name(task.name, seed)))
    from clinical_symile.training import train as training  # PyTorch takes seconds to load

    with choose_bar(progress)(f"Train {run.name}") as update:
        return training.train(
            task,
            store=opened,
            run=run,
            seed=seed,
            accelerator=accelerator,
            devices=devices,
            nodes=nodes,
            deterministic=deterministic,
            on_epoch=on_epoch or (lambda run: None),
            progress=update,
        )


def import_checkpoint(
    file: PathLike,
    store: PathLike | CohortStore,
    *,
    out: PathLike,
    name: str = "released",
    catalog: Paths = (),
) -> tuple[Run, list[str]]:
    """Read the released Symile-MIMIC model as a run.

    Args:
        file: a checkpoint that Lightning wrote.
        store: a prepared Symile-MIMIC cohort.
        out: the folder of runs.
        name: the name of the run's folder.
        catalog: folders with definitions of your own.

    Returns:
        The run, and notes on what differs from a run that was trained here.

    Raises:
        DataError: the file is no such checkpoint, or does not fit the store.
    """
    definitions, opened = open_definitions(catalog), open_store(store)
    run = Run(path_in(Path(out), name))
    from clinical_symile.training import import_checkpoint as importing  # loads PyTorch

    notes = importing.import_checkpoint(Path(file), catalog=definitions, store=opened, run=run)
    return run, list(notes)


def evaluate(
    model: PathLike | Run | Any,
    store: PathLike | CohortStore,
    *,
    tasks: str | Sequence[str] = DEFAULT_TASKS,
    missingness: str | Sequence[str] | None = None,
    missing_query: str | None = None,
    objective: str | Any | None = None,
    name: str | None = None,
    out: PathLike | None = None,
    training_store: PathLike | CohortStore | None = None,
    catalog: Paths = (),
    progress: bool = True,
) -> Results:
    """Evaluate a run, or any object that embeds samples, on tasks under missingness patterns.

    A run keeps its results in its folder, and what was scored before is not scored again. On
    another cohort than it was trained on (external validation), its results are kept in a folder of
    their own. Its name has the training cohort.

    Args:
        model: a run, its folder, or an object with `embed(store, rows) -> Embeddings`.
        store: what to evaluate on.
        tasks: names or patterns such as `retrieval/*`; `!` before a pattern takes away.
        missingness: patterns such as `complete` and `mcar-30`, instead of the tasks' own.
        missing_query: the rule by which a run's score treats a missing query modality:
            `marginalize`, `mean_bank` or `drop`; without it, the objective's own. Results by
            another rule are replaced. Only objectives whose score is a product, such as `symile`,
            have such a rule.
        objective: the objective whose score ranks candidates for an object, such as `clip`; without
            it, the object's attribute `objective`.
        name: the name of an object, or of a run on another cohort, in the results; without it,
            the class, or the run and its training cohort.
        out: a folder of runs that keeps the results of an object or another cohort for `compare`.
        training_store: the store that the run was trained on, if `store` is another cohort;
            without it, its recorded place.
        catalog: folders with definitions of your own.
        progress: show a progress bar on a terminal or in a notebook.

    Returns:
        The results of these tasks and patterns.

    Raises:
        DefinitionError: a task or pattern does not exist or does not apply, or the objective has
            no rule for missing query modalities.
        DataError: the run was trained on another store, or embeddings do not fit the store.

    Examples:
        >>> task = "retrieval/cxr_given_ecg_labs"
        >>> results = cs.evaluate("runs/symile-0", "store", tasks=task)
        >>> results.primary.to_frame()["metric"].unique().tolist()
        ['recall_at_1']
    """
    opened = open_store(store)
    selected, notes = applicable_tasks(open_definitions(catalog), opened, patterns=as_names(tasks))
    patterns = None
    if missingness is not None:
        patterns, not_applicable = applicable_patterns(selected, as_names(missingness))
        selected = [task for task in selected if patterns[task.name]]
        notes += not_applicable
    run = as_run(model) if isinstance(model, str | Path | Run) else None
    if run is not None:
        options = {"training_store": training_store, "out": out, "name": name}
        run, differences = _evaluate_run(
            run, selected, opened, patterns, missing_query, options, choose_bar(progress)
        )
        results, skipped = run.results, run.unscored
        notes = [*differences, *notes]
    elif missing_query is not None:
        raise DefinitionError(
            "missing_query is for runs; expected None for an object. Set `missing_query` of the "
            "objective that scores its embeddings.",
            code="CS-F024",
        )
    else:
        results, skipped = _evaluate_object(
            model, selected, opened, patterns, objective, name, out, choose_bar(progress)
        )
    made = _selected_results(selected, patterns, results, skipped, notes, run)
    return replace(made, synthetic=is_synthetic(opened.manifest))


def compare(
    runs: Sequence[PathLike | Run],
    store: PathLike | CohortStore,
    *,
    tasks: str | Sequence[str] = DEFAULT_TASKS,
    margin: float | None = None,
    catalog: Paths = (),
    progress: bool = True,
) -> Comparisons:
    """Compare evaluated runs on the same samples by paired bootstrap and tests.

    Args:
        runs: two or more runs or their folders.
        store: what they were evaluated on.
        tasks: names or patterns of tasks.
        margin: the loss that still counts as harmless, instead of the tasks' own.
        catalog: folders with definitions of your own.
        progress: show a progress bar on a terminal or in a notebook.

    Returns:
        The differences of each pair and the losses of each run under missingness.

    Raises:
        DataError: fewer than two runs, or runs with no task and pattern in common.

    Examples:
        >>> found = cs.compare(["runs/symile-0", "runs/clip-0"], "store")
        >>> {"difference", "low", "high", "p_holm"} <= set(found.to_frame())
        True
    """
    from clinical_symile.evaluation.analysis.net_benefit_differences import net_benefit_differences
    from clinical_symile.evaluation.compare import compare_all

    opened = open_store(store)
    selected, notes = applicable_tasks(open_definitions(catalog), opened, patterns=as_names(tasks))
    notes += [
        f"task '{task.name}' is a diagnostic: it describes one model, and is not compared."
        for task in selected
        if task.kind == "diagnostic"
    ]
    compared, tables = [as_run(run) for run in runs], _task_tables(selected)
    with choose_bar(progress)("Compare") as update:
        rows, losses = compare_all(compared, selected, store=opened, margin=margin, progress=update)
    benefits = net_benefit_differences(list(combinations(compared, 2)), selected, store=opened)
    data = partial(read_runs, compared, tables)
    # What rests on fewer than ten people stays in the folders of the runs.
    hidden = withheld_patterns(row for run in compared for row in run.results)
    shown, losses_shown = shareable(rows, hidden), shareable(losses, hidden)
    if withheld := len(rows) + len(losses) - len(shown) - len(losses_shown):
        notes = [*notes, f"{withheld} differences are withheld: {TOO_FEW}."]
    shown_benefits = tuple(shareable(benefits, hidden))
    return Comparisons(
        tuple(shown),
        tuple(losses_shown),
        tuple(notes),
        tables,
        data,
        shown_benefits,
        is_synthetic(opened.manifest),
    )


def _selected_results(
    selected: Sequence[EvaluationTask],
    patterns: Mapping[str, Sequence[str]] | None,
    results: Sequence[Any],
    skipped: Sequence[Any],
    notes: Sequence[str],
    run: Run | None,
) -> Results:
    """Return the results of the selected tasks and patterns alone; `run` has what they are of."""
    tables = _task_tables(selected)
    wanted = {
        (task.name, pattern)
        for task in selected
        for pattern in (task.missingness if patterns is None else patterns[task.name])
    }
    return Results(
        tuple(row for row in results if (row.task, row.missingness) in wanted),
        tuple(row for row in skipped if (row.task, row.missingness) in wanted),
        tables,
        tuple(notes),
        None if run is None else partial(read_runs, [run], tables),
    )


def _task_tables(tasks: Sequence[EvaluationTask]) -> dict[str, dict[str, Any]]:
    return {task.name: task_table(task) for task in tasks}


def _evaluate_run(
    run: Run,
    tasks: Sequence[EvaluationTask],
    store: CohortStore,
    patterns: Mapping[str, Sequence[str]] | None,
    missing_query: str | None,
    options: Mapping[str, Any],
    bar: ProgressBar,
) -> tuple[Run, Sequence[str]]:
    """Evaluate a run on its own cohort or on another one; return the run with the results."""
    from clinical_symile.evaluation.analysis.analyze import analyze_run
    from clinical_symile.evaluation.external_validation import (
        check_own_options,
        evaluate_other_cohort,
        is_other_cohort,
        open_validation,
        other_cohort_folder,
    )
    from clinical_symile.evaluation.runner import evaluate_run

    made, notes = run, ()
    if is_other_cohort(run, store):
        given = options["training_store"]
        validation = open_validation(
            run,
            store,
            training=None if given is None else open_store(given),
            missing_query=missing_query,
        )
        out, name = options["out"], options["name"]
        made = other_cohort_folder(validation, out=None if out is None else Path(out), name=name)
        store, notes = validation.store, validation.notes
        with bar(f"Evaluate {made.name}") as update:
            evaluate_other_cohort(
                validation, tasks, target=made, missingness=patterns, progress=update
            )
    else:
        check_own_options(store, options)
        with bar(f"Evaluate {run.name}") as update:
            evaluate_run(
                run,
                tasks,
                store=store,
                missingness=patterns,
                missing_query=missing_query,
                progress=update,
            )
    with bar(f"Analyze {made.name}") as update:
        analyze_run(made, tasks, store=store, progress=update)
    return made, notes


def _evaluate_object(
    model: Any,
    tasks: Sequence[EvaluationTask],
    store: CohortStore,
    patterns: Mapping[str, Sequence[str]] | None,
    objective: Any,
    name: str | None,
    out: PathLike | None,
    bar: ProgressBar,
) -> tuple[Sequence[Any], Sequence[Any]]:
    from clinical_symile.evaluation.own_model import evaluate_model

    name = name or type(model).__name__
    run = None if out is None else Run(path_in(Path(out), name))
    with bar(f"Evaluate {name}") as update:
        return evaluate_model(
            model,
            tasks,
            store=store,
            name=name,
            objective=objective,
            missingness=patterns,
            run=run,
            progress=update,
        )

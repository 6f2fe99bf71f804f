"""Evaluate the files of external models."""

from collections.abc import Sequence
from pathlib import Path

from clinical_symile.api._arguments import (
    DEFAULT_TASKS,
    PathLike,
    Paths,
    as_names,
    as_run,
    choose_bar,
    open_definitions,
)
from clinical_symile.data.external.tables import file_stem
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.tracking.run import Run


def evaluate_file(
    *,
    predictions: PathLike | None = None,
    embeddings: PathLike | None = None,
    scores: PathLike | None = None,
    out: PathLike,
    store: PathLike | None = None,
    name: str | None = None,
    objective: str | None = None,
    similarity: str | None = None,
    tasks: str | Sequence[str] = DEFAULT_TASKS,
    catalog: Paths = (),
    progress: bool = True,
) -> Benchmark:
    """Evaluate the file of an external model beside the runs of a benchmark.

    Args:
        predictions: probabilities of outcomes, as CSV or Parquet. Give one of the three files.
        embeddings: embeddings of recordings, as CSV or Parquet.
        scores: scores of candidates, as CSV or Parquet.
        out: the benchmark's folder.
        store: what the file is about; predictions with labels need none.
        name: of the run in the results; without it, from the file's name.
        objective: for embeddings: the objective whose score ranks candidates, such as `clip`.
        similarity: for embeddings: `cosine` scales them to length 1, `dot` takes them as they are;
            without it, as the objective says.
        tasks: names or patterns such as `retrieval/*`.
        catalog: folders with definitions of your own.
        progress: show progress bars on a terminal or in a notebook.

    Returns:
        The folder's results with the external model among them.

    Raises:
        ValueError: not exactly one file is given, or embeddings have no objective.
        DataError: the file is wrong, or does not fit the store or the folder.
    """
    from clinical_symile.benchmarking import external  # PyTorch takes seconds to load

    given = [file for file in (predictions, embeddings, scores) if file is not None]
    if len(given) != 1:
        raise ValueError(f"{len(given)} files; expected predictions, embeddings or scores.")
    if embeddings is not None and objective is None:
        raise ValueError("embeddings need an objective; expected a name such as 'clip'.")
    file = Path(given[0])
    if not name:
        advice = "Give one with --name, or rename the file."
        name = check_run_name(file_stem(file).replace(" ", "_"), where=str(file), advice=advice)
    target = external.ExternalRun(
        name=name,
        out=Path(out),
        store=None if store is None else Path(store),
        tasks=tuple(as_names(tasks)),
        catalog=open_definitions(catalog),
        bar=choose_bar(progress),
    )
    if predictions is not None:
        return external.add_predictions(file, target)
    if scores is not None:
        return external.add_scores(file, target)
    return external.add_embeddings(file, target, objective=str(objective), similarity=similarity)


def add_run_to_benchmark(
    run: PathLike | Run,
    store: PathLike | CohortStore,
    *,
    out: PathLike,
    name: str | None = None,
    training_store: PathLike | CohortStore | None = None,
    tasks: str | Sequence[str] = DEFAULT_TASKS,
    catalog: Paths = (),
    progress: bool = True,
) -> Benchmark:
    """Evaluate a run on another cohort beside the runs of that cohort's benchmark.

    Args:
        run: a run that was trained on another cohort, or its folder.
        store: the cohort to evaluate on.
        out: the benchmark's folder, or a new one.
        name: of the results; without it, the run's and that of the training cohort.
        training_store: the store that the run was trained on; without it, its recorded place.
        tasks: names or patterns such as `retrieval/*`.
        catalog: folders with definitions of your own.
        progress: show progress bars on a terminal or in a notebook.

    Returns:
        The folder's results with the run among them.

    Raises:
        DataError: the store is of the run's own cohort, the cohorts differ in what cannot be
            reconciled, or the folder is of another store.
    """
    from clinical_symile.benchmarking import external  # PyTorch takes seconds to load
    from clinical_symile.evaluation.external_validation import (
        check_own_options,
        is_other_cohort,
        open_validation,
    )

    trained, opened = as_run(run), open_store(store)
    if not is_other_cohort(trained, opened):
        check_own_options(opened, {"out": out})
    training = None if training_store is None else open_store(training_store)
    validation = open_validation(trained, opened, training=training)
    target = external.ExternalRun(
        name=name or validation.name,
        out=Path(out),
        store=opened.path,
        tasks=tuple(as_names(tasks)),
        catalog=open_definitions(catalog),
        bar=choose_bar(progress),
    )
    return external.add_run_of_another_cohort(validation, target)

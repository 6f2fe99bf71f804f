"""Evaluate the best sum over pairs of modalities on a synthetic cohort's retrieval tasks."""

import shutil
from collections.abc import Sequence

from clinical_symile import __version__
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.predictors.oracle import OraclePredictor
from clinical_symile.evaluation.runner import evaluate_and_save
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.files import lock_folder
from clinical_symile.registry.base import load_object
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.provenance import now, provenance
from clinical_symile.tracking.run import Run

PAIR_SUMS = "pair-sums"
_DESCRIPTION = (
    "The best recall that a search finds for scores that are sums over pairs of modalities; it "
    "knows how the data were generated."
)


def evaluate_pair_sums(
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    run: Run,
    progress: Progress = lambda done, total: None,
) -> bool:
    """Evaluate the ceiling of sums over pairs and save it as the results of a baseline.

    A run above it uses what three modalities tell together and no pair tells. Where a query has one
    modality, the ceiling is the oracle.

    Args:
        tasks: the tasks; those that are not retrieval among a number of candidates are left out.
        store: the cohort.
        run: the folder of the results.
        progress: called with tasks done and all tasks.

    Returns:
        True if the cohort has such a ceiling and there was a task.
    """
    generator = store.manifest["generator"]
    chosen = [task for task in tasks if isinstance(task, Retrieval) and task.candidates != "all"]
    if generator is None or generator["oracle"] is None or not chosen:
        return False
    best = getattr(load_object(generator["oracle"], what="oracle"), "of_pair_sums", None)
    if best is None:
        return False
    same = {"baseline": PAIR_SUMS, "store_digest": store.digest, "version": __version__}
    with lock_folder(run.path):
        check_folder(run.path)
        if run.is_finished and all(run.metadata.get(key) == same[key] for key in same):
            known = {row.task for row in run.results}
        else:
            shutil.rmtree(run.path, ignore_errors=True)
            about = {"cohort": store.cohort, "started": now(), **provenance(), "finished": now()}
            definition = {"description": _DESCRIPTION}
            run.write_metadata({"name": run.name, **same, **about, "definition": definition})
            known = set[str]()
        for number, task in enumerate(chosen, start=1):
            if task.name not in known:
                predictor = OraclePredictor(best(store, candidates=int(task.candidates)), store)
                evaluate_and_save(run, task, predictor, store, seed=0, missingness=None)
            progress(number, len(chosen))
    return True

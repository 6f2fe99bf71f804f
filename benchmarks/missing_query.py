"""Compare the rules for a missing query modality, and sizes of the bank, on trained runs.

For each run, recall@1 is pooled over the six retrieval cells with one query modality missing, and
over the three tasks under `mcar-30` and `complete`. Intervals resample subjects; the oracle answers
the same queries under the same masks. Train the runs first:

    clinical-symile prepare synthetic --source source --out store
    clinical-symile train pretraining/symile --store store --out runs --seed 0    # and 1, 2

Run with `python benchmarks/missing_query.py store runs/symile-0 runs/symile-1 runs/symile-2`; the
table is kept in `benchmarks/results/missing_query.md`.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.evaluation.predictors.bank import draw_bank
from clinical_symile.evaluation.predictors.base import Predictor
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.predictors.oracle import OraclePredictor
from clinical_symile.evaluation.predictors.training_embeddings import training_embeddings
from clinical_symile.evaluation.retrieval import RetrievalEvaluator
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.registry.base import load_object
from clinical_symile.stats.bootstrap import bootstrap
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import load_learner

TASKS = tuple(
    f"retrieval/{name}"
    for name in ("cxr_given_ecg_labs", "ecg_given_cxr_labs", "labs_given_cxr_ecg")
)
BANKS = (32, 128, 512, 2048)
SETTINGS = ("one missing", "mcar-30", "complete")
HEAD = (
    "| run | rule | bank | one missing | share of attainable | mcar-30 | share | complete |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|\n"
)
INTRODUCTION = (
    "Recall@1, pooled over the synthetic cohort's three retrieval tasks, with 95 % intervals over "
    "subjects.\n`one missing`: each of the two query modalities in turn. `share of attainable`: "
    "divided by the oracle's\nrecall on the same queries. The bank holds train embeddings of the "
    "missing modality. `drop` is the\nauthors' protocol. Made by "
    "`python benchmarks/missing_query.py`.\n\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "missing_query.md"
    )
    options = parser.parse_args()
    catalog, store = open_catalog(), open_store(options.store)
    tasks = [read_task(catalog, name) for name in TASKS]
    retrievals = [task for task in tasks if isinstance(task, Retrieval)]
    generating = load_object(store.manifest["generator"]["oracle"], what="oracle")(store)
    oracle = OraclePredictor(generating, store)
    best = _recalls(oracle, retrievals, store)
    lines = [INTRODUCTION, HEAD, _line("oracle", "", None, best, best)]
    for path in options.runs:
        for rule, size, predictor in _rules(Run(path), store):
            recalls = _recalls(predictor, retrievals, store)
            lines.append(_line(path.name, f"`{rule}`", size, recalls, best))
            print(lines[-1], end="", flush=True)
    options.out.write_text("".join(lines), encoding="utf-8")
    print(options.out)


def _rules(run: Run, store: CohortStore) -> Iterator[tuple[str, int | None, EmbeddingPredictor]]:
    """Yield a run's predictor by each rule and size of the bank."""
    record = run.metadata
    task = parse_task(record["definition"], name=record["task"], where=str(run.path))
    assert isinstance(task, Pretraining)
    learner = load_learner(run, task, store)
    embeddings = embed_rows(learner.model, store, np.arange(len(store.samples)))
    predictor = EmbeddingPredictor(embeddings, learner.objective, store)
    train = training_embeddings(task, learner.model, embeddings, store, seed=record["seed"])
    yield "drop", None, predictor.with_rule("drop")
    for rule in ("mean_bank", "marginalize"):
        for size in BANKS if rule == "marginalize" else (512,):
            bank = draw_bank(train, size=size, seed=record["seed"])
            yield rule, size, replace(predictor.with_rule(rule), bank=bank)


def _recalls(
    predictor: Predictor, tasks: list[Retrieval], store: CohortStore
) -> dict[str, tuple[float, float, float]]:
    """Return recall@1 with its interval for each setting."""
    found: dict[str, tuple[float, float, float]] = {}
    for setting in SETTINGS:
        hits, rows = [], []
        for task in tasks:
            evaluator = RetrievalEvaluator(task, predictor, store)
            missing = [f"without-{name}" for name in task.query]
            for pattern in missing if setting == "one missing" else [setting]:
                outcome = evaluator.outcome(parse_pattern(pattern)).per_sample
                hits.append(np.where(outcome["above"] == 0, 1 / (outcome["tied"] + 1), 0.0))
                rows.append(outcome["row"].to_numpy())
        subjects = store.samples["subject"].to_numpy()[np.concatenate(rows)]
        drawn = bootstrap(
            np.mean, (np.concatenate(hits),), subjects, rng=np.random.default_rng(0), resamples=1000
        )
        found[setting] = (drawn.value, drawn.low, drawn.high)
    return found


def _line(
    run: str,
    rule: str,
    size: int | None,
    recalls: dict[str, tuple[float, float, float]],
    best: dict[str, tuple[float, float, float]],
) -> str:
    cells = {name: f"{v:.3f} [{low:.3f}, {high:.3f}]" for name, (v, low, high) in recalls.items()}
    shares = {name: f"{recalls[name][0] / best[name][0]:.2f}" for name in SETTINGS}
    return (
        f"| {run} | {rule} | {size or ''} | {cells['one missing']} | {shares['one missing']} | "
        f"{cells['mcar-30']} | {shares['mcar-30']} | {cells['complete']} |\n"
    )


if __name__ == "__main__":
    main()

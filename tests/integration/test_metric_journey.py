"""A metric passes eight files from the outcomes of samples to MLflow."""

from pathlib import Path

import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.runner import evaluate_and_save
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import sqlite_uri
from tests.helpers.metric_journey import files_that_work_on
from tests.helpers.mlflow_runs import RECORD
from tests.helpers.objective_values import registered
from tests.helpers.source import ROOT

JOURNEY = [
    "metrics/retrieval.py",
    "stats/bootstrap.py",
    "evaluation/evaluate.py",
    "tracking/run.py",
    "tracking/results.py",
    "tracking/records.py",
    "tracking/_mlflow_results.py",
    "tracking/_mlflow_copies.py",
]


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples", "copied_mlflow_tables")
def test_a_metric_passes_these_eight_files(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    present = torch.from_numpy(synthetic_store.present.copy())
    z = torch.randn(*present.shape, 5, generator=torch.Generator().manual_seed(0))
    embeddings = Embeddings(
        z=torch.nn.functional.normalize(z, dim=-1) * present[:, :, None],
        available=present,
        modalities=synthetic_store.modalities,
        rows=torch.arange(len(present)),
    )
    predictor = EmbeddingPredictor(embeddings, registered("symile", dim=5), synthetic_store)
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(task, Retrieval)
    task = task.model_copy(update={"metrics": ("median_rank",)})  # its interval is of the bootstrap
    record = {**RECORD, "finished": RECORD["started"]}
    first, traced = Run(tmp_path / "first"), Run(tmp_path / "traced")
    first.write_metadata(record)
    traced.write_metadata(record)
    evaluate_and_save(first, task, predictor, synthetic_store, 0, ["complete"])
    (result,) = first.results

    with files_that_work_on(result.value) as found:
        evaluate_and_save(traced, task, predictor, synthetic_store, 0, ["complete"])
        sync = sync_run(traced, uri=sqlite_uri(tmp_path / "mlflow.db"))

    assert sync.problem is None
    assert sorted(found) == sorted(JOURNEY), found


def test_the_documents_name_these_eight_files():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    after = text[text.index("A metric passes 8 files") :].partition("\n\n")[2].partition("\n\n")[0]

    assert [line.split("`")[1] for line in after.splitlines() if "`" in line] == JOURNEY

from pathlib import Path

import pytest

from clinical_symile.api.interpolation import interpolate_runs
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.tracking.run import Run
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task


@pytest.mark.slow
def test_results_at_the_ends_are_those_of_the_two_runs(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    first, second = Run(tmp_path / "first"), Run(tmp_path / "second")
    changes = ("epochs=1", 'objective={name="clip"}', "optimiser.learning_rate=0.01")
    for run, start in ((first, ()), (second, (f'start="{first.path.as_posix()}"',))):
        made = mlp_task(catalog, *changes, *start)
        train(made, store=synthetic_store, run=run, seed=0, accelerator="cpu")
    alphas = [0.0, 0.5, 1.0]
    between = [
        *interpolate_runs(first, second, synthetic_store, alphas=alphas, out=tmp_path / "runs")
    ]
    assert [one.name for one in between] == ["wiseft-0", "wiseft-50", "wiseft-100"]
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(task, Retrieval)
    values = []
    for run in (first, *between, second):
        evaluate_run(run, [task], store=synthetic_store)
        values.append([(row.missingness, row.metric, row.value) for row in run.results])
    assert values[0] == values[1]
    assert values[3] == values[4]
    assert values[0] != values[4]

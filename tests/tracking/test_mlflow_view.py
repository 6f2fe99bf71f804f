"""The list of runs in MLflow has columns for the headline numbers."""

import json
from pathlib import Path

from clinical_symile.tracking._mlflow_results import headline_metrics
from clinical_symile.tracking._mlflow_view import VIEW_TAG, view_with
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.run import Run
from tests.helpers.mlflow_runs import BY_HAND, write_run

pytestmark = BY_HAND


def test_a_sync_gives_the_experiment_a_view_with_the_headline_numbers(
    tmp_path: Path, database: str
):
    from mlflow.tracking import MlflowClient

    run = Run(write_run(tmp_path / "symile-0"))
    for _ in range(2):
        assert sync_run(run, uri=database).problem is None
    experiment = MlflowClient(database).get_experiment_by_name("synthetic")
    assert experiment is not None
    view = json.loads(experiment.tags[VIEW_TAG])
    columns = [f"metrics.`{name}`" for name in headline_metrics(run.snapshot())]
    assert view["selectedColumns"] == columns
    assert (view["orderByKey"], view["orderByAsc"]) == (columns[0], False)


def test_columns_are_added_after_those_that_are_there_and_the_tag_never_grows_too_long():
    first = view_with(["a", "b"], None)
    assert first is not None
    second = view_with(["b", "c"], first)
    assert second is not None
    assert json.loads(second)["selectedColumns"] == [f"metrics.`{name}`" for name in "abc"]
    assert json.loads(second)["orderByKey"] == "metrics.`a`"
    long = view_with([f"{place}{'x' * 248}" for place in range(14)], second)
    assert long is not None
    assert len(json.loads(long)["selectedColumns"]) == 14
    assert len(long) <= 5000
    assert view_with(["y" * 6000], None) is None
    assert view_with([], None) is None
    for written_by_a_user in ("[1]", "{", '{"selectedColumns": 3}', '{"selectedColumns": [3]}'):
        again = view_with(["a"], written_by_a_user)
        assert again is not None
        assert json.loads(again)["selectedColumns"] == ["metrics.`a`"]

"""Give the list of runs in MLflow columns for the headline numbers, by a view that MLflow shares.

MLflow reads a shared view from a tag of the experiment; the address of a page names it. Sorted by a
metric, the list shows the runs of all levels, and charts show them all.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from clinical_symile.tracking._mlflow_payload import TAG_LENGTH
from clinical_symile.tracking._mlflow_results import MOST_HEADLINES

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only a sync loads it
    MlflowClient = Any

_KEY = "clinical-symile"
VIEW_TAG = f"mlflow.sharedViewState.{_KEY}"
VIEW_QUERY = f"?workflowType=machine_learning&viewStateShareKey={_KEY}"
# MLflow before 3 takes no defaults for what a view does not say.
_STATE: Mapping[str, Any] = {
    "searchFilter": "",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    **{key: {} for key in ("runsExpanded", "runsVisibilityMap", "groupsExpanded", "columnWidths")},
    **{key: [] for key in ("runsPinned", "runsHidden", "columnOrder")},
    "runsHiddenMode": "FIRST_10_RUNS",
    **dict.fromkeys(("viewMaximized", "runListHidden", "isAccordionReordered"), False),
    **dict.fromkeys(("useGroupedValuesInCharts", "hideEmptyCharts"), True),
    "groupBy": None,
}


def send_view(client: MlflowClient, experiment: str, metrics: Iterable[str]) -> None:
    """Add the columns of a run's headline numbers to the view of its experiment.

    Args:
        client: of the server or database.
        experiment: MLflow's name of the experiment.
        metrics: MLflow's names of the numbers, the one to sort by first.
    """
    before = client.get_experiment(experiment).tags.get(VIEW_TAG)
    view = view_with(metrics, before)
    if view is not None and view != before:
        client.set_experiment_tag(experiment, VIEW_TAG, view)


def view_with(metrics: Iterable[str], before: str | None) -> str | None:
    """Return a view with columns for some metrics, after those that it has; None without any.

    Args:
        metrics: MLflow's names of the numbers.
        before: the view as it is; None for a new one.
    """
    columns = [f"metrics.`{name}`" for name in metrics]
    columns = list(dict.fromkeys([*_columns(before), *columns]))[:MOST_HEADLINES]
    while columns:
        state = {**_STATE, "orderByKey": columns[0], "selectedColumns": columns}
        text = json.dumps(state, ensure_ascii=False)
        if len(text) <= TAG_LENGTH:
            return text
        columns = columns[:-1]
    return None


def _columns(view: str | None) -> list[str]:
    """Return the columns of a view; a user may have written anything."""
    try:
        found = json.loads(view or "{}").get("selectedColumns", [])
    except (ValueError, AttributeError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

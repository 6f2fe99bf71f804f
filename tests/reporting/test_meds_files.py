"""Labels, splits and predictions have the columns of MEDS, and stay with their owner."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.reporting.meds_files import export_meds
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.run import Run
from tests.helpers.one_risk_task import RESULT

TASK = "classification/deterioration"
# As `meds` 0.4.1 and `meds-evaluation` 0.0.6 declare them.
LABELS = [("subject_id", "int64"), ("prediction_time", "timestamp[us]"), ("boolean_value", "bool")]
PREDICTED = [
    ("predicted_boolean_value", "bool"),
    ("predicted_boolean_probability", "float"),
]


@pytest.fixture
def store(synthetic_store: CohortStore) -> CohortStore:
    """The synthetic store with a time of prediction, a text and a time with a gap."""
    samples = synthetic_store.samples.copy()
    times = pd.Timestamp("2031-01-01") + pd.to_timedelta(np.arange(len(samples))[::-1], unit="h")
    samples["kept_until"] = times.to_numpy()
    samples["kept_gaps"] = samples["kept_until"].mask(samples.index == 3)
    samples["kept_text"] = "2031-01-01"
    return replace(synthetic_store, samples=samples)


@pytest.fixture
def task(catalog: Catalog) -> Classification:
    made = read_task(catalog, TASK)
    assert isinstance(made, Classification)
    return made


@pytest.fixture
def run(tmp_path: Path, store: CohortStore) -> Run:
    """A run with the predictions of three held-out samples."""
    made = Run(tmp_path / "runs" / "ours-0")
    rows = store.rows("held_out")[:3]
    outcome = pd.DataFrame({"row": rows, "label": [1, 0, 1], "probability": [0.5, 0.1, 0.75]})
    result: Result = replace(RESULT, run="ours-0", task=TASK)
    made.write_evaluation(
        TASK,
        results=[result],
        unscored=[],
        outcomes={"complete": outcome},
        candidates=pd.DataFrame(),
    )
    return made


def columns(path: Path) -> list[tuple[str, str]]:
    return [(field.name, str(field.type)) for field in pq.read_schema(path)]


def test_files_have_the_schemas_of_meds(
    store: CohortStore, run: Run, task: Classification, tmp_path: Path
):
    written = export_meds(store, [run], {TASK: task}, time="until", into=tmp_path / "meds")
    assert [path.relative_to(tmp_path / "meds").as_posix() for path in written] == [
        "metadata/subject_splits.parquet",
        "labels/classification/deterioration.parquet",
        "predictions/ours-0/classification/deterioration/complete.parquet",
    ]
    splits, labels, predictions = written
    assert columns(splits) == [("subject_id", "int64"), ("split", "string")]
    assert columns(labels) == LABELS
    assert columns(predictions) == [*LABELS, *PREDICTED]
    for path in (splits, labels):
        assert not any(field.nullable for field in pq.read_schema(path)), path
    assert pq.read_schema(labels).metadata is None


def test_the_rows_are_those_of_the_store_and_the_run(
    store: CohortStore, run: Run, task: Classification, tmp_path: Path
):
    splits, labels, predictions = (
        pd.read_parquet(path)
        for path in export_meds(store, [run], {TASK: task}, time="until", into=tmp_path / "meds")
    )
    by_subject = store.samples.groupby("subject")["split"].first()
    assert splits.set_index("subject_id")["split"].to_dict() == by_subject.to_dict()
    assert len(splits) == splits["subject_id"].nunique()
    known = store.samples["outcome_deterioration"].notna()
    assert len(labels) == known.sum()
    expected = store.samples.loc[known].sort_values(by=["subject", "kept_until"])
    assert labels["subject_id"].tolist() == expected["subject"].tolist()
    assert labels["prediction_time"].tolist() == expected["kept_until"].tolist()
    assert labels["boolean_value"].tolist() == (expected["outcome_deterioration"] == 1).tolist()
    rows = store.rows("held_out")[:3]
    by_time = predictions.set_index("prediction_time").loc[store.samples["kept_until"].iloc[rows]]
    assert by_time["boolean_value"].tolist() == [True, False, True]
    assert by_time["predicted_boolean_probability"].tolist() == pytest.approx([0.5, 0.1, 0.75])
    assert by_time["predicted_boolean_value"].tolist() == [True, False, True]
    assert by_time["subject_id"].tolist() == store.samples["subject"].iloc[rows].tolist()


def test_unknown_labels_have_no_row(store: CohortStore, task: Classification, tmp_path: Path):
    samples = store.samples.copy()
    samples.loc[:9, "outcome_deterioration"] = np.nan
    fewer = replace(store, samples=samples)
    _, labels = export_meds(fewer, [], {TASK: task}, time="until", into=tmp_path / "meds")
    assert len(pd.read_parquet(labels)) == len(samples) - 10


def test_a_task_of_several_outcomes_has_a_file_for_each(
    store: CohortStore, run: Run, task: Classification, tmp_path: Path
):
    both = task.model_copy(update={"outcome": ("deterioration", "lung_mass")})
    outcome = pd.DataFrame(
        {
            "row": [0, 1, 0],
            "label": [1, 0, 1],
            "probability": [0.5, 0.1, 0.7],
            "part": ["deterioration", "deterioration", "lung_mass"],
        }
    )
    run.write_evaluation(
        TASK,
        results=run.results,
        unscored=[],
        outcomes={"complete": outcome},
        candidates=pd.DataFrame(),
    )
    written = export_meds(store, [run], {TASK: both}, time="until", into=tmp_path / "meds")
    inner = "predictions/ours-0/classification/deterioration/complete"
    assert [path.relative_to(tmp_path / "meds").as_posix() for path in written[1:]] == [
        "labels/classification/deterioration/deterioration.parquet",
        "labels/classification/deterioration/lung_mass.parquet",
        f"{inner}/deterioration.parquet",
        f"{inner}/lung_mass.parquet",
    ]
    assert [len(pd.read_parquet(path)) for path in written[3:]] == [2, 1]


def test_the_files_are_their_owners_alone(
    store: CohortStore, run: Run, task: Classification, tmp_path: Path
):
    into = tmp_path / "meds"
    export_meds(store, [run], {TASK: task}, time="until", into=into)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [into, *into.rglob("*")]}
    assert modes == {0o700, 0o600}
    assert "rows of patients" in (into / "README.txt").read_text()
    export_meds(store, [run], {TASK: task}, time="until", into=into)  # once more, over its own


@pytest.mark.parametrize(
    ("time", "says"),
    [
        (
            None,
            "is not named, and MEDS expects one for each label. Name it with --time: until, gaps",
        ),
        ("admitted", "'admitted' is not in the store"),
        ("text", "'text' is of the type"),
        ("gaps", "is empty in <10 samples"),
    ],
)
def test_a_time_that_is_missing_is_refused_with_what_helps(
    store: CohortStore, task: Classification, tmp_path: Path, time: str | None, says: str
):
    with pytest.raises(DataError) as refused:
        export_meds(store, [], {TASK: task}, time=time, into=tmp_path / "meds")
    assert says in str(refused.value)
    assert refused.value.problems[0].code == "CS-R026"
    assert not (tmp_path / "meds").exists()


def test_a_store_without_any_time_says_how_to_keep_one(
    synthetic_store: CohortStore, task: Classification, tmp_path: Path
):
    with pytest.raises(
        DataError, match="as a TIMESTAMP column to the cohort's query and to 'keep'"
    ):
        export_meds(synthetic_store, [], {TASK: task}, time=None, into=tmp_path / "meds")


def test_all_problems_are_raised_together_and_name_no_subject(store: CohortStore, tmp_path: Path):
    samples = store.samples.assign(subject="CANARY" + store.samples["subject"].astype(str))
    into = tmp_path / "open"
    into.mkdir()
    into.chmod(0o755)
    with pytest.raises(DataError) as refused:
        export_meds(replace(store, samples=samples), [], {}, time=None, into=into)
    codes: list[Any] = [problem.code for problem in refused.value.problems]
    assert codes == ["CS-R029", "CS-R026", "CS-R011", "CS-R027"]
    assert "CANARY" not in str(refused.value)
    assert not [*into.iterdir()]


def test_a_folder_inside_a_run_is_refused(store: CohortStore, run: Run, task: Classification):
    (run.path / "checksums.jsonl").touch()
    with pytest.raises(DataError, match="Name a folder outside"):
        export_meds(store, [run], {TASK: task}, time="until", into=run.path / "meds")


def test_times_with_a_zone_are_refused(store: CohortStore, task: Classification, tmp_path: Path):
    zoned = store.samples["kept_until"].dt.tz_localize("UTC")
    samples = store.samples.assign(kept_until=zoned)
    with pytest.raises(DataError, match="without a time zone"):
        export_meds(
            replace(store, samples=samples), [], {TASK: task}, time="until", into=tmp_path / "m"
        )

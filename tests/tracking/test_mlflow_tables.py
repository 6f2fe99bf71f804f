import json
from dataclasses import replace

import pytest

from clinical_symile.tracking._mlflow_results import TableRow, task_tables
from clinical_symile.tracking._mlflow_tables import MOST_TABLES, listed_tables, tables_tag
from tests.helpers.mlflow_runs import RESULT, snapshot_of


def rows_of(content: bytes) -> list[dict[str, object]]:
    """The lines of a table by the names of its columns."""
    table = json.loads(content)
    assert table["columns"] == list(TableRow._fields)
    return [dict(zip(TableRow._fields, row, strict=True)) for row in table["data"]]


def test_a_table_has_each_metric_under_each_pattern_and_the_statistics_of_the_masks() -> None:
    masked = replace(
        RESULT, missingness="mcar-50", mask_statistics={"whole_share": 0.25, "a": None}
    )
    ((place, content),) = task_tables(snapshot_of(RESULT, masked)).items()
    assert place == "tables/retrieval/cxr_given_ecg_labs.json"
    first, second, mask = rows_of(content)
    assert (first["missingness"], first["value"], first["chance"]) == ("complete", 0.7, 0.1)
    assert (second["missingness"], second["n_subjects"]) == ("mcar-50", 300)
    assert (mask["metric"], mask["value"], mask["low"]) == ("mask/whole_share", 0.25, None)


def test_a_number_that_json_cannot_hold_is_written_as_a_word() -> None:
    (content,) = task_tables(snapshot_of(replace(RESULT, value=float("nan")))).values()
    assert rows_of(content)[0]["value"] == "nan"


def test_a_task_whose_name_is_no_path_has_a_table_of_its_own() -> None:
    odd = [replace(RESULT, task=name) for name in ("../odd//task", "..", "a/../b")]
    places = list(task_tables(snapshot_of(*odd)))
    assert len(set(places)) == 3
    assert not any(".." in place or "//" in place for place in places)


def test_the_tag_keeps_tables_of_users_and_fits_into_mlflow() -> None:
    tags = {"mlflow.loggedArtifacts": json.dumps([{"path": "mine.json", "type": "table"}])}
    many = [replace(RESULT, task=f"retrieval/{'x' * 60}_{n}") for n in range(2 * MOST_TABLES)]
    tag = tables_tag(task_tables(snapshot_of(*many)), tags)
    assert len(tag["mlflow.loggedArtifacts"]) < 5000
    assert json.loads(tag["mlflow.loggedArtifacts"])[0]["path"] == "mine.json"
    assert len(listed_tables(tag)) == MOST_TABLES
    assert tables_tag([], {}) == {}


@pytest.mark.parametrize("own", ["of a user", "null", "5", '[{"path": 3}]', "[1]", '{"path": "a"}'])
def test_a_tag_that_a_user_wrote_harms_no_sync(own: str) -> None:
    tags = {"mlflow.loggedArtifacts": own}
    assert listed_tables(tags) == set()
    assert listed_tables(tables_tag(["tables/a.json"], tags)) == {"tables/a.json"}

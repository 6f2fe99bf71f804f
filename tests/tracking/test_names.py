import pandas as pd
import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.names import check_name, check_path
from clinical_symile.tracking.run import Run


@pytest.mark.parametrize(
    "name",
    ["auroc", "lactate<2", "größe_1", "in hospital", "a.b", "<2", "v-1", "mcar-50@at-least-one"],
)
def test_names_of_any_script_are_kept(name: str) -> None:
    assert check_name(name, what="outcome", where="theirs.csv") == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../x", "a\\b", "a\nb", "a ", "a\0", "a:b", "*"]
)
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"theirs\.csv: outcome .* cannot be a name; expected"):
        check_name(name, what="outcome", where="theirs.csv")


def test_each_part_of_a_path_is_a_name() -> None:
    task = "classification/paper/died"
    assert check_path(task, what="task", where="x") == task
    for bad in ("classification/../../x", "/etc/x", "a//b"):
        with pytest.raises(DataError, match="cannot be a name"):
            check_path(bad, what="task", where="x")


@pytest.mark.parametrize(
    ("task", "pattern"), [("classification/../../../x", "complete"), ("a/b", "../../../x")]
)
def test_no_outcome_is_written_outside_the_runs_folder(task: str, pattern: str, tmp_path) -> None:
    run = Run(tmp_path / "out" / "run")
    with pytest.raises(DataError, match="cannot be a name"):
        run.write_evaluation(
            task,
            results=[],
            unscored=[],
            outcomes={pattern: pd.DataFrame({"row": [0]})},
            candidates=pd.DataFrame(),
        )
    assert not list(tmp_path.rglob("*.parquet"))

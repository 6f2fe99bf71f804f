import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clinical_symile.tracking._database_creation import ensure_database


def test_of_many_at_once_one_makes_the_database_and_the_others_see_it_whole(tmp_path: Path):
    made = []

    def create(uri: str) -> None:
        path = Path(uri.removeprefix("sqlite:///"))
        path.write_text("half")
        time.sleep(0.2)
        path.write_text("whole")
        made.append(path)

    def ensure(_: int) -> str:
        ensure_database(f"sqlite:///{tmp_path}/mlflow.db", create)
        return (tmp_path / "mlflow.db").read_text()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ensure, range(8))) == {"whole"}
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_database_whose_making_fails_leaves_nothing_and_is_made_by_the_next(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"

    def fail(uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        ensure_database(uri, fail)
    assert not (tmp_path / "mlflow.db").exists()
    ensure_database(uri, lambda made: Path(made.removeprefix("sqlite:///")).write_text("whole"))
    assert (tmp_path / "mlflow.db").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("uri", ["http://x", "sqlite:///:memory:", "sqlite:///no/such/folder.db"])
def test_nothing_is_made_for_a_server_or_where_no_folder_is(uri: str):
    ensure_database(uri, lambda made: pytest.fail("made"))

"""`clinical-symile import-checkpoint`; what it writes is tested with `training`."""

from collections.abc import Callable
from pathlib import Path

from clinical_symile.data.store import CohortStore


def test_a_file_that_is_no_checkpoint_is_refused_and_nothing_is_written(
    run: Callable[..., tuple[int, str, str]], synthetic_store: CohortStore, tmp_path: Path
):
    (tmp_path / "model.ckpt").write_text("text")
    command = ["import-checkpoint", tmp_path / "model.ckpt", "--store", synthetic_store.path]
    status, shown, said = run(*command, "--out", tmp_path / "runs")
    assert (status, shown) == (1, "")
    assert said.endswith("[CS-M025]\n")
    assert not (tmp_path / "runs").exists()

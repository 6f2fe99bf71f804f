"""`clinical-symile interpolate`; the weights that it writes are tested with `training`."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from clinical_symile.cli.interpolate import share_list
from clinical_symile.data.store import CohortStore


def test_runs_that_are_none_are_refused_and_nothing_is_written(
    run: Callable[..., tuple[int, str, str]], synthetic_store: CohortStore, tmp_path: Path
):
    command = ["interpolate", tmp_path / "a", tmp_path / "b", "--store", synthetic_store.path]
    status, shown, said = run(*command, "--out", tmp_path / "runs")
    assert (status, shown) == (1, "")
    assert "error: " in said
    assert not (tmp_path / "runs").exists()


def test_shares_are_numbers_from_0_to_1():
    assert share_list("0,0.5,1") == [0, 0.5, 1]
    for wrong in ("half", "0,1.5", "", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected numbers from 0 to 1"):
            share_list(wrong)

"""Which process holds a lock, and which share one; `test_files` has the locks themselves."""

import json
import os
import socket
from pathlib import Path

import pytest

from clinical_symile.files import lock_folder, write_text
from clinical_symile.tracking.checksums import read_checksums
from clinical_symile.tracking.lock_holder import (
    describe_holder,
    is_further_process,
    is_held_by_parent,
)

_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")


@pytest.mark.parametrize(
    "leftover",
    [
        {"RANK": "3"},
        {"LOCAL_RANK": "1"},
        {"RANK": "1", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"},
        {"RANK": "first", "WORLD_SIZE": "two", "MASTER_ADDR": "127.0.0.1"},
        {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"},
    ],
)
def test_a_rank_in_the_environment_alone_does_not_leave_out_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leftover: dict[str, str]
) -> None:
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in leftover.items():
        monkeypatch.setenv(variable, value)
    with lock_folder(tmp_path / "run") as was_held:
        assert not was_held
        write_text(tmp_path / "run" / "a.txt", "one")
    assert {*(read_checksums(tmp_path / "run") or {})} == {"a.txt"}


@pytest.mark.parametrize("rank", ["RANK", "LOCAL_RANK"])
def test_all_but_the_first_process_of_a_training_are_further_ones(
    monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("MASTER_ADDR", "node1")
    for number in range(4):
        monkeypatch.setenv(rank, str(number))
        assert is_further_process() == (number > 0)


def test_a_holder_is_described_as_far_as_its_file_says(tmp_path: Path) -> None:
    holder = tmp_path / ".run.holder"
    assert describe_holder(holder) == "another process"
    holder.write_text("{")
    assert describe_holder(holder) == "another process"
    holder.write_text(json.dumps({"process": 7, "host": "node1", "since": "2026-01-01"}))
    assert describe_holder(holder) == "process 7 on node1, since 2026-01-01,"


def test_a_process_that_no_other_started_is_held_up_by_no_parent(tmp_path: Path) -> None:
    holder = tmp_path / ".run.holder"
    holder.write_text(json.dumps({"process": os.getppid(), "host": socket.gethostname()}))
    assert not is_held_by_parent(holder)

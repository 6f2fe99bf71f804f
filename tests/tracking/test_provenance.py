"""The versions, the platform and the commit that a run was made with."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from clinical_symile.tracking.provenance import now, provenance, run_origin


def test_the_versions_are_those_that_are_installed():
    made = provenance()
    assert made["versions"]["python"] == platform.python_version()
    for package in ("clinical-symile", "torch", "numpy"):
        assert made["versions"][package] == version(package)


def test_the_commit_is_that_of_the_checkout_and_changes_are_marked():
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        pytest.skip("this is no checkout")

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    commit = provenance()["git_commit"]
    assert commit is not None
    assert commit.removesuffix("+changes") == git("rev-parse", "HEAD")
    assert commit.endswith("+changes") == bool(git("status", "--porcelain"))


def test_the_time_is_utc_to_the_second():
    made = datetime.fromisoformat(now())
    assert made.tzinfo == UTC
    assert made.microsecond == 0
    assert abs((datetime.now(UTC) - made).total_seconds()) < 60


@pytest.mark.parametrize(
    "kind", ["predictions", "embeddings", "scores", "model", "baseline", "task"]
)
def test_a_record_names_the_origin_of_its_run(kind: str) -> None:
    record = {"name": "theirs", "cohort": "synthetic", kind: "of this name"}
    assert run_origin(record) == (kind, "of this name")


def test_the_oracle_has_no_origin() -> None:
    assert run_origin({"name": "oracle", "cohort": "synthetic"}) is None
    assert run_origin({}) is None

"""A seeded sample of `benchmarks/robustness.py`: nothing is lost and nothing is silent."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_pairs_kills_full_disks_and_damaged_files_lose_nothing(tmp_path: Path) -> None:
    counts = ["--pairs", "2", "--kills", "8", "--disks", "2", "--mutations", "20"]
    script, log = ROOT / "benchmarks" / "robustness.py", tmp_path / "log.md"
    done = subprocess.run(
        [sys.executable, script, tmp_path / "work", *counts, "--log", log],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    said = log.read_text() if log.exists() else done.stderr
    assert done.returncode == 0, said
    assert "two at once: benchmark" in said

"""A seeded sample of `benchmarks/robustness.py`: nothing is lost and nothing is silent."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.damaged_folders import ONLY_CUT, PARTS
from tests.helpers.robust_folders import VERBS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "robustness.py"
# `test_fuzz_files` has the mutations of recordings, tables and definitions.
COUNTS = ("--pairs", "2", "--kills", "8", "--disks", "2", "--cuts", "4", "--mutations", "20")


@pytest.mark.slow
def test_pairs_kills_full_disks_and_damaged_files_lose_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log.md"
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "work", *COUNTS, "--fuzz", "0", "--log", log],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    said = log.read_text() if log.exists() else done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0, said
    rows = map(json.loads, (tmp_path / "work" / "cases.jsonl").read_text().splitlines())
    counts = Counter(row["section"] for row in rows)
    kills = ("prepare", "train", "evaluate", "benchmark")
    assert counts == {
        **{f"two at once: {verb}": 2 for verb in VERBS},
        **{f"SIGKILL: {verb}": 2 for verb in kills},
        **{f"full disk: {verb}": 2 if verb == "prepare" else 1 for verb in kills},
        **{f"cut files: {kind}": 4 for kind in PARTS},
        **{f"mutations: {kind}": 20 for kind in PARTS if kind not in ONLY_CUT},
    }

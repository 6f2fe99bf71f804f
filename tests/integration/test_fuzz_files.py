"""No damaged recording or table ends a command, hangs, or asks for memory without end.

`python -m tests.helpers.fuzz --mutations 300` makes the full counts.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.errors import ClinicalSymileError
from clinical_symile.modalities.base import Rejected
from tests.helpers.fuzz_cases import CASES
from tests.helpers.mutations import KINDS, mutate

MOST_MEMORY_MB = 1000  # of a child above its parent
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_kind_of_file_is_refused_noted_or_read_whatever_was_done_to_it() -> None:
    command = [sys.executable, "-m", "tests.helpers.fuzz", "--mutations", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in lines] == [*CASES]
    assert {line["name"]: line["problems"] for line in lines if line["problems"]} == {}
    assert max(line["memory_mb"] for line in lines) < MOST_MEMORY_MB
    assert all(line["refused"] for line in lines)


@pytest.mark.parametrize("name", ["wfdb-header", "scp", "png", "muse"])
def test_a_sample_of_damages_is_a_verdict_or_the_same_values(tmp_path: Path, name: str) -> None:
    case = CASES[name](tmp_path)
    whole, (expected, _) = case.file.read_bytes(), case.read()
    for number, kind in enumerate(KINDS):
        case.file.write_bytes(mutate(whole, np.random.default_rng(number), kind))
        try:
            values, _ = case.read()
        except (Rejected, ClinicalSymileError):
            continue
        assert not case.must_tell or np.array_equal(values, expected), kind


@pytest.mark.parametrize(
    ("name", "kind", "number"),
    [("wfdb-header", "huge_text", 200), ("dicom", "flip_head", 172)],  # found at 300 mutations
)
def test_what_a_decoder_raises_late_is_a_verdict(
    tmp_path: Path, name: str, kind: str, number: int
) -> None:
    case = CASES[name](tmp_path)
    damaged = mutate(case.file.read_bytes(), np.random.default_rng([0, number]), kind)
    case.file.write_bytes(damaged)
    with pytest.raises(Rejected, match="Error"):
        case.read()


def test_a_mutation_is_reproducible_and_changes_the_file() -> None:
    for data in (b"a,b\n1,2\n", bytes(range(256)) * 9, b"x", bytes(100)):
        for kind in KINDS:
            one, other = (mutate(data, np.random.default_rng(3), kind) for _ in range(2))
            assert one == other != data

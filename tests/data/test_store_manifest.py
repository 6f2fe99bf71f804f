"""The manifest of a store: every value has its type, or the store is refused in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.data.store_manifest import known_checksums, read_manifest
from clinical_symile.errors import DataError, UncheckedFilesWarning
from tests.helpers.mutations import KINDS, mutate

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def unsealed(hospital_store: CohortStore) -> Path:
    """A store as version 0.2.1 left it, without checksums."""
    (hospital_store.path / "checksums.jsonl").unlink()
    return hospital_store.path


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda table: table.pop("counts"), "has no counts"),
        (lambda table: table.update(cohort=["a"]), "cohort is not str"),
        (lambda table: table.update(sizes={"samples.parquet": "1"}), "sizes is not"),
        (lambda table: table["modalities"]["cxr"].pop("sha256"), "modalities.cxr: has no sha256"),
        (lambda table: table["modalities"]["ecg"].update(shape=12), "modalities.ecg: shape is not"),
        (lambda table: table["counts"].pop("tuning"), "counts.tuning: has no samples"),
        (lambda table: table["rejected"].pop("labs"), "rejected: has no labs"),
        (lambda table: table.update(worse_with=1), "worse_with is not"),
    ],
)
def test_a_manifest_with_other_values_is_refused(
    unsealed: Path, change: Change, problem: str
) -> None:
    file = unsealed / "manifest.json"
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))
    for read in (open_store, read_manifest, known_checksums):
        with pytest.raises(DataError, match=rf"manifest\.json: .*{problem}.*prepare again\."):
            read(unsealed)


def test_the_manifest_of_an_earlier_version_without_later_values_is_read(unsealed: Path) -> None:
    file = unsealed / "manifest.json"
    table = json.loads(file.read_text())
    for key in ("coverage", "worse_with"):  # new in 0.2.1 and 0.2.2
        del table[key]
    file.write_text(json.dumps(table))
    assert read_manifest(unsealed) == table
    with pytest.warns(UncheckedFilesWarning):
        assert open_store(unsealed).cohort == table["cohort"]


def test_an_array_or_table_of_an_old_store_that_changed_is_named(unsealed: Path) -> None:
    array = np.load(unsealed / "cxr.npy", mmap_mode="r+")
    array[0] ^= 1
    array.flush()
    samples = unsealed / "samples.parquet"
    content = samples.read_bytes()
    samples.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(DataError) as caught:
        open_store(unsealed)
    assert [Path(str(one).split(": ")[0]).name for one in caught.value.problems] == [
        "cxr.npy",
        "samples.parquet",
    ]


@pytest.mark.filterwarnings("ignore::clinical_symile.errors.UncheckedFilesWarning")
def test_whatever_is_done_to_a_manifest_is_a_verdict(unsealed: Path) -> None:
    file = unsealed / "manifest.json"
    whole = file.read_bytes()
    for number in range(8 * len(KINDS)):
        kind = KINDS[number % len(KINDS)]
        file.write_bytes(mutate(whole, np.random.default_rng(number), kind))
        try:
            opened = open_store(unsealed)
        except DataError:
            continue
        assert opened.cohort in opened._repr_html_()

"""The dry run counts the samples and modalities that `prepare` then stores."""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.cohort import modality_adapters, read_cohort
from clinical_symile.data.ingest.samples import SelectedSamples, read_samples
from clinical_symile.data.store import CohortStore
from clinical_symile.modalities.base import Note, ignore_note, is_empty
from tests.helpers.hospital import Hospital, refusal, run

VITALS = "tests.data.ingest.test_selection:Vitals"


class Vitals:
    """Vital signs in three columns of text, as of a plug-in that says no more of them."""

    dtype = "float32"
    unit = "1"
    encoder = "mlp"
    parts = columns = ("pulse", "pressure", "temperature")
    numbers = ()
    shape = (3,)

    def __init__(self, folder: Path):
        del folder

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> np.ndarray | None:
        cells = [row[column] for column in self.columns]
        if all(map(is_empty, cells)):
            return None
        return np.array([np.nan if is_empty(one) else float(one) for one in cells], np.float32)

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        del parts
        return {}

    @staticmethod
    def transform(
        measurements: np.ndarray,
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> np.ndarray:
        return np.nan_to_num(measurements)


def dry_run(hospital: Hospital) -> SelectedSamples:
    cohort = read_cohort(hospital.definition, name="small")
    scratch = hospital.source.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return read_samples(
        cohort,
        modality_adapters(cohort),
        source=hospital.source,
        scratch=scratch,
        out=scratch / "rows.arrow",
    )


def patterns(store: CohortStore) -> dict[str, int]:
    """Number of stored samples by the modalities that are present."""
    counts: dict[str, int] = {}
    for present in store.present:
        name = "+".join(name for name, one in zip(store.modalities, present, strict=True) if one)
        counts[name] = counts.get(name, 0) + 1
    return counts


def sparse(values: list[Any], rng: np.random.Generator) -> list[Any]:
    """Some of the values, the others missing in the ways that tables have."""
    blanks = ["", "  ", None]
    return [one if rng.random() < 0.4 else blanks[int(rng.integers(3))] for one in values]


# Each value once; all combinations are slow.
FAST = ((1, "refused", True), (1, "limit", False), (2, "half", True), (2, "absent", False))


@pytest.mark.parametrize(
    ("at_least", "censored", "typed"),
    [
        pytest.param(*one, marks=() if one in FAST else pytest.mark.slow)
        for one in product((1, 2), ("refused", "limit", "half", "absent"), (True, False))
    ],
)
def test_the_dry_run_counts_what_prepare_stores_of_tables_with_missing_analytes(
    hospital: Hospital, censored: str, typed: bool, at_least: int
) -> None:
    hospital.edit('panel = "labs.csv"', f'panel = "labs.csv"\ncensored = "{censored}"')
    hospital.edit('keep = ["ward"]', f"at_least = {at_least}")
    if typed:
        hospital.edit("[modalities.cxr]", "[types.admissions]\n[modalities.cxr]")
    rng = np.random.default_rng(1)
    table = hospital.admissions
    for column in ("crea", "k"):
        table[column] = sparse([1.0] * len(table), rng)
    hospital.write(table)
    any_lab = (
        table[["crea", "k"]].map(lambda one: isinstance(one, float) and one == 1.0).any(axis=1)
    )
    selected, store = dry_run(hospital), run(hospital)
    assert selected.recorded == store.manifest["recorded"]
    assert selected.samples == len(store.samples)
    assert {
        name: n for name, n in selected.recorded.items() if name.count("+") >= at_least - 1
    } == (patterns(store) | ({"": 1} if at_least == 1 else {}))
    labelled = sum(n for name, n in selected.recorded.items() if "labs" in name)
    assert labelled == any_lab.sum()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("seed", range(3))
def test_a_modality_of_several_columns_is_recorded_if_any_has_a_value(
    hospital: Hospital, seed: int
) -> None:
    hospital.edit(
        "[modalities.labs]", f'[modalities.vitals]\nadapter = "{VITALS}"\n[modalities.labs]'
    )
    rng = np.random.default_rng(seed)
    table = hospital.admissions
    for column in Vitals.columns:
        table[column] = sparse(["80"] * len(table), rng)
    hospital.write(table)
    any_value = table[[*Vitals.columns]].eq("80").any(axis=1)
    selected, store = dry_run(hospital), run(hospital)
    assert sum(n for name, n in selected.recorded.items() if "vitals" in name) == any_value.sum()  # pyright: ignore[reportAttributeAccessIssue]
    assert int(store.samples["present_vitals"].sum()) == any_value.sum()  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    assert selected.samples == len(store.samples)


def test_a_recording_in_two_columns_is_recorded_if_both_name_it(hospital: Hospital) -> None:
    hospital.edit('path = "ecg/{ecg}"', 'path = "{folder}/{ecg}"')
    hospital.write(hospital.admissions.assign(folder=["ecg"] * 4 + [""] * 5))
    selected, store = dry_run(hospital), run(hospital)
    assert sum(n for name, n in selected.recorded.items() if "ecg" in name) == 3
    assert int(store.samples["present_ecg"].sum()) == 3  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("word", ["NA", "null", " ", "", "NaN", "<NA>", "#N/A", "."])
@pytest.mark.parametrize("typed", [True, False])
def test_a_subject_without_an_id_is_nobody(hospital: Hospital, word: str, typed: bool) -> None:
    if typed:
        hospital.edit("[modalities.cxr]", "[types.admissions]\n[modalities.cxr]")
    table = hospital.admissions.astype({"person": object})
    table.loc[[2, 3], "person"] = word
    table["person"] = table["person"].map(lambda one: one if isinstance(one, str) else f"p{one}")
    hospital.write(table)
    assert "2 rows have no subject; expected one in each" in refusal(hospital)


def test_a_subject_that_is_nan_in_parquet_is_nobody(hospital: Hospital) -> None:
    hospital.edit('"admissions.csv"', '"admissions.parquet"')
    table = hospital.admissions.astype({"person": "float64"})
    table.loc[[2, 3], "person"] = np.nan
    table.to_parquet(hospital.source / "admissions.parquet", index=False)
    assert "2 rows have no subject; expected one in each" in refusal(hospital)


def test_a_decimal_comma_is_told_with_what_to_do(hospital: Hospital) -> None:
    table = hospital.admissions.astype({"crea": object})
    table["crea"] = ["1,0", "2,5", "<0,1", "1.5", None, "0.7", "3", "haem.", None]
    hospital.write(table)
    told = refusal(hospital)
    assert "column 'crea' holds 4 values that are not numbers" in told
    assert "3 values have a decimal comma: write replace(…, ',', '.') around" in told
    assert "For the others, clean the table, or set 'censored'" in told
    table["crea"] = ["1,0", "2,5", None, "1", None, None, "3", None, None]
    pd.DataFrame(table).to_csv(hospital.source / "admissions.csv", index=False)
    assert "censored" not in refusal(hospital)

"""A hospital's own catalog over real files, as a new user would write it."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.cohort import Cohort, modality_adapters, read_cohort
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.samples import read_samples
from clinical_symile.data.prepare import prepare
from clinical_symile.data.store import CohortStore

CATALOG = Path(__file__).resolve().parents[2] / "examples" / "mini_hospital"
OFFICIAL_FILES = {  # the golden folder has no `mimiciv` and calls its folders otherwise
    "mimiciv/hosp": "hosp",
    "mimic-iv-ecg/": "ecg/",
    "mimic-cxr-jpg/": "cxr/",
}


@pytest.fixture(scope="module")
def store(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> CohortStore:
    path = open_catalog([CATALOG]).path("cohorts", "mini_hospital")
    cohort = read_cohort(path, name="mini_hospital")
    out = tmp_path_factory.mktemp("mini_hospital") / "store"
    return prepare(cohort, source=shared / "real" / "mini_hospital", out=out)


def test_every_admission_is_in_the_store_or_counted(store: CohortStore, shared: Path) -> None:
    admissions = pd.read_csv(shared / "real/mini_hospital/mimiciv/hosp/admissions.csv.gz")
    assert store.manifest["left_out"] == {"nothing-recorded": 2}
    assert len(store.samples) + 2 == len(admissions) == 126
    assert set(store.samples["sample"]) < set(admissions["hadm_id"])


def test_recordings_are_those_within_the_windows(store: CohortStore) -> None:
    counts = dict(zip(store.modalities, store.present.sum(axis=0).tolist(), strict=True))
    assert counts == {"cxr": 24, "ecg": 34, "labs": 124}
    assert store.manifest["rejected"] == {"cxr": {}, "ecg": {}, "labs": {}}


def test_absent_recordings_are_masks_and_their_inputs_zero(store: CohortStore) -> None:
    for column, modality in enumerate(store.modalities):
        inputs = store.inputs(modality, np.arange(len(store.samples)))
        assert np.isfinite(inputs).all()
        shown = inputs.reshape(len(inputs), -1).any(axis=1)
        np.testing.assert_array_equal(shown, store.present[:, column])


def test_nobody_is_in_two_splits(store: CohortStore) -> None:
    pairs = set(zip(store.samples["subject"], store.samples["split"], strict=True))
    assert len(pairs) == len({subject for subject, _ in pairs}) == 50


def test_real_labs_are_within_what_people_have(store: CohortStore) -> None:
    panel = store.manifest["modalities"]["labs"]["parts"]
    labs = dict(zip(panel, store.array("labs").T, strict=True))
    for analyte, low, high in (("Sodium", 100, 180), ("Potassium", 1.5, 10), ("pH", 6.8, 7.8)):
        values = labs[analyte][~np.isnan(labs[analyte])]
        assert ((values == 0) | ((low < values) & (values < high))).all()
        assert (values > 0).sum() > 20


@pytest.fixture
def official(shared: Path, tmp_path: Path) -> tuple[Cohort, Path]:
    """The same cohort over the golden raw folder, and that folder."""
    with tarfile.open(shared / "golden/mimic_small/raw.tar.gz") as archive:
        archive.extractall(tmp_path / "raw", filter="data")
    folder = tmp_path / "cohort"
    folder.mkdir()
    for file in (CATALOG / "cohorts/mini_hospital").iterdir():
        text = file.read_text()
        for ours, theirs in OFFICIAL_FILES.items():
            text = text.replace(ours, theirs) if file.suffix == ".toml" else text
        (folder / file.name).write_text(text)
    return read_cohort(folder / "cohort.toml", name="official"), tmp_path / "raw"


def test_the_selection_is_that_of_the_official_scripts(
    official: tuple[Cohort, Path], shared: Path, tmp_path: Path
) -> None:
    """But for those whose first recording is missing or unusable: there they take a later one."""
    cohort, raw = official
    adapters = modality_adapters(cohort)
    out = tmp_path / "samples.arrow"
    selected = read_samples(cohort, adapters, source=raw, scratch=tmp_path, out=out)
    assert "repeated-row" not in selected.left_out
    ours = pd.DataFrame(RowFile(out).table()["row"].to_pylist()).set_index("hadm_id")
    golden = shared / "golden/mimic_small"
    theirs = pd.read_csv(golden / "symile_mimic_data.csv").set_index("hadm_id")
    assert len(theirs) == 192
    ours = ours.loc[theirs.index]
    for column in adapters["labs"].columns:
        itemid = column.removeprefix("lab_")
        np.testing.assert_array_equal(ours[column], theirs[itemid])
    np.testing.assert_array_equal(ours["Cardiomegaly"], theirs["Cardiomegaly"])
    differ = ours.index[
        (ours["cxr_path"] != theirs["cxr_path"]) | (ours["ecg_path"] != theirs["ecg_path"])
    ]
    assert len(differ) == 7
    cases = json.loads((golden / "edge_cases.json").read_text())
    named = {sample: case for case in cases for sample in cases[case]["hadm_ids"]}
    assert {named.get(sample) for sample in differ} - {None} == {
        "cxr_early_missing_on_disk",
        "ecg_first_nan_then_ok",
        "ecg_first_one_nan_sample_then_ok",
        "ecg_first_zero_then_ok",
    }


def test_what_the_official_scripts_refuse_is_rejected_here(
    official: tuple[Cohort, Path], shared: Path, tmp_path: Path
) -> None:
    cohort, raw = official
    cases = json.loads((shared / "golden/mimic_small/edge_cases.json").read_text())
    named = {sample for case in cases.values() for sample in case["hadm_ids"]}
    file = raw / "hosp/admissions.csv.gz"
    admissions = pd.read_csv(file)
    # The other admissions would only be read too: each takes a moment.
    special = admissions["hadm_id"].isin(list(named)).to_numpy()
    kept = admissions.loc[special | np.isin(np.arange(len(special)), np.flatnonzero(~special)[:30])]
    assert len(kept) < len(admissions) / 2
    kept.to_csv(file, index=False)
    store = prepare(cohort, source=raw, out=tmp_path / "store")
    assert store.manifest["rejected"]["ecg"].keys() == {"nan", "all-zero"}
    assert store.manifest["rejected"]["cxr"].keys() == {"file-missing"}

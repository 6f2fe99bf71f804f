"""Symile-MIMIC as it is downloaded, as its authors' scripts write it, and from MIMIC's files."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import CandidateLists, candidate_lists
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.modalities.ecg import Ecg
from clinical_symile.modalities.ecg_array import EcgArray
from tests.helpers.released import ITEMS, LEADS, PARTS, Release, as_tensors, write_release
from tests.helpers.synthetic import quiet

ORDER = [LEADS.index(lead) for lead in EcgArray(Path(), path="a", ids="b", id="c").parts]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return write_release(tmp_path_factory.mktemp("release"), np.random.default_rng(0))


@pytest.fixture(scope="module")
def store(release: Release, catalog: Catalog, tmp_path_factory: pytest.TempPathFactory):
    return prepared(release, catalog, tmp_path_factory.mktemp("store") / "store")


@pytest.fixture
def copy(release: Release, tmp_path: Path) -> Release:
    shutil.copytree(release.folder, tmp_path / "release")
    return replace(release, folder=tmp_path / "release")


def prepared(release: Release, catalog: Catalog, out: Path) -> CohortStore:
    return prepare_cohort(catalog, "symile_mimic", source=release.folder, out=out, bar=quiet)


def test_every_admission_is_stored_once_in_the_split_of_the_release(
    store: CohortStore, release: Release
) -> None:
    for part, split in PARTS.items():
        assert store.samples["sample"][store.rows(split)].tolist() == sorted(release.ids(part))
    assert store.present.all()
    assert store.manifest["rejected"] == {"cxr": {}, "ecg": {}, "labs": {}}
    assert store.manifest["layout"] is None


def test_what_the_release_has_in_no_split_is_counted_with_the_reason(store: CohortStore) -> None:
    assert store.manifest["left_out"] == {
        "person-in-train": 1,
        "person-in-tuning": 1,
        "repeated-row": 4 * 3 - 4,
    }


def test_xrays_are_grey_levels_again(store: CohortStore, release: Release) -> None:
    for row, sample in enumerate(store.samples["sample"]):
        np.testing.assert_array_equal(store.array("cxr")[row, 0], release.xrays[sample])
    assert store.array("cxr").dtype == np.uint8


def test_ecgs_are_read_back_to_the_accuracy_of_float32_with_leads_in_our_order(
    store: CohortStore, release: Release
) -> None:
    for part, split in PARTS.items():
        ids = release.load("hadm_id", part).tolist()
        arrays = release.load("ecg", part)
        for row in store.rows(split):
            expected = arrays[ids.index(store.samples["sample"][row]), 0].T[ORDER]
            (read,) = store.inputs("ecg", np.array([row]))
            np.testing.assert_allclose(read, expected, rtol=0, atol=2.0**-23)
    assert store.manifest["modalities"]["ecg"]["unit"] == "normalised"
    assert store.manifest["modalities"]["ecg"]["parts"][4:6] == ["aVL", "aVF"]


def test_labs_are_the_percentiles_of_the_release_and_missingness_says_what_was_observed(
    store: CohortStore, release: Release
) -> None:
    """`labs_missingness` is 1 where a lab was measured, whatever its name says."""
    means = json.loads((release.folder / "labs_means.json").read_text())
    for part, split in PARTS.items():
        ids = release.load("hadm_id", part).tolist()
        places = [ids.index(sample) for sample in store.samples["sample"][store.rows(split)]]
        percentiles, observed = store.inputs("labs", store.rows(split)).swapaxes(0, 1)
        np.testing.assert_array_equal(observed, release.load("labs_missingness", part)[places])
        np.testing.assert_allclose(
            percentiles, release.load("labs_percentiles", part)[places], rtol=1e-6
        )
    fitted = store.manifest["modalities"]["labs"]["statistics"]["mean_percentile"]
    np.testing.assert_allclose(fitted, [means[f"{item}_percentile"] for item in ITEMS], rtol=1e-12)


def test_labs_keep_their_units(store: CohortStore, release: Release) -> None:
    labs = release.table.set_index("hadm_id").loc[store.samples["sample"], ITEMS]
    np.testing.assert_array_equal(store.array("labs"), labs.to_numpy(dtype=np.float32))


@pytest.mark.parametrize(("part", "split"), [("val", "tuning"), ("test", "held_out")])
def test_the_published_lists_are_kept_as_published(
    part: str, split: str, store: CohortStore, release: Release, catalog: Catalog
) -> None:
    name = "symile_mimic/retrieval/cxr_given_ecg_labs"
    task = read_task(catalog, name)
    assert isinstance(task, Retrieval)
    drawn = candidate_lists(task.model_copy(update={"split": split}), store)
    samples = store.samples["sample"].to_numpy()
    assert isinstance(drawn, CandidateLists)
    found = {
        samples[query]: sorted(samples[rows])
        for query, rows in zip(drawn.queries, drawn.candidates, strict=True)
    }
    expected = {query: sorted(ids) for query, ids in release.candidates[part].items()}
    assert found == expected
    assert store.manifest["unlisted_candidates"] == 0


def test_findings_and_who_people_are_come_from_the_whole_table(
    store: CohortStore, release: Release
) -> None:
    whole = pd.read_csv(release.folder / "symile_mimic_data.csv").set_index("hadm_id")
    whole = whole.loc[store.samples["sample"]]
    pneumonia = whole["Pneumonia"].where(whole["Pneumonia"].isin([0, 1]))
    np.testing.assert_array_equal(store.outcome("pneumonia"), pneumonia)
    np.testing.assert_array_equal(store.outcome("no_finding"), whole["No Finding"].fillna(0))
    np.testing.assert_array_equal(
        store.outcome("in_hospital_mortality"), whole["hospital_expire_flag"]
    )
    sex = whole["gender"].map({"F": "female", "M": "male"}).tolist()
    assert store.samples["kept_sex"].tolist() == sex
    assert set(store.samples["kept_race"].dropna()) == {"white", "asian"}
    assert store.samples["kept_ecg_path"].tolist() == whole["ecg_path"].tolist()


def test_tensors_of_the_authors_scripts_make_the_same_store(
    copy: Release, store: CohortStore, catalog: Catalog, tmp_path: Path
) -> None:
    as_tensors(copy)
    other = prepared(copy, catalog, tmp_path / "store")
    assert other.manifest["layout"] == "torch"
    for name in store.modalities:
        np.testing.assert_array_equal(other.array(name), store.array(name))
    pd.testing.assert_frame_equal(other.samples, store.samples)


def test_with_mimics_own_files_there_are_millivolts_and_whole_images(
    catalog: Catalog, tmp_path: Path, write_ecg: Callable[..., None]
) -> None:
    release = write_release(
        tmp_path / "release", np.random.default_rng(1), train=3, val=3, test=3, write_ecg=write_ecg
    )
    raw = prepared(release, catalog, tmp_path / "raw")
    assert raw.manifest["layout"] == "raw"
    assert raw.manifest["modalities"]["ecg"]["unit"] == Ecg.unit
    shutil.rmtree(release.folder / "mimic-iv-ecg")
    arrays = prepared(release, catalog, tmp_path / "arrays")
    assert arrays.manifest["layout"] is None
    for row, sample in enumerate(raw.samples["sample"]):
        expected = release.ecgs[sample].T[ORDER] * 1000
        np.testing.assert_array_equal(raw.array("ecg")[row], np.rint(expected))
    # The release's own crop of train was drawn once; of the others both take the centre.
    later = np.concatenate([raw.rows("tuning"), raw.rows("held_out")])
    np.testing.assert_array_equal(raw.array("cxr")[later], arrays.array("cxr")[later])


def test_a_copy_that_differs_is_rejected(copy: Release, catalog: Catalog, tmp_path: Path) -> None:
    ids = copy.load("hadm_id", "test")
    images = copy.load("cxr", "test")
    images[np.flatnonzero(ids == ids[0])[1], 0, 5, 5] += 0.1
    np.save(copy.array("cxr", "test"), images)
    store = prepared(copy, catalog, tmp_path / "store")
    assert store.manifest["rejected"]["cxr"] == {"copies-differ": 1}
    row = store.samples["sample"].tolist().index(ids[0])
    assert store.present[row].tolist() == [False, True, True]


def test_an_admission_that_is_not_in_the_arrays_is_rejected(
    copy: Release, catalog: Catalog, tmp_path: Path
) -> None:
    ids = copy.load("hadm_id", "val")
    ids[0] = 1
    np.save(copy.array("hadm_id", "val"), ids)
    store = prepared(copy, catalog, tmp_path / "store")
    assert store.manifest["rejected"]["ecg"] == {"not-in-array": 1}


def test_a_download_that_was_cut_off_stops_prepare_with_its_name(
    copy: Release, catalog: Catalog, tmp_path: Path
) -> None:
    file = copy.array("cxr", "test")
    file.write_bytes(file.read_bytes()[:1_000_000])
    with pytest.raises(DataError, match=r"cxr_test.npy: 1000000 bytes cannot be mapped") as caught:
        prepared(copy, catalog, tmp_path / "store")
    assert "Get the file again" in str(caught.value)


def test_arrays_that_are_not_there_are_told_before_anything_is_read(
    copy: Release, catalog: Catalog, tmp_path: Path
) -> None:
    shutil.rmtree(copy.folder / "data_npy")
    with pytest.raises(DataError, match=r"modalities.cxr: none of 20 files .* is under"):
        prepared(copy, catalog, tmp_path / "store")

"""A source that may lie in several forms is read in the first that is there."""

from pathlib import Path

import pytest

from clinical_symile.cli.check import check_definitions
from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.cohort import modality_adapters, read_cohort
from clinical_symile.config.layouts import detect_layout
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from tests.helpers.hospital import Hospital
from tests.helpers.synthetic import quiet

LAYOUTS = """[layouts.scans]
needs = ["scans", "scans/readme.txt"]
[layouts.scans.modalities.cxr]
path = "scans/{xray}"
size_px = 48
[layouts.films]
needs = ["films"]
[layouts.films.modalities.cxr]
path = "films/{xray}"
[modalities.cxr]"""


@pytest.fixture
def several(hospital: Hospital) -> Hospital:
    hospital.edit("[modalities.cxr]", LAYOUTS)
    return hospital


def stored(hospital: Hospital) -> CohortStore:
    catalog = open_catalog([hospital.definition.parents[2]])
    return prepare_cohort(catalog, "small", source=hospital.source, out=hospital.out, bar=quiet)


def moved(hospital: Hospital, *, whole: bool) -> None:
    (hospital.source / "xray").rename(hospital.source / "scans")
    if whole:
        (hospital.source / "scans/readme.txt").write_text("scans")


def test_without_what_a_layout_needs_the_cohort_is_read_as_it_is(several: Hospital) -> None:
    (several.source / "scans").mkdir()  # half of what it needs
    store = stored(several)
    assert store.manifest["layout"] is None
    assert store.array("cxr").shape == (8, 1, 32, 32)


def test_the_first_layout_that_is_there_is_read_whole(several: Hospital) -> None:
    moved(several, whole=True)
    (several.source / "films").mkdir()
    store = stored(several)
    assert store.manifest["layout"] == "scans"
    assert store.array("cxr").shape == (8, 1, 48, 48)
    assert store.present[:, 0].sum() == 7
    assert store.manifest["modalities"]["ecg"]["adapter"] == "ecg"


def test_the_layout_is_part_of_what_a_store_was_made_from(several: Hospital) -> None:
    cohort = read_cohort(several.definition, name="small")
    before = detect_layout(cohort, several.source)
    moved(several, whole=True)
    after = detect_layout(cohort, several.source)
    assert before.digest != after.digest
    assert modality_adapters(after)["cxr"].size_px == 48


def test_a_layout_of_a_modality_that_there_is_not_is_reported(several: Hospital) -> None:
    several.edit("[layouts.films.modalities.cxr]", "[layouts.films.modalities.cxrs]")
    with pytest.raises(DefinitionError, match=r"layouts.films.modalities: unknown modality 'cxrs'"):
        read_cohort(several.definition, name="small")


def test_a_layouts_problems_have_its_name(several: Hospital) -> None:
    several.edit('path = "films/{xray}"', "size = 3")
    with pytest.raises(DefinitionError) as caught:
        read_cohort(several.definition, name="small")
    told = "layouts.films: modalities.cxr: unknown key 'size'; did you mean 'size_px'?"
    assert told in str(caught.value)
    assert "layouts.films: modalities.cxr has no 'path'" in str(caught.value)


def test_check_makes_the_adapters_of_every_layout(several: Hospital, tmp_path: Path) -> None:
    several.edit("size_px = 48", "size_px = 0")
    problems, _ = check_definitions([several.definition.parents[2]])
    assert any("size_px is 0" in problem for problem in problems)

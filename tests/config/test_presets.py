"""A cohort's presets are laid over its file."""

import pytest

from clinical_symile.config.cohort import Cohort, read_cohort
from clinical_symile.config.presets import apply_preset, cohort_names
from clinical_symile.config.splits import SplitBySubject
from clinical_symile.errors import DefinitionError
from tests.helpers.hospital import Hospital

PRESETS = """
[presets.whole]
title = "Whole"
samples = { at_least = 3, split = { tuning = 0.2, held_out = 0.3, seed = 1 } }
[presets.small]
modalities = { cxr = { size_px = 48 } }
"""


def read(hospital: Hospital, name: str) -> Cohort:
    return read_cohort(hospital.definition, name=name)


@pytest.fixture
def presets(hospital: Hospital) -> Hospital:
    hospital.definition.write_text(hospital.definition.read_text() + PRESETS)
    return hospital


def test_a_preset_changes_what_it_names_and_nothing_else(presets: Hospital) -> None:
    whole, small = read(presets, "small/whole"), read(presets, "small/small")
    assert (whole.title, small.title) == ("Whole", "Small")
    assert (whole.samples.at_least, small.samples.at_least) == (3, 1)
    assert whole.samples.split == SplitBySubject(tuning=0.2, held_out=0.3, seed=1)
    assert small.samples.split == "split"
    assert whole.samples.sample == small.samples.sample == "admission"
    path = {"path": "xray/{xray}"}
    assert whole.modalities["cxr"].arguments == {**path, "size_px": 32}
    assert small.modalities["cxr"].arguments == {**path, "size_px": 48}
    assert whole.name == "small/whole"
    assert whole.digest != small.digest


def test_the_names_of_a_cohort_are_those_of_its_presets(
    hospital: Hospital,
) -> None:
    assert cohort_names(hospital.definition, name="small") == ("small",)
    hospital.definition.write_text(hospital.definition.read_text() + PRESETS)
    assert cohort_names(hospital.definition, name="small") == ("small/whole", "small/small")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "small",
            "Known: small/small, small/whole. Its presets select different samples.",
        ),
        ("small/hole", "unknown cohort 'small/hole'; did you mean 'small/whole'?"),
    ],
)
def test_a_cohort_with_presets_is_read_as_one_of_them(
    presets: Hospital, name: str, told: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(presets, name)
    assert told in str(caught.value)


def test_a_cohort_without_presets_has_none(hospital: Hospital) -> None:
    with pytest.raises(DefinitionError, match="unknown cohort 'small/whole'; did you mean 'small'"):
        read(hospital, "small/whole")


def test_what_is_wrong_in_a_preset_is_reported_with_its_name(presets: Hospital) -> None:
    presets.edit("at_least = 3", "at_last = 3")
    with pytest.raises(DefinitionError, match="preset whole: samples: unknown key 'at_last'"):
        read(presets, "small/whole")
    assert read(presets, "small/small").title == "Small"


def test_presets_are_tables() -> None:
    with pytest.raises(
        DefinitionError, match=r"presets: expected tables. Write \[presets.<name>\]"
    ):
        apply_preset({"presets": {"a": 1}}, name="x/a", where="cohort.toml")

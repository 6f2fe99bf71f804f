import shutil
from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog, read_toml
from clinical_symile.config.cohort import read_cohort
from clinical_symile.config.deprecated import PRETRAINING_WORDS, RenamedWords
from clinical_symile.config.tasks.read import Pretraining, parse_task, read_task
from clinical_symile.errors import DefinitionError, RenamedWordWarning

WORDS = RenamedWords(keys={"old": "new"}, values={"new": {"less": "fewer"}})


def test_an_old_key_is_read_with_a_warning_that_names_the_new_one():
    with pytest.warns(RenamedWordWarning, match="a.toml: key 'old' is called 'new' since 0.2.0"):
        assert WORDS.update({"old": 1, "other": 2}, where="a.toml") == {"new": 1, "other": 2}


def test_an_old_value_is_read_with_a_warning_that_names_the_new_one():
    with pytest.warns(RenamedWordWarning, match='new = "less" is called "fewer" since 0.2.0'):
        assert WORDS.update({"new": "less"}, where="a.toml") == {"new": "fewer"}


def test_a_definition_is_to_be_renamed_and_the_record_of_a_run_is_not():
    with pytest.warns(RenamedWordWarning, match=r"until 0\.3\.0\. Rename it\. \["):
        WORDS.update({"old": 1}, where="tasks/a.toml")
    with pytest.warns(RenamedWordWarning, match=r"0\. Leave the record as it is, and train again"):
        WORDS.update({"new": "less"}, where="runs/a-0/run.toml")


def test_todays_words_are_read_without_a_warning():
    assert WORDS.update({"new": "fewer", "other": "less"}, where="a") == {
        "new": "fewer",
        "other": "less",
    }


def test_a_key_by_its_old_and_its_new_name_is_refused():
    with pytest.raises(DefinitionError, match=r"a\.toml: has both 'old' and 'new'"):
        WORDS.update({"old": 1, "new": 2}, where="a.toml")


@pytest.fixture
def definition(catalog: Catalog) -> dict:
    table = read_toml(catalog.path("tasks", "pretraining/symile"))
    return {("absent" if key == "missing_modality" else key): v for key, v in table.items()}


@pytest.mark.parametrize(
    ("old", "new"),
    [("omit", "drop"), ("learned", "learned"), ("string:Template", "string:Template")],
)
def test_a_pretraining_task_of_version_0_1_is_read(definition: dict, old: str, new: str):
    with pytest.warns(RenamedWordWarning):
        task = parse_task({**definition, "absent": old}, name="x", where="x")
    assert isinstance(task, Pretraining)
    assert task.missing_modality == new


def test_an_old_key_after_set_replaces_the_new_key_of_the_file(catalog: Catalog):
    with pytest.warns(RenamedWordWarning, match="'absent'"):
        task = read_task(catalog, "pretraining/symile", overrides=["absent=learned"])
    assert isinstance(task, Pretraining)
    assert task.missing_modality == "learned"


def test_no_old_word_is_also_a_current_one(catalog: Catalog):
    assert not set(PRETRAINING_WORDS.keys) & set(Pretraining.model_fields)
    for name in catalog.tasks:
        read_task(catalog, name)


def test_the_hours_of_measurements_are_read_by_their_old_name(catalog: Catalog, tmp_path: Path):
    folder = tmp_path / "mimic_iv"
    shutil.copytree(catalog.path("cohorts", "mimic_iv").parent, folder)
    file = folder / "cohort.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("measurement_hours", "measured"), encoding="utf-8")
    renamed = "samples: key 'measured' is called 'measurement_hours' since 0.2.1"
    with pytest.warns(RenamedWordWarning, match=renamed):
        cohort = read_cohort(file, name="mimic_iv/all")
    assert cohort.samples.measurement_hours == ("cxr_h", "ecg_h", "labs_h")
    file.write_text(text.replace("keep  ", "measured = []\nkeep  "), encoding="utf-8")
    with pytest.raises(DefinitionError, match="both 'measured' and 'measurement_hours'"):
        read_cohort(file, name="mimic_iv/all")

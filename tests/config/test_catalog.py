import os
from pathlib import Path

import pytest

from clinical_symile.config.catalog import open_catalog, read_toml
from clinical_symile.errors import DefinitionError


def _task(folder: Path, name: str = "retrieval/mine") -> Path:
    path = folder / "tasks" / f"{name}.toml"
    path.parent.mkdir(parents=True)
    path.write_text('kind = "retrieval"\n')
    return path


def test_our_definitions_are_found_in_a_checkout():
    catalog = open_catalog()
    assert "synthetic" in catalog.cohorts
    assert "retrieval/cxr_given_ecg_labs" in catalog.tasks
    assert "benchmark" in catalog.reports


def test_the_path_is_the_name(tmp_path: Path):
    path = _task(tmp_path, "st_elsewhere/retrieval/ecg_given_labs")
    assert open_catalog([tmp_path]).tasks["st_elsewhere/retrieval/ecg_given_labs"] == path


def test_a_name_defined_twice_is_an_error_that_names_both_files(tmp_path: Path):
    path = _task(tmp_path, "retrieval/cxr_given_ecg_labs")
    with pytest.raises(DefinitionError, match="defined twice") as caught:
        open_catalog([tmp_path])
    assert str(path) in str(caught.value)


def test_the_same_directory_named_twice_is_read_once(tmp_path: Path):
    _task(tmp_path)
    assert "retrieval/mine" in open_catalog([tmp_path, tmp_path]).tasks


def test_directories_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _task(tmp_path / "a", "a")
    _task(tmp_path / "b", "b")
    monkeypatch.setenv(
        "CLINICAL_SYMILE_CATALOG", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")])
    )
    assert {"a", "b"} <= open_catalog().tasks.keys()


def test_a_directory_without_definitions_is_refused(tmp_path: Path):
    with pytest.raises(DefinitionError, match="no cohorts/, tasks/ or reports/ in it"):
        open_catalog([tmp_path / "nowhere"])


def test_an_unknown_name_brings_the_nearest_one():
    with pytest.raises(DefinitionError, match="did you mean 'retrieval/cxr_given_ecg_labs'"):
        open_catalog().path("tasks", "retrieval/cxr_given_ecg_lab")


def test_broken_toml_is_reported_with_its_line(tmp_path: Path):
    path = tmp_path / "x.toml"
    path.write_text("a = 1\na = 2\n")
    with pytest.raises(DefinitionError, match=r"x\.toml: not valid TOML: .*line 2"):
        read_toml(path)


def test_toml_with_a_number_of_5000_digits_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "report.toml"
    file.write_text(f"a = {'9' * 5000}")
    with pytest.raises(DefinitionError, match="not valid TOML"):
        read_toml(file)


def test_toml_that_is_nested_too_deeply_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "report.toml"
    file.write_text(f"a = {'[' * 5000}{']' * 5000}")
    with pytest.raises(DefinitionError, match="not valid TOML"):
        read_toml(file)

"""An optional part that is not installed is named with its extra."""

from pathlib import Path

import pytest

from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import load_object
from clinical_symile.registry.extras import MissingExtraError, extra_of, missing_extra

REQUIREMENTS = [
    "numpy>=1.26",
    "argcomplete>=3.5 ; extra == 'completion'",
    'python-gdcm>=3.0 ; python_version > "3" and extra == "images"',
]


@pytest.fixture
def requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda name: REQUIREMENTS)


@pytest.mark.usefixtures("requirements")
def test_the_extra_of_a_package_is_that_of_our_metadata():
    assert extra_of("argcomplete") == "completion"
    assert extra_of("python_gdcm") == "images"
    assert extra_of("numpy") is None
    assert extra_of("unknown") is None


@pytest.mark.usefixtures("requirements")
@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("argcomplete.shell_integration", "pip install 'clinical-symile[completion]'"),
        ("unknown", "pip install unknown"),
    ],
)
def test_the_message_names_the_package_and_the_command(package: str, command: str):
    error = missing_extra(ModuleNotFoundError(name=package), what="x")
    assert f"needs the package '{package.partition('.')[0]}'" in str(error)
    assert f"Run `{command}`. [CS-U004]" in str(error)


def test_a_component_that_needs_a_missing_package_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "needy_part.py").write_text("import not_there_at_all\n\nclass Part: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="encoder 'x' needs the package 'not_there_at_all'"):
        load_object("needy_part:Part", what="encoder 'x'")
    with pytest.raises(DefinitionError, match="No module named 'not_there_part'"):
        load_object("not_there_part:Part", what="encoder 'x'")

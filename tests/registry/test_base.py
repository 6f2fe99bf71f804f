"""Names, and the plug-ins of installed packages."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clinical_symile.cli.list import list_catalog
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import (
    describe,
    forget_plugins,
    load_object,
    name_problems,
    resolve,
)
from clinical_symile.registry.families import (
    CLASSIFICATION_METRICS,
    MISSING_MODALITY_METHODS,
    OBJECTIVES,
    RETRIEVAL_METRICS,
)

PLUGIN = '''
class Mine:
    """Contrast what is mine."""

    display_name = "Mine"

ACCURACY = dict(columns=("label", "probability"), description="Count right answers.")
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A function that installs a package with entry points `group: name = module:Name`."""

    def install(package: str, **groups: str) -> None:
        (tmp_path / f"{package}.py").write_text(PLUGIN)
        about = tmp_path / f"{package}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = [f"[clinical_symile.{group}]\n{points}\n" for group, points in groups.items()]
        (about / "entry_points.txt").write_text("".join(lines))
        forget_plugins()

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    forget_plugins()


def test_code_outside_the_package_is_named_as_module_and_attribute():
    from fractions import Fraction

    assert load_object("fractions:Fraction", what="thing") is Fraction
    assert resolve("fractions:Fraction", OBJECTIVES) is Fraction


def test_an_unknown_name_brings_the_nearest_one():
    with pytest.raises(DefinitionError, match="unknown objective 'symil'; did you mean 'symile'"):
        resolve("symil", OBJECTIVES)


def test_a_module_that_cannot_be_imported_is_reported():
    with pytest.raises(DefinitionError, match="No module named 'nowhere'"):
        load_object("nowhere:Thing", what="encoder")


def test_a_path_that_names_nothing_is_found_without_importing():
    assert name_problems("drop", MISSING_MODALITY_METHODS) == []
    assert name_problems("string:Template", MISSING_MODALITY_METHODS) == []
    (problem,) = name_problems("nowhere:DROP", MISSING_MODALITY_METHODS)
    assert "missing-modality method 'nowhere:DROP': no module 'nowhere'" in problem
    (problem,) = name_problems("string:DROP", MISSING_MODALITY_METHODS)
    assert "module 'string' defines no 'DROP'" in problem


def test_a_plug_in_is_found_by_its_name_and_listed_with_its_package(install: Callable[..., None]):
    install("site_methods", objectives="mine = site_methods:Mine")
    assert "mine" in OBJECTIVES
    assert list(OBJECTIVES)[-1] == "mine"
    assert describe("mine", OBJECTIVES).display_name == "Mine"
    assert resolve("mine", OBJECTIVES).__name__ == "Mine"
    assert OBJECTIVES.problems() == []
    listed = list_catalog([], ["objectives"])
    assert "Contrast what is mine. [site_methods 1.2]" in listed


def test_a_plug_ins_metric_is_of_the_family_whose_columns_it_reads(install: Callable[..., None]):
    install("site_metrics", metrics="accuracy = site_metrics:ACCURACY")
    assert "accuracy" in CLASSIFICATION_METRICS
    assert "accuracy" not in RETRIEVAL_METRICS


def test_a_name_that_two_packages_define_is_an_error_where_it_is_used(
    install: Callable[..., None],
):
    install("first_site", objectives="mine = first_site:Mine\nsymile = first_site:Mine")
    install("second_site", objectives="mine = second_site:Mine")
    with pytest.raises(DefinitionError, match=r"defined twice: by .*_site 1\.2 and by .*_site 1"):
        resolve("mine", OBJECTIVES)
    with pytest.raises(DefinitionError, match="'symile' is defined twice: by clinical-symile and"):
        resolve("symile", OBJECTIVES)
    assert len(OBJECTIVES.problems()) == 2
    assert resolve("clip", OBJECTIVES) is not None
    assert "Cannot be used: objective 'mine' is defined twice" in list_catalog([], ["objectives"])


def test_a_broken_plug_in_is_reported_and_stops_nothing_else(install: Callable[..., None]):
    install("broken_site", objectives="gone = nowhere_at_all:Mine\nnot a path = x")
    problems = OBJECTIVES.problems()
    assert len(problems) == 2
    assert "plug-in of broken_site 1.2: objective 'gone': no module 'nowhere_at_all'" in problems[0]
    listed = list_catalog([], ["objectives"])
    assert "Cannot be used: objective 'gone': no module" in listed
    assert resolve("clip", OBJECTIVES) is not None

"""Every file that names the version or the date of the release names the same."""

import re
import tomllib
from datetime import date

import clinical_symile as cs
from tests.helpers.source import ROOT


def _release() -> tuple[str, str]:
    """Return the version and the date of the newest section of the changelog."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"(?m)^## (\S+) \u2013 (\S+)$", text)
    assert found is not None
    return found[1], found[2]


def test_the_newest_section_of_the_changelog_is_of_this_version():
    assert _release()[0] == cs.__version__


def test_sections_of_the_changelog_are_in_order_of_version_and_date():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"(?m)^## (\S+) \u2013 (\S+)$", text)
    order = [
        ([int(part) for part in name.split(".")], date.fromisoformat(day)) for name, day in sections
    ]
    assert len(order) > 1
    assert order == sorted(order, reverse=True)


def test_the_citation_is_of_this_release():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    fields = dict(re.findall(r"(?m)^([\w-]+): (\S+)$", text))
    assert (fields["version"], fields["date-released"]) == _release()


def test_the_licence_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"license: {project['license']}" in citation
    assert f"License: {project['license']}" in (ROOT / "README.md").read_text(encoding="utf-8")

"""The documentation names only what exists, and every verb, field, name and metric has a place."""

import argparse
import inspect
import pkgutil
import posixpath
import re
from pathlib import Path

import pytest

import clinical_symile
from clinical_symile.cli.parser import build_parser
from clinical_symile.config.cohort_schema import CohortFile
from clinical_symile.config.report_file import ReportRequirements
from clinical_symile.config.tasks.read import KINDS
from clinical_symile.registry import families
from clinical_symile.registry.base import Family
from clinical_symile.registry.docstrings import docstring_section
from clinical_symile.reporting.record_forms import ROWS, SAME_ROWS
from docs.hooks import reference

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/**/*.md", "*/README.md", "examples/*/README.md")
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md" and not path.relative_to(ROOT).parts[0].startswith(".")
}
GENERATED = {name: write() for name, write in reference.pages().items()}
TABLES = {name: family for name, family in vars(families).items() if isinstance(family, Family)}


def _verbs() -> dict[str, argparse.ArgumentParser]:
    return reference.verbs(build_parser())


@pytest.mark.parametrize("verb", _verbs())
def test_every_verb_and_option_is_on_the_command_line_page(verb: str):
    page = GENERATED["reference/command_line.md"].split(f"\n## {verb}\n")[1].split("\n## ")[0]
    for action in _verbs()[verb]._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or option in page


@pytest.mark.parametrize("model", [CohortFile, ReportRequirements, *KINDS.values()])
def test_every_field_of_a_definition_is_described(model: type):
    text = "".join(GENERATED[f"reference/{name}_toml.md"] for name in ("cohort", "task", "report"))
    for each in reference.models(model):
        for name in each.model_fields:
            row = re.search(rf"(?m)^\| `{name}` \| (.*) \| [^|]+ \| [^|]+ \|$", text)
            assert row is not None, name
            assert row[1] or each.__name__ == "ComponentConfig", f"{each.__name__}.{name}"


def test_every_registered_name_is_on_a_page():
    metrics = GENERATED["reference/metrics.md"]
    for family, table in TABLES.items():
        for name in table:
            if "METRICS" in family:
                assert f"| `{name}` |" in metrics
            else:
                assert f"### {family.lower()}/{name} {{" in GENERATED["reference/names.md"]


def test_every_public_function_is_on_the_python_page():
    page = GENERATED["reference/python_api.md"]
    for name in clinical_symile.__all__:
        assert name == "__version__" or re.search(rf"(?m)^::: [\w.]+\.{name}$", page), name


GROUPS = {"clinical_symile.catalogs"} | {
    f"clinical_symile.{family.group}" for family in TABLES.values() if family.group
}


def test_the_plugin_guide_names_every_group_of_entry_points():
    assert {group for group in GROUPS if f"`{group}`" in WRITTEN["docs/guides/plugin.md"]} == GROUPS


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_names_only_modules_that_exist(page: str):
    for name in re.findall(r"clinical_symile(?:[./]\w+)+", WRITTEN[page]):
        if name in GROUPS:
            continue
        parts = name.removesuffix(".py").replace("/", ".").split(".")
        while parts and not _is_module(parts):
            parts, attribute = parts[:-1], parts[-1]
            if _is_module(parts):
                source = _source(parts).read_text(encoding="utf-8")
                assert re.search(rf"\b{attribute}\b", source), f"{page}: {name}"
        assert len(parts) > 1 or name == "clinical_symile", f"{page}: {name}"


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_names_only_files_of_the_repository_that_exist(page: str):
    folders = "tests|benchmarks|cohorts|tasks|reports|docs|examples|templates"
    text = re.sub(r"(?s)```.*?```", "", WRITTEN[page])
    for name in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        beside = (ROOT / page).parent / name  # a catalog's README speaks of its own folders
        assert (ROOT / name).exists() or beside.exists(), f"{page}: {name}"


@pytest.mark.parametrize("page", [*GENERATED, *(page for page in WRITTEN if "/" in page)])
def test_a_page_links_only_files_that_exist(page: str):
    place = page if page in WRITTEN else f"docs/{page}"
    text = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", {**WRITTEN, **GENERATED}[page])
    for link in re.findall(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)", text):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
        readme = ROOT / target / "README.md"
        generated = target.removeprefix("docs/") in GENERATED
        assert generated or (ROOT / target).is_file() or readme.is_file(), f"{page}: {link}"


def _is_module(parts: list[str]) -> bool:
    return _source(parts).is_file()


def _source(parts: list[str]) -> Path:
    path = ROOT.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_names_only_options_that_exist(page: str):
    known = {
        option
        for parser in (build_parser(), *_verbs().values())
        for action in parser._actions
        for option in action.option_strings
    }
    known |= _options_of_scripts() | _variables_of_reports()
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", WRITTEN[page]):
        assert option in known, f"{page}: {option}"


def _options_of_scripts() -> set[str]:
    """Return the options of our benchmark scripts, SLURM, Ray, torchrun and MLflow on pages."""
    scripts = "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("benchmarks/*.py"))
    others = "--backend-store-uri --job-name --array --gres --cpus-per-task --time --requeue"
    others += " --head --port --address --nodes --ntasks-per-node --nnodes --nproc-per-node"
    others += " --rdzv-backend --rdzv-endpoint"
    return {*re.findall(r'"(--[a-z-]+)"', scripts), *others.split()}


def _variables_of_reports() -> set[str]:
    """Return the CSS variables of reports, which look like options."""
    style = (ROOT / "reports" / "shared" / "style.css").read_text(encoding="utf-8")
    return set(re.findall(r"--[a-z]+(?:-(?=\d))?", style))


@pytest.mark.parametrize("page", [*WRITTEN, *GENERATED])
def test_a_row_of_a_table_belongs_to_a_table(page: str):
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", WRITTEN.get(page) or GENERATED[page])
    for table in re.findall(r"(?m)(?:^\|.*\n?)+", text):
        rule = table.splitlines()[1] if "\n" in table.strip() else ""
        assert re.fullmatch(r"\|[-:| ]+\|", rule), f"{page}: no table: {table[:60]}"


def test_every_column_of_a_result_file_has_a_meaning():
    rows = re.findall(r"(?m)^\| `(\w+)` \| *(.*?) *\|$", GENERATED["reference/result_files.md"])
    assert len(rows) > 100
    assert not [name for name, meaning in rows if not meaning]


def test_every_table_of_rows_is_on_the_page_of_result_files():
    page = GENERATED["reference/result_files.md"]
    for table in ROWS:
        assert f"\n## {table}.jsonl\n" in page
    for table in SAME_ROWS:
        assert f"`{table}.jsonl`" in page


def test_a_default_is_named_once():
    assert not re.search(r"\(default: .*\(default: ", GENERATED["reference/command_line.md"])


def test_a_name_shows_the_formula_that_its_arguments_belong_to():
    page = GENERATED["reference/names.md"].split("\n### objectives/macl ")[1].split("\n###")[0]
    assert "τ (1 + slope (A - offset))" in page
    assert page.count("Source: Huang et al.") == 1


def test_a_formula_has_its_indices_below_and_its_exponents_above_the_line():
    page = GENERATED["reference/names.md"]
    assert "log(1 + exp(S<sub>ij</sub> - S<sub>ii</sub>))" in page
    assert "e<sup>s ⟨z<sub>l</sub><sup>i</sup>, z<sub>l'</sub><sup>i</sup>⟩</sup>" in page
    assert "logit_scale" in page, "a name keeps its underscores"
    text = "".join(page.split("`")[::2])
    assert not re.search(r"[_^]\{|\b\w_[a-z]\b", text)


def test_an_option_of_every_verb_is_described_once():
    assert GENERATED["reference/command_line.md"].count("| `--catalog DIR` |") == 1


def test_an_error_links_the_page_that_it_names():
    text = GENERATED["troubleshooting.md"]
    assert len(re.findall(r"\bpage \[[A-Z]", text)) >= 10
    assert not re.findall(r"\bpage [A-Z]", text), "expected the page among the named ones"


def test_the_python_page_shows_what_functions_return():
    page = GENERATED["reference/python_api.md"]
    for name in ("Benchmark", "Interval", "Mask", "SampleSize", "SyncResult", "Verification"):
        assert len(re.findall(rf"(?m)^::: [\w.]+\.{name}$", page)) == 1, name


def test_no_argument_refers_to_a_class_that_the_page_lacks():
    rows = [line for line in GENERATED["reference/names.md"].splitlines() if line[:1] == "|"]
    assert not [line for line in rows if re.search(r"\bsee `", line)]


SHOWN = {
    name
    for text in (*WRITTEN.values(), *GENERATED.values())
    for name in re.findall(r"(?m)^::: ([\w.]+)$", text)
}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_the_site_shows_examples_as_code_and_what_is_returned_as_text(name: str):
    shown = pkgutil.resolve_name(name)
    home = shown.__name__ if inspect.ismodule(shown) else shown.__module__
    for each in (shown, *(member for _, member in inspect.getmembers(shown))):
        if each is shown or (callable(each) and getattr(each, "__module__", "") == home):
            text = inspect.getdoc(each) or ""
            assert not re.search(r"(?m)^>>>", text), f"{each}: expected a section Examples"
            # mkdocstrings takes the words before a colon for a type.
            assert not re.search(r"(?m)^Returns:\n.*: ", text), f"{each}: a colon in Returns"


def test_no_page_is_without_a_place_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [name.removeprefix("docs/") for name in WRITTEN if name.startswith("docs/")]
    for page in (*pages, *GENERATED):
        assert f"- {page}\n" in menu


def test_the_site_needs_no_network():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in menu
    assert "http" not in menu
    assert "http" not in (ROOT / "docs" / "assets" / "site.css").read_text(encoding="utf-8")


def test_pictures_are_small():
    pictures = list((ROOT / "docs" / "assets").glob("*.png"))
    assert pictures
    assert all(picture.stat().st_size < 200_000 for picture in pictures)


def test_a_section_of_a_docstring_is_read():
    def documented() -> None:
        """Do it.

        Args:
            first: one line.
            second: two
                lines.

        Returns:
            nothing.
        """

    assert docstring_section(documented, "Args") == {"first": "one line.", "second": "two lines."}
    assert docstring_section(documented, "Raises") == {}

"""Commands and code of the documentation work as they are written."""

import re
import shlex
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

import clinical_symile as cs
from clinical_symile.cli.main import main
from clinical_symile.cli.parser import parse_arguments
from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.overrides import parse_override
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from docs.hooks import reference
from tests.helpers.synthetic import TINY

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(
    sorted(
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.md", "docs/**/*.md", "*/README.md", "examples/*/README.md")
        for path in ROOT.glob(pattern)
    )
)
# Pages on which a reader types commands.
PRACTICAL = {
    "README.md",
    "CONTRIBUTING.md",
    "docs/getting_started/index.md",
    "docs/getting_started/mlflow.md",
    "docs/guides/audit.md",
    "docs/guides/cards.md",
    "docs/guides/cluster.md",
    "docs/guides/command_line.md",
    "docs/guides/diagnostics.md",
    "docs/guides/external_model.md",
    "docs/guides/external_validation.md",
    "docs/guides/mimic_iv.md",
    "docs/guides/missing_data_study.md",
    "docs/guides/own_cohort.md",
    "docs/guides/plugin.md",
    "docs/guides/reports.md",
    "docs/guides/symile_mimic.md",
    "docs/guides/tasks.md",
    "docs/guides/training.md",
    "docs/guides/upgrade.md",
    "docs/explanation/clinical_measures.md",
    "docs/explanation/missingness.md",
    "docs/explanation/objectives.md",
    "docs/explanation/statistics.md",
    "docs/troubleshooting.md",
    "examples/embeddings/README.md",
    "examples/mini_hospital/README.md",
    "examples/plugin/README.md",
    "examples/pretrained_encoder/README.md",
    "reports/README.md",
}
# What is typed besides our own command.
OTHERS = (
    "pip install .",
    "pip install clinical-symile[completion]",
    "pip install examples/plugin",
    "ray start --head --port 6379",
    "ray start --address 10.0.0.1:6379",
)
# Definitions that a page's own package installs.
INSTALLED = {"examples/plugin/README.md": ["--catalog", "examples/plugin/example_plugin"]}
CHEAP = {
    "prepare": ["--generate", "subjects=60"],
    "train": [word for setting in TINY for word in ("--set", setting)],
}
CHEAP["benchmark"] = CHEAP["prepare"] + CHEAP["train"]


def blocks(page: str, *languages: str) -> list[str]:
    """Return the code blocks of a page in some languages."""
    found: list[tuple[str, list[str]]] = []
    inside = False
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
            if inside:
                found.append((line[3:].strip(), []))
        elif inside:
            found[-1][1].append(line)
    return ["\n".join(lines) for language, lines in found if language in languages]


def commands(page: str) -> list[str]:
    """Return each command of a page, without the prompt and its comment; `$NAME` becomes 0.

    A backslash at the end of a line joins the next one to it.
    """
    lines = [
        re.sub(r"\$\w+", "0", line.removeprefix("$ ").split("  #")[0].split("    #")[0].strip())
        for block in blocks(page, "", "console", "bash")
        for line in block.replace("\\\n", "").splitlines()
        if line.startswith(("$ ", "clinical-symile ", "make "))
    ]
    text = (ROOT / page).read_text(encoding="utf-8")
    return [*lines, *re.findall(r"`((?:clinical-symile --catalog|make) [^`]+)`", text)]


EVERY = [(page, command) for page in PAGES for command in commands(page)]


def _split(command: str) -> list[list[str]]:
    return [shlex.split(part) for part in command.split("&&")]


def test_the_pages_have_commands():
    assert {page for page, _ in EVERY} >= PRACTICAL
    assert set(PAGES) > PRACTICAL
    assert len(EVERY) > 15


@pytest.mark.parametrize(("page", "command"), EVERY)
def test_a_command_is_one_that_there_is(page: str, command: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    for program, *words in _split(command):
        if program == "make":
            _check_target([word for word in words if "=" not in word])
        elif program == "clinical-symile":
            _check_ours([*INSTALLED.get(page, []), *words])
        elif program.endswith("python"):
            assert (ROOT / words[0]).is_file(), page
        else:
            assert " ".join([program, *words]) in OTHERS


EVIDENCE = re.findall(
    r"(?m)^\| [^|]+ \| `([^`]+)` \|", (ROOT / "docs/explanation/evidence.md").read_text("utf-8")
)


@pytest.mark.parametrize("shown", EVIDENCE)
def test_each_row_of_the_evidence_names_a_command_or_a_file(shown: str):
    program, *words = shlex.split(shown)
    if program == "clinical-symile":
        _check_ours(words)
    elif program == "make":
        _check_target(words)
    else:
        assert (ROOT / program).exists()


def test_every_row_of_the_evidence_is_tried():
    text = (ROOT / "docs/explanation/evidence.md").read_text(encoding="utf-8")
    assert len(EVIDENCE) == len(re.findall(r"(?m)^\| (?!what)\w", text)) > 40


def _check_target(targets: Sequence[str]) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"(?m)^{re.escape(target)}:", text)
    for recipe in re.findall(r"(?m)^\t\$\(BIN\)/clinical-symile (.*)$", text):
        _check_ours(shlex.split(recipe))


def _check_ours(words: list[str]) -> None:
    """The words are understood, and the names among them are names of definitions."""
    options = parse_arguments(words)
    if any(not path.is_dir() for path in options.catalog):
        return  # a catalog that the page has written: its own test follows the page
    catalog = open_catalog(options.catalog)
    if options.verb in ("prepare", "benchmark"):
        catalog.path("cohorts", options.cohort)
    if options.verb in ("report", "benchmark"):
        catalog.path("reports", options.report)
    if options.verb == "train":
        catalog.path("tasks", options.task)


def test_the_settings_that_readme_names_are_settings():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    settings = re.findall(r"`--set (?!field=)([\w.]+=[^`]+)`", text)
    for setting in settings:
        task = read_task(open_catalog(), "pretraining/symile", overrides=[setting])
        assert isinstance(task, Pretraining)
        assert parse_override(setting)[0].split(".")[0] in Pretraining.model_fields
    assert settings


def test_links_lead_somewhere():
    generated = {(ROOT / "docs" / name).resolve() for name in reference.pages()}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)", text):
            place = ((ROOT / page).parent / target).resolve()
            assert target.startswith("http") or place.exists() or place in generated, (page, target)


@pytest.mark.slow
def test_the_verbs_of_readme_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    ours = [words for c in commands("README.md") for words in _split(c) if "symile" in words[0]]
    for _, *words in ours:
        if "--catalog" in words:
            continue
        with pytest.raises(SystemExit) as stop:
            main([*words, *CHEAP.get(words[0], [])])
        assert stop.value.code == 0, words
        assert capsys.readouterr().out
    assert {"report.html", "results.jsonl", "mlflow.db"} <= {
        path.name for path in (tmp_path / "demo").iterdir()
    }


PYTHON = [(page, block) for page in PAGES for block in blocks(page, "python")]


@pytest.mark.parametrize(("page", "code"), [each for each in PYTHON if each[0] != "README.md"])
def test_the_python_of_a_page_runs_beside_a_store(
    page: str,
    code: str,
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    for place in ("store", "work/store"):  # some guides keep all that they write in work/
        shutil.copytree(synthetic_store.path, tmp_path / place)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})


@pytest.mark.slow
def test_the_python_of_readme_runs_with_a_small_cohort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (code,) = blocks("README.md", "python")
    assert len(code.splitlines()) <= 10
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cs, "prepare", partial(cs.prepare, generate=["subjects=60"]))
    monkeypatch.setattr(cs, "train", partial(cs.train, overrides=TINY))
    exec(compile(code, "README.md", "exec"), {})
    assert {"store", "runs", "table.tex", "figure.pdf"} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.parametrize("page", ["README.md", "docs/getting_started/results.md"])
def test_the_numbers_of_the_demo_are_those_that_its_script_wrote(page: str):
    head, _, *made = (ROOT / "benchmarks/results/demo.md").read_text(encoding="utf-8").splitlines()
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    rows = lines[lines.index(head) + 2 :]
    rows = rows[: next(number for number, row in enumerate(rows) if not row.startswith("|"))]
    assert rows
    assert set(rows) <= set(made)

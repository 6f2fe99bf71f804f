"""The example plug-in: installed beside this package, it adds to it without a change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clinical_symile.data.store import CohortStore
from tests.helpers.synthetic import TINY

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples" / "plugin"
NAME = "clinical-symile-example-plugin"
ADDED = {
    "objectives": "pairwise_sigmoid",
    "encoders": "channel_statistics",
    "missing_modality": "running_mean",
    "metrics": "recall_at_3",
    "tasks": "example_plugin/pretraining/pairwise_sigmoid",
}
JOURNEY = f"""
import sys

import clinical_symile as cs

settings = [one for one in {TINY!r} if not one.startswith("encoders.ecg.")]
store = cs.open_store(sys.argv[1])
run = cs.train("example_plugin/pretraining/pairwise_sigmoid", store, out="runs", overrides=settings)
results = cs.evaluate(run, store, tasks="example_plugin/retrieval/*")
assert results.primary.rows and not results.skipped, results.skipped
assert {{row.metric for row in results.primary.rows}} == {{"recall_at_3"}}
assert {{row.missingness for row in results.rows}} == {{"complete", "without-ecg", "without-labs"}}
assert all(row.low <= row.value <= row.high for row in results.rows)
print(run.name, [row.chance for row in results.primary.rows])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plug-in installed, without a network."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*command, str(PLUGIN)], check=True, capture_output=True, text=True)
    return target


def _run(installed: Path | None, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), *([str(installed)] if installed else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("CLINICAL_SYMILE_CATALOG", None)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def _command(installed: Path | None, folder: Path, *words: str) -> str:
    made = _run(installed, folder, "-m", "clinical_symile", *words)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.parametrize("kind", ADDED)
def test_list_shows_what_the_plug_in_adds_and_where_it_comes_from(
    kind: str, installed: Path, tmp_path: Path
):
    with_it = _command(installed, tmp_path, "list", kind)
    line = next(line for line in with_it.splitlines() if line.split()[:1] == [ADDED[kind]])
    assert len(line.split()) > 2, "a name without a description"
    if kind != "tasks":
        assert NAME in line
        assert " · " in line, "a plug-in's object without its display name"
    assert ADDED[kind] not in _command(None, tmp_path, "list", kind)


def test_check_reads_the_definitions_of_the_plug_in(installed: Path, tmp_path: Path):
    _command(installed, tmp_path, "check")


def test_check_holds_everything_that_the_plug_in_registers_to_its_contract(
    installed: Path, tmp_path: Path
):
    shown = _command(installed, tmp_path, "check", "--plugin", NAME)
    for kind, name in ADDED.items():
        if kind != "tasks":
            assert name in shown


def test_reports_show_the_plug_ins_own_words(installed: Path, tmp_path: Path):
    code = (
        "from clinical_symile.reporting.text import labels\n"
        "print(labels.metric_label('recall_at_3'), labels.objective_label('pairwise_sigmoid'))\n"
        "print(labels.missing_modality_label('running_mean'))\n"
        "print(labels.metric_description('recall_at_3'))\n"
    )
    assert _run(installed, tmp_path, "-c", code).stdout.splitlines() == [
        "recall@3 pairwise sigmoid",
        "puts the running mean of a modality's embeddings where it is missing",
        "Recall@3 is how often the correct candidate is among the first 3.",
    ]


@pytest.mark.slow
def test_it_trains_and_evaluates_with_what_the_plug_in_adds(
    installed: Path, synthetic_store: CohortStore, tmp_path: Path
):
    made = _run(installed, tmp_path, "-c", JOURNEY, str(synthetic_store.path))
    assert made.returncode == 0, made.stderr
    assert made.stdout.split()[0] == "pretraining-pairwise_sigmoid-0"


def test_an_objective_costs_one_file_a_task_and_one_line():
    text = (PLUGIN / "pyproject.toml").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if "PairwiseSigmoid" in line]
    assert line.endswith('= "example_plugin.pairwise_sigmoid:PairwiseSigmoid"')
    users = [path for path in PLUGIN.rglob("*.py") if "PairwiseSigmoid" in path.read_text()]
    assert [path.name for path in users] == ["pairwise_sigmoid.py"]

"""Diagnostics from the command line to MLflow and the report, as the guide says it."""

import shlex
from pathlib import Path
from types import ModuleType

import pytest

from clinical_symile.api.reports import open_results
from clinical_symile.api.runs import compare, evaluate, train
from clinical_symile.api.validation import validate
from clinical_symile.cli.main import main
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.leak_checks.check import check_no_leakage
from clinical_symile.registry.families import DIAGNOSTICS
from clinical_symile.tracking._mlflow_results import numbers_of_task
from clinical_symile.tracking.run import Run
from tests.helpers.examined import examined, fixture_f, values
from tests.helpers.synthetic import TINY
from tests.integration.test_readme import CHEAP, ROOT, blocks, commands

PAGE = "docs/guides/diagnostics.md"


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package that the guide writes."""
    import importlib

    folder = tmp_path / "my_site"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (code,) = blocks(PAGE, "python")
    (folder / "diagnostics.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("my_site.diagnostics")


def test_the_guide_has_a_row_for_every_diagnostic() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert [name for name in DIAGNOSTICS.builtin if f"| `diagnostic/{name}` |" not in text] == []


def test_the_diagnostic_of_the_guide_measures_and_does_not_leak(own_module: ModuleType) -> None:
    import tomllib

    *_, definition = blocks(PAGE, "toml")
    task = parse_task(tomllib.loads(definition), name="diagnostic/mean_size", where=PAGE)
    assert task.kind == "diagnostic"
    found = values(own_module.MeanSize(), examined(fixture_f()))
    expected = abs(fixture_f()).mean(axis=(0, 2))
    assert [found[f"mean_size/{name}"] for name in "abc"] == pytest.approx(expected.tolist())
    assert "a diagnostic; it does not read" in check_no_leakage("my_site.diagnostics:MeanSize")


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples", "no_mlflow_copies")
def test_the_commands_of_the_guide_run_and_what_they_write_is_read_everywhere(
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("clinical_symile.evaluation.diagnostics.harms.LEAST_SUBJECTS", 3)
    monkeypatch.chdir(tmp_path)
    Path("store").symlink_to(synthetic_store.path)
    for name in ("symile", "clip"):
        train(
            f"pretraining/{name}",
            synthetic_store,
            out="runs",
            seed=0,
            overrides=TINY,
            progress=False,
        )
    for command in commands(PAGE):
        verb, *words = shlex.split(command)[1:]
        with pytest.raises(SystemExit) as ended:
            main([verb, *words, *CHEAP.get(verb, [])])
        assert not ended.value.code, command
    printed = capsys.readouterr().out
    assert "modality gap" in printed

    run = Run(Path("runs/symile-0"))
    tasks = {f"diagnostic/{name}" for name in DIAGNOSTICS.builtin}
    # A model that is hardly trained may have nothing to share among modalities, and 60 subjects
    # have too few of a group.
    not_measured = {"diagnostic/dominance", "diagnostic/group_shift"}
    assert {row.task for row in run.results} >= tasks - not_measured
    alike = {row.metric: row.value for row in run.results if row.task == "diagnostic/harms"}
    assert alike["representation_harm"] == 1  # it is its own twin
    assert alike["total_effect"] == 0
    assert validate(run.path).is_valid
    frame = open_results(run).to_frame()
    assert set(frame.task) <= tasks
    harms = {row.metric for row in Run(Path("runs/few-0")).results}
    assert {"representation_harm", "total_effect/F", "direct_effect/M"} <= harms
    numbers = numbers_of_task(run.snapshot(), "diagnostic/gap")
    assert any("gap" in name for name in numbers)

    # Evaluated again, nothing is computed anew; and nothing is compared.
    before = (run.path / "results.jsonl").read_bytes()
    evaluate(run, synthetic_store, tasks="diagnostic/*", progress=False)
    assert (run.path / "results.jsonl").read_bytes() == before
    task = "retrieval/cxr_given_ecg_labs"
    for name in ("symile", "clip"):
        evaluate(f"runs/{name}-0", synthetic_store, tasks=[task, "diagnostic/gap"], progress=False)
    found = compare(
        ["runs/symile-0", "runs/clip-0"],
        synthetic_store,
        tasks=[task, "diagnostic/gap"],
        progress=False,
    )
    assert {row.task for row in found.rows} == {task}
    assert any("'diagnostic/gap' is a diagnostic" in note for note in found.notes)

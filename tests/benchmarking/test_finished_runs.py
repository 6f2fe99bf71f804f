"""Finished runs become a benchmark, as the guide on training says of interpolated ones."""

import shlex
from pathlib import Path

import pytest

from clinical_symile.api.reports import report
from clinical_symile.cli.main import main
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.reporting.benchmark_report import read_record
from clinical_symile.tracking.results import Comparison, read_rows
from clinical_symile.tracking.run import Run
from tests.integration.test_readme import CHEAP, commands

PAGE = "docs/guides/training.md"
# Of fewer people, results on tuning samples are withheld.
MORE = {**CHEAP, "benchmark": ["--generate", "subjects=120", *CHEAP["train"]]}


def test_a_folder_without_finished_runs_is_refused(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "begun").mkdir(parents=True)
    with pytest.raises(DataError, match="has no finished run"):
        report("interpolation", out=tmp_path, store=synthetic_store, progress=False)


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples", "no_mlflow_copies")
def test_the_commands_of_the_guide_draw_the_curve_and_its_ends_are_the_two_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    of_guide = [command for command in commands(PAGE) if "wise" in command.split("wiseft")[0]]
    verbs = [shlex.split(command)[1] for command in of_guide]
    assert verbs == ["benchmark", "train", "interpolate", "report"]
    for command in of_guide:
        verb, *words = shlex.split(command)[1:]
        with pytest.raises(SystemExit) as ended:
            main([verb, *words, *MORE.get(verb, [])])
        assert not ended.value.code, command

    runs = {name: Run(Path("wise/runs") / name) for name in read_record(Path("wise"))["runs"]}
    assert {"symile-0", "further", "wiseft-0", "wiseft-50", "wiseft-100", "oracle"} <= {*runs}

    def values(name: str) -> dict[tuple[str, ...], float]:
        rows = runs[name].results
        return {(row.task, row.missingness, row.metric): row.value for row in rows}

    assert {row.split for row in runs["wiseft-0"].results} == {"tuning", "held_out"}
    assert values("wiseft-0") == values("symile-0") != values("further")
    assert values("wiseft-100") == values("further")
    differences = {
        row.difference
        for row in read_rows(Path("wise/comparisons.jsonl"), Comparison)
        if {row.run, row.baseline} in ({"wiseft-0", "symile-0"}, {"wiseft-100", "further"})
    }
    assert differences == {0.0}
    page = Path("wise/interpolation.html").read_text(encoding="utf-8")
    assert "Tuning samples choose" in page
    assert "the share of the run that was trained further" in page

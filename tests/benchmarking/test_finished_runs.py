"""Finished runs become a benchmark, as the guide on training says of interpolated ones."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.api.reports import report
from clinical_symile.api.runs import train
from clinical_symile.benchmarking.external import ExternalRun, add_predictions
from clinical_symile.benchmarking.run import complete_benchmark
from clinical_symile.benchmarking.spec import BenchmarkSpec
from clinical_symile.cli.main import main
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.reporting.benchmark_report import read_record
from clinical_symile.tracking.results import Comparison, read_rows
from clinical_symile.tracking.run import Run
from tests.helpers.synthetic import TINY, quiet
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


@pytest.mark.slow
@pytest.mark.usefixtures(
    "few_resamples", "few_resamples_everywhere", "no_analyses", "no_mlflow_copies"
)
def test_a_benchmark_keeps_its_runs_margin_primary_comparisons_notes_patterns_and_settings(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    for name in ("source", "store"):
        shutil.copytree(synthetic_store.path.parent / name, tmp_path / name)
    tasks = ("retrieval/cxr_given_ecg_labs", "classification/deterioration")
    spec = BenchmarkSpec(
        cohort="synthetic",
        pretraining=("pretraining/clip",),
        tasks=tasks,
        baselines=("prevalence",),
        missingness=("complete", "only-ecg"),
        margin=0.07,
        primary=(f"{tasks[1]}:only-ecg",),
        generate=("subjects=60",),
        tune=True,
        overrides=(*TINY, "epochs=1"),
        accelerator="cpu",
    )
    complete_benchmark(spec, catalog=catalog, out=tmp_path, bar=quiet)
    settings = (tmp_path / "settings.jsonl").read_text(encoding="utf-8")
    assert len(settings.splitlines()) > 1

    file = tmp_path / "theirs.csv"
    samples = synthetic_store.samples["sample"].to_numpy()
    risk = np.random.default_rng(0).uniform(size=len(samples))
    both = [
        pd.DataFrame({"sample": samples, "probability": risk, "missingness": pattern})
        for pattern in ("complete", "mcar-77")
    ]
    pd.concat(both).to_csv(file, index=False)
    target = ExternalRun(
        name="theirs",
        out=tmp_path,
        store=tmp_path / "store",
        tasks=(tasks[1],),
        catalog=catalog,
        bar=quiet,
    )
    add_predictions(file, target)
    assert (tmp_path / "settings.jsonl").read_text(encoding="utf-8") == settings
    before = read_record(tmp_path)
    assert any("mcar-77" in note for note in before["notes"])

    train(
        "pretraining/symile",
        tmp_path / "store",
        out=tmp_path / "runs",
        name="further",
        overrides=[*TINY, "epochs=1"],
        accelerator="cpu",
        progress=False,
    )
    report("interpolation", out=tmp_path, store=tmp_path / "store", progress=False)
    record = read_record(tmp_path)
    assert (tmp_path / "settings.jsonl").read_text(encoding="utf-8") == settings
    assert {*record["runs"]} == {"clip-0", "prevalence", "theirs", "further", "oracle"}
    assert record["margin"] == 0.07
    assert record["primary"] == [f"{tasks[1]}:only-ecg"]
    assert {*before["notes"]} <= {*record["notes"]}
    assert {*before["tasks"]} < {*record["tasks"]}
    assert record["definitions"][tasks[1]]["missingness"] == ["complete", "only-ecg"]
    asked = record["definitions"][tasks[0]]["missingness"]
    assert asked == ["complete", "only-ecg", "without-ecg", "without-labs", "mcar-30"]
    rows = read_rows(tmp_path / "comparisons.jsonl", Comparison)
    pairs = {frozenset((row.run, row.baseline)) for row in rows}
    assert pairs >= {
        frozenset(pair)
        for pair in (("clip-0", "further"), ("further", "prevalence"), ("further", "theirs"))
    }
    primary = [row for row in rows if (row.task, row.missingness) == (tasks[1], "only-ecg")]
    assert primary
    assert all((row.family or "").split()[1] == "primary" for row in primary)
    losses = read_rows(tmp_path / "losses.jsonl", Comparison)
    assert {row.margin for row in losses} == {0.07}
    assert {row.run for row in losses} >= {"clip-0", "further"}

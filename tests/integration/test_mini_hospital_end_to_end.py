"""A hospital's own catalog over real files, from the raw folder to the report, by its commands."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.cli.main import main
from clinical_symile.data.store import open_store
from clinical_symile.tracking.results import Result, SkippedResult, is_withheld, read_rows
from tests.helpers.quick import with_few_resamples
from tests.helpers.synthetic import TINY

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "examples" / "mini_hospital"
TASKS = "mini_hospital/*,retrieval/cxr*,retrieval/labs*,classification/in*,classification/det*"
# The fast suite has the store of these files, and benchmarks and reports of the synthetic cohort.
pytestmark = pytest.mark.slow

SET = [word for setting in TINY for word in ("--set", setting)]


def command(*words: str | Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--catalog", str(CATALOG), *map(str, words)])
    assert stop.value.code == 0


@pytest.fixture(scope="module")
def source(shared: Path) -> Path:
    return shared / "real" / "mini_hospital"


@pytest.fixture(scope="module")
def out(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a benchmark of two small models and two baselines, on all tasks that apply."""
    folder = tmp_path_factory.mktemp("mini_hospital") / "benchmark"
    with with_few_resamples() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        words = ["benchmark", "benchmark", "--cohort", "mini_hospital", "--source", source]
        words += ["--out", folder, "--tasks", TASKS, "--accelerator", "cpu", *SET]
        command(*words, "--baselines", "prevalence,labs-logistic", "--set", "epochs=1")
    return folder


def test_the_verbs_one_by_one(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store, runs = tmp_path / "store", tmp_path / "runs"
    command("prepare", "mini_hospital", "--source", source, "--out", store)
    assert "left out: <10 (nothing-recorded)" in capsys.readouterr().out
    command("train", "pretraining/clip", "--store", store, "--out", runs, *SET)
    tasks = ("--tasks", "mini_hospital/*")
    command("evaluate", runs / "clip-0", "--store", store, *tasks)
    shown = capsys.readouterr().out
    assert "mini_hospital/retrieval/cxr_given_ecg_labs" in shown
    assert "MLflow" in shown


def test_what_can_be_scored_is_and_the_rest_has_a_reason(out: Path):
    files = (out / "runs").glob("*/results.jsonl")
    results = [row for file in files for row in read_rows(file, Result)]
    scored = {row.task for row in results}
    assert "mini_hospital/retrieval/cxr_given_ecg_labs" in scored
    assert "retrieval/labs_given_cxr_ecg" in scored
    assert {"symile-0", "clip-0", "prevalence"} <= {row.run for row in results}
    for name in ("symile-0", "clip-0"):
        unscored = read_rows(out / "runs" / name / "unscored.jsonl", SkippedResult)
        deaths = [
            row
            for row in results
            if (row.run, row.task) == (name, "classification/in_hospital_mortality")
        ]
        assert deaths
        assert all(map(is_withheld, deaths))  # fewer than ten died
        asked = {(row.task, row.missingness, row.metric) for row in unscored}
        assert not asked & {(r.task, r.missingness, r.metric) for r in results if r.run == name}
    assert all(map(is_withheld, results))  # so few subjects are held out
    assert read_rows(out / "results.jsonl", Result) == []
    notes = json.loads((out / "benchmark.json").read_text())["notes"]
    assert any("'retrieval/cxr_given_ecg_labs': fewer than 9 samples" in note for note in notes)
    assert any("codes no outcome 'deterioration'" in note for note in notes)


def test_every_admission_is_a_sample_or_left_out(out: Path, source: Path):
    store = open_store(out / "store")
    admissions = pd.read_csv(source / "mimiciv/hosp/admissions.csv.gz")
    left_out = sum(store.manifest["left_out"].values())
    assert len(store.samples) + left_out == len(admissions)


def test_the_report_is_one_page_without_small_counts(out: Path):
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Mini hospital" in page
    assert "&lt;10" in page
    script = (ROOT / "reports" / "shared" / "page.js").read_text(encoding="utf-8")
    assert page.count("<script") == page.count(f"<script>{script}</script>") == 1
    assert 'src="http' not in page
    text = re.sub(r"(?s)<(style|svg|script).*?</\1>|<[^>]+>", " ", page)
    left_out = re.search(r"nothing-recorded\s+(\S+)", text)
    assert left_out is not None
    assert left_out[1] == "&lt;10"
    assert "What could not be computed" in text
    assert re.search(r"(?<!fewer than )\b[1-9] (subjects|labels|samples)", text) is None


def test_nobody_can_be_found_in_what_leaves_the_folder(out: Path, source: Path):
    """No id or date of a patient is in a run's record, results, report or MLflow's copy."""
    samples = open_store(out / "store").samples
    ids = {str(value) for column in ("sample", "subject") for value in samples[column]}
    admissions = pd.read_csv(source / "mimiciv/hosp/admissions.csv.gz", dtype=str)
    times = admissions[["admittime", "dischtime"]].to_numpy().ravel()
    dates = {time[:10] for time in times}
    written = [
        path
        for pattern in ("*.html", "*.toml", "*.jsonl", "*.json")
        for path in out.rglob(pattern)
        if path.is_file()
    ]
    assert {"report.html", "run.toml", "results.jsonl", "history.jsonl"} <= {
        p.name for p in written
    }
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert not ids & set(re.findall(r"\d+", text)), path
        assert not dates & set(re.findall(r"\d{4}-\d\d-\d\d", text)), path
    copied = {path.suffix for path in (out / "mlartifacts").rglob("*") if path.is_file()}
    assert copied <= {".toml", ".jsonl", ".html", ".json"}
    assert not {identity.encode() for identity in ids} & set(
        re.findall(rb"\d{8}", (out / "mlflow.db").read_bytes())
    )

"""A run of one synthetic hospital on another, with other units, analytes and prevalence."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import clinical_symile as cs
from clinical_symile.cli.main import main
from clinical_symile.config.catalog import Catalog, open_catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.external.training_inputs import read_like_training, store_inputs
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import CannotScore, DataError
from clinical_symile.evaluation.external_validation import open_validation
from clinical_symile.evaluation.labels import labelled_request
from clinical_symile.evaluation.predictors.imputed_values import ImputedPredictor
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.tracking.mlflow import SyncResult
from clinical_symile.tracking.run import Run
from clinical_symile.training.train import train
from tests.helpers.synthetic import quiet, tiny
from tests.integration.test_readme import commands

OWN, OTHER = "synthetic", "hospital_b"
LACKING = ("calcium", "uric_acid")
UNITS = {"glucose": "g/L", "creatinine": "g/L", "haemoglobin": "g/L"}
TASKS = "retrieval/cxr_given_ecg_labs,classification/deterioration"


def _define(folder: Path, name: str, *, units: dict[str, str]) -> None:
    """Define a hospital like the synthetic one, with another panel and other people."""
    made = folder / "cohorts" / name
    shutil.copytree(open_catalog().cohorts[OWN].parent, made)
    head, *lines = (made / "labs.csv").read_text().splitlines()
    rows = []
    for line in reversed(lines):
        analyte, *_, unit = line.split(",")
        if analyte not in LACKING:
            rows.append(
                line.removesuffix(unit) + f"{units[analyte]},{unit}"
                if analyte in units
                else f"{line},"
            )
    rows.append("urate,3084-1,lab_51007,mg/dL,")
    (made / "labs.csv").write_text("\n".join([f"{head},recorded_unit", *rows]) + "\n")
    sql = (made / "samples.sql").read_text()
    rarer = ")::INTEGER AS deterioration"
    assert rarer in sql
    sql = sql.replace(rarer, ")::INTEGER * (s.hadm_id % 2) AS deterioration")
    (made / "samples.sql").write_text(sql)
    toml = (made / "cohort.toml").read_text()
    oracle = 'oracle = "clinical_symile.synthetic.oracle:Oracle"\n'
    assert oracle in toml
    (made / "cohort.toml").write_text(toml.replace(oracle, ""))


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("definitions")
    _define(folder, OTHER, units=UNITS)
    _define(folder, "hospital_c", units={})
    _define(folder, "hospital_d", units={"sodium": "mg/dL"} | UNITS)
    panel = folder / "cohorts" / "hospital_d" / "labs.csv"
    panel.write_text(panel.read_text().replace(",mg/dL,meq/L", ",mg/dL,"))
    toml = folder / "cohorts" / "hospital_d" / "cohort.toml"
    smaller, count = re.subn(r"(?m)^(size_px\s*=) 64", r"\1 32", toml.read_text())
    assert count == 1
    toml.write_text(smaller)
    return folder


@pytest.fixture(scope="module")
def prepare(definitions: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """A function that prepares a hospital; all have the same recordings."""
    folder = tmp_path_factory.mktemp("hospitals")

    def prepare(name: str) -> CohortStore:
        return prepare_cohort(
            open_catalog([definitions]),
            name,
            source=folder / "source",
            out=folder / name,
            generate=["subjects=60", "seed=7", "absent=0.25"],
            bar=quiet,
        )

    return prepare


@pytest.fixture(scope="module")
def other(prepare: Callable) -> CohortStore:
    return prepare(OTHER)


@pytest.fixture(scope="module")
def run(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    made = Run(tmp_path_factory.mktemp("runs") / "symile-0")
    return train(tiny(catalog, "pretraining/symile"), store=synthetic_store, run=made, seed=0)


pytestmark = pytest.mark.usefixtures("few_resamples")


def test_other_labs_become_those_of_the_training_panel_and_are_read_by_its_statistics(
    synthetic_store: CohortStore, other: CohortStore, tmp_path: Path
) -> None:
    inputs = store_inputs(synthetic_store, folder=tmp_path)
    read, notes = read_like_training(other, inputs, ("cxr", "ecg", "labs"))
    own, there = (
        dict(enumerate(s.manifest["modalities"]["labs"]["parts"]))
        for s in (
            synthetic_store,
            other,
        )
    )
    factor = {"glucose": 100, "creatinine": 100, "haemoglobin": 0.1}  # from g/L
    stored, places = other.array("labs"), {name: place for place, name in there.items()}
    statistics = synthetic_store.manifest["modalities"]["labs"]["statistics"]
    rows = np.flatnonzero(read.present[:, 2])
    inputs_read = read.inputs("labs", rows)
    for place, name in own.items():
        distribution = statistics["distributions"][place]
        values = np.repeat(distribution["values"], distribution["counts"])
        for at, row in enumerate(rows):
            value = stored[row, places[name]] * factor.get(name, 1) if name in places else np.nan
            observed = not np.isnan(value)
            assert inputs_read[at, 1, place] == observed
            expected = (
                np.mean(values <= value + 1e-4 * abs(value))
                if observed
                else statistics["mean_percentile"][place]
            )
            assert inputs_read[at, 0, place] == pytest.approx(expected, abs=0.02)
    assert any(f"lacks {', '.join(n for n in own.values() if n in LACKING)}" in x for x in notes)
    assert any("urate are not read" in note for note in notes)
    (unlearned,) = (note for note in notes if "nearly all train samples have" in note)
    assert "uric_acid" in unlearned, "every sample of the synthetic hospital has it"
    assert "calcium" not in unlearned, "one sample of four lacks it"
    assert any("glucose from g/L to mg/dL" in note for note in notes)
    # The other store itself stays as it is.
    assert other.array("labs").shape[1] == len(there)


def test_units_and_order_of_a_panel_change_no_embedding(
    run: Run, prepare: Callable, other: CohortStore
) -> None:
    one, two = (open_validation(run, s).predictor() for s in (other, prepare("hospital_c")))
    known = one.embeddings.available.numpy()
    assert np.array_equal(known, two.embeddings.available.numpy())
    # A value on a step of the percentiles may fall on its other side by rounding of the unit.
    close = np.abs(one.embeddings.z.numpy()[known] - two.embeddings.z.numpy()[known]).max(axis=1)
    assert np.mean(close < 1e-5) > 0.9
    assert close.max() < 0.2


def test_the_probe_is_that_of_the_training_cohort(
    run: Run, other: CohortStore, synthetic_store: CohortStore, catalog: Catalog
) -> None:
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)
    validation = open_validation(run, other)
    predictor, pattern = validation.predictor(), parse_pattern("observed")
    request, label = labelled_request(task, validation.store, pattern, split="held_out")
    risk = predictor.predict_proba(request)
    # Labels of the other cohort change nothing.
    samples = other.samples.assign(outcome_deterioration=1.0)
    changed = replace(predictor, store=replace(validation.store, samples=samples))
    np.testing.assert_array_equal(changed.predict_proba(request), risk)
    # Labels of the training cohort do.
    inverted = 1 - synthetic_store.samples["outcome_deterioration"]
    source = replace(
        synthetic_store, samples=synthetic_store.samples.assign(outcome_deterioration=inverted)
    )
    trained = predictor.source()  # pyright: ignore[reportOptionalCall]
    flipped = replace(predictor, source=lambda: replace(trained, store=source))
    assert np.corrcoef(flipped.predict_proba(request), risk)[0, 1] < 0
    assert label.mean() < synthetic_store.samples["outcome_deterioration"].mean()


def test_results_bear_both_cohorts_in_files_mlflow_report_and_python(
    run: Run,
    other: CohortStore,
    definitions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    own = Run(tmp_path / "runs" / "symile-0")
    shutil.copytree(run.path, own.path)
    # The place of the training store is counted from the run: this copy stands elsewhere.
    inputs = json.loads((run.path / "inputs.json").read_text())
    trained = (run.path / inputs["store"]).resolve()

    def evaluate(*more: str, tasks: str = TASKS) -> str:
        with pytest.raises(SystemExit) as ended:
            main(
                [
                    *("--catalog", str(definitions), "evaluate", str(own.path)),
                    *("--store", str(other.path), "--tasks", tasks),
                    *("--training-store", str(trained), *more),
                ]
            )
        shown = capsys.readouterr()
        assert ended.value.code == 0, shown.err
        return " ".join(shown.out.split())

    shown = evaluate("--missingness", "complete,observed")
    assert "trained on cohort 'synthetic' and is evaluated on 'hospital_b'" in shown
    assert "labs of 'hospital_b': lacks" in shown
    made = Run(own.path.parent / "symile-0-from-synthetic")
    assert {(row.cohort, row.run) for row in made.results} == {(OTHER, made.name)}
    assert {row.task for row in made.results} == set(TASKS.split(","))
    assert made.metadata["trained_on"] == OWN
    assert own.results == []
    client = MlflowClient(f"sqlite:///{own.path.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(OTHER)
    (copy,) = [
        found
        for found in client.search_runs([experiment.experiment_id])  # pyright: ignore[reportOptionalMemberAccess]
        if "mlflow.parentRunId" not in found.data.tags
    ]
    assert (copy.data.tags["trained_on"], copy.data.tags["cohort"]) == (OWN, OTHER)
    assert "'synthetic'" in copy.data.tags["mlflow.note.content"]

    results = cs.evaluate(
        own,
        other,
        tasks=TASKS.split(","),
        missingness=["complete", "observed"],
        training_store=trained,
        catalog=[definitions],
        progress=False,
    )
    assert set(results.to_frame()["run"]) == {made.name}
    assert set(results.to_frame()["cohort"]) == {OTHER}
    assert "'symile-0' was trained on cohort 'synthetic'" in results.notes[0]
    assert {row.value for row in results.rows} == {row.value for row in made.results}

    evaluate("--out", str(tmp_path / "report"), tasks=TASKS.split(",")[0])
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "symile-0-from-synthetic" in page
    assert "is evaluated on" in page
    assert "hospital_b" in page


def test_without_the_training_store_only_what_needs_no_probe_is_scored(
    run: Run, other: CohortStore, catalog: Catalog, tmp_path: Path
) -> None:
    alone = Run(tmp_path / "alone" / "deeper" / "symile-0")
    shutil.copytree(run.path, alone.path)
    validation = open_validation(alone, other)
    task = read_task(catalog, "classification/deterioration")
    assert isinstance(task, Classification)
    request, _ = labelled_request(
        task, validation.store, parse_pattern("observed"), split="held_out"
    )
    with pytest.raises(CannotScore, match="need the training store, which is not"):
        validation.predictor().predict_proba(request)
    results = cs.evaluate(
        alone,
        other,
        tasks=TASKS.split(","),
        missingness="complete",
        progress=False,
    )
    assert {row.task for row in results.rows} == {"retrieval/cxr_given_ecg_labs"}
    assert {row.task for row in results.skipped} == {"classification/deterioration"}


def test_what_cannot_be_reconciled_is_refused_all_at_once(
    run: Run, prepare: Callable, other: CohortStore, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        open_validation(run, prepare("hospital_d"))
    message = "\n".join(caught.value.problems)
    assert "shape of cxr is [1, 32, 32]; expected [1, 64, 64]" in message
    assert "sodium" in message
    assert "recorded_unit" in message
    with pytest.raises(DataError, match=r"which .* was trained on\. Name that one"):
        open_validation(run, other, training=other)
    old = Run(tmp_path / "symile-0")
    shutil.copytree(run.path, old.path)
    (old.path / "inputs.json").unlink()
    with pytest.raises(DataError, match="Name that store with --training-store"):
        open_validation(old, other)
    trained = open_store(run.path / json.loads((run.path / "inputs.json").read_text())["store"])
    assert open_validation(old, other, training=trained).trained_on == OWN


def test_another_store_of_the_same_cohort_is_still_refused(
    run: Run, synthetic_store: CohortStore
) -> None:
    manifest = {**synthetic_store.manifest, "digest": "0123456789abcdef"}
    with pytest.raises(DataError, match="needs a cohort of another name"):
        cs.evaluate(run, replace(synthetic_store, manifest=manifest), progress=False)
    with pytest.raises(DataError, match="name: 'synthetic' is the cohort that the run was trained"):
        cs.evaluate(run, synthetic_store, name="other", progress=False)


def test_every_command_of_the_guide_runs(
    run: Run,
    other: CohortStore,
    synthetic_store: CohortStore,
    definitions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in ("tracking.mlflow", "benchmarking.finalize"):
        monkeypatch.setattr(f"clinical_symile.{module}.sync_run", lambda *a, **k: SyncResult())
    monkeypatch.chdir(tmp_path)
    Path("work").mkdir()
    Path("work/hospital_a").symlink_to(synthetic_store.path)
    Path("work/hospital_b").symlink_to(other.path)
    shutil.copytree(run.path, "runs/symile-0")
    written = [c for c in commands("docs/guides/external_validation.md") if "evaluate" in c]
    assert len(written) == 3
    for command in written:
        words = shlex.split(command)[1:]
        with pytest.raises(SystemExit) as ended:
            main(
                [
                    *("--catalog", str(definitions), *words),
                    *("--tasks", "retrieval/cxr_given_ecg_labs"),
                ]
            )
        assert ended.value.code == 0, capsys.readouterr().err
    assert Path("runs/symile-0-from-synthetic/results.jsonl").is_file()
    assert Path("work/benchmark_b/report.html").is_file()


@pytest.mark.slow
def test_a_trained_run_imputes_lab_values_at_home_and_elsewhere(
    catalog: Catalog, synthetic_store: CohortStore, other: CohortStore, tmp_path: Path
) -> None:
    name = "pretraining/missingness/imputed_values"
    made = train(
        tiny(catalog, name), store=synthetic_store, run=Run(tmp_path / "imputed-0"), seed=0
    )
    validation = open_validation(made, other)
    away = validation.predictor()
    assert isinstance(away, ImputedPredictor)
    task, pattern = (
        read_task(catalog, "classification/deterioration"),
        parse_pattern("labs-mcar-50"),
    )
    assert isinstance(task, Classification)
    found = {}
    for place, store, model in (
        ("home", synthetic_store, away.source()),  # pyright: ignore[reportOptionalCall]
        ("away", validation.store, away),
    ):
        request, _ = labelled_request(task, store, pattern, split="held_out")
        hidden = model.with_parts_hidden(pattern, seed=task.seed)
        assert isinstance(hidden, ImputedPredictor)
        assert len(hidden.imputations) == 5
        each = [one.predict_proba(request) for one in hidden.imputations]
        assert all(not np.allclose(one, each[0]) for one in each[1:])
        found[place] = hidden.predict_proba(request)
        odds = np.mean([np.log(one / (1 - one)) for one in each], axis=0)
        np.testing.assert_allclose(found[place], 1 / (1 + np.exp(-odds)), rtol=1e-9)
    # Elsewhere, what fills a gap is what the training cohort's imputation makes of it.
    home = away.source()  # pyright: ignore[reportOptionalCall]
    assert isinstance(home, ImputedPredictor)
    for own, there in zip(home.fitted(), away.fitted(), strict=True):
        assert own is there

"""The console command, as whoever types it meets it."""

import json
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.cli.main import main
from clinical_symile.data.store import CohortStore
from tests.helpers.hospital import Hospital
from tests.helpers.synthetic import TINY

SET = [word for setting in TINY for word in ("--set", setting)]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs one command: (exit status, standard output, standard error)."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        assert isinstance(stop.value.code, int)
        return stop.value.code, shown.out, shown.err

    return run


@pytest.fixture
def refused(run: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """A function that runs a command that must fail: what it says, a sentence for each problem."""

    def refused(*arguments: str | Path) -> str:
        status, shown, said = run(*arguments)
        assert status == 1
        assert shown == ""
        assert all(line.startswith("error: ") for line in said.splitlines())
        return said

    return refused


def test_the_console_command_is_there_and_answers_at_once():
    command = [sys.executable, "-m", "clinical_symile", "list"]
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
        assert "retrieval/cxr_given_ecg_labs" in made.stdout
    assert min(seconds) < 2, "half a second on a quiet machine; it has loaded something heavy"


def test_a_reader_that_has_had_enough_is_no_error():
    command = f"{sys.executable} -m clinical_symile list | true"
    made = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert made.stderr == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("lst", "unknown word 'lst'; did you mean 'list'?"),
        ("list task", "unknown word 'task'; did you mean 'tasks'?"),
        ("", "the following arguments are required: VERB"),
        ("prepare synthetic", "the following arguments are required: --source"),
        ("prepare synthetc --source a --out b", "did you mean 'synthetic'?"),
        ("train pretraining/symil --store a --out b", "did you mean 'pretraining/symile'?"),
        ("train retrieval/cxr_given_ecg_labs --store a --out b", "is of kind retrieval"),
        ("train pretraining/symile --store a --out b --set epoch=1", "did you mean 'epochs'?"),
        ("train pretraining/symile --store a --out b --set epochs", "expected field=value"),
        ("train pretraining/symile --store a --out b", "a: no manifest.json"),
        ("train x --store a --out b --seed -1", "--seed: '-1'; expected a whole number from 0"),
        ("train x --store a --out b --devices 0", "--devices: '0'; expected a whole number from 1"),
        ("train x --store a --out b --name ../x", "expected letters, digits, _ and - only"),
        ("evaluate a --store b", "b: no manifest.json"),
        (
            "evaluate --store b",
            "one of the arguments RUN --predictions --embeddings --scores is required",
        ),
        ("evaluate a", "evaluate of a run needs --store"),
        ("evaluate --predictions a.csv", "evaluate of --predictions needs --out"),
        ("evaluate --embeddings a.csv --out b", "--embeddings needs --store, --objective"),
        ("evaluate --predictions a.csv --out b", "a.csv: no such file"),
        ("evaluate a", "`clinical-symile evaluate --help` shows how it is used."),
        ("evaluate a --stor b --blur", "`clinical-symile evaluate --help` shows"),
        ("evaluate a --store b --out c", "evaluate of a run takes no --out: it writes into RUN."),
        ("evaluate a --store b --name c", "takes no --name: RUN has one."),
        (
            "evaluate a --store b --objective clip",
            "takes no --objective: RUN was trained with one.",
        ),
        ("evaluate --predictions a --out b --objective clip", "--predictions takes no --objective"),
        ("evaluate --predictions a --out b --missingness x", "takes no --missingness: the column"),
        (
            "evaluate --embeddings a --store s --out b --objective clip --missingness x",
            "--embeddings takes no --missingness: they are scored under the patterns of the tasks.",
        ),
        ("benchmark benchmrk --cohort synthetic --out b", "did you mean 'benchmark'?"),
        ("benchmark benchmark --cohort syntetic --out b", "did you mean 'synthetic'?"),
        ("benchmark benchmark --cohort synthetic --out b --seeds 0,x", "expected a whole number"),
        ("benchmark benchmark --cohort synthetic --out b --tasks ,", "--tasks: is empty"),
        ("benchmark benchmark --cohort synthetic --out b --set norm=l3", "norm is 'l3'"),
        ("benchmark benchmark --cohort synthetic --out b --generate subject=3", "'subjects'"),
        ("benchmark benchmark --cohort synthetic --out b --generate flip=5.0", "flip is 5.0"),
        ("report benchmark --out nowhere", "expected the folder of a finished benchmark"),
        ("report benchmrk --out nowhere", "did you mean 'benchmark'?"),
        ("--catalog nowhere list", "catalog nowhere: no cohorts/, tasks/ or reports/ in it"),
    ],
)
def test_a_mistake_is_answered_in_a_sentence_and_nothing_is_written(
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    said: str,
):
    monkeypatch.chdir(tmp_path)
    assert said in refused(*command.split())
    assert list(tmp_path.rglob("*.partial")) == []
    assert not (tmp_path / "b" / "store").exists()


def test_help_is_help(run: Callable[..., tuple[int, str, str]]):
    status, shown, _ = run("--help")
    assert status == 0
    assert all(verb in shown for verb in ("list", "check", "doctor", "prepare", "benchmark"))
    assert run("train", "--help")[0] == 0


def test_help_tells_of_every_argument(run: Callable[..., tuple[int, str, str]]):
    for verb, told in {
        "list": ("[KIND]", "one of cohorts, tasks,"),
        "prepare": ("a name of `list cohorts`",),
        "audit": ("the folder that `prepare` wrote",),
        "benchmark": ("a name of `list reports`", "folder of all it makes"),
        "report": ("of the benchmark",),
    }.items():
        shown = " ".join(run(verb, "--help")[1].split())
        assert all(part in shown for part in told)


def test_list_shows_one_kind(run: Callable[..., tuple[int, str, str]]):
    status, shown, _ = run("list", "cohorts")
    assert status == 0
    assert shown.split()[:1] == ["cohorts"]
    assert "  synthetic " in shown


def test_a_catalog_may_stand_before_and_after_the_verb(
    run: Callable[..., tuple[int, str, str]], hospital: Hospital
):
    catalog = hospital.definition.parents[2]
    for words in (["--catalog", catalog, "list"], ["list", "--catalog", catalog]):
        assert "small" in run(*words, "cohorts")[1]


def test_check_reports_all_problems(
    run: Callable[..., tuple[int, str, str]], hospital: Hospital, tmp_path: Path
):
    hospital.edit('access = "open"', 'access = "opn"')
    hospital.edit("size_px = 32", "size = 32")
    task = tmp_path / "tasks/mine/retrieval/x.toml"
    task.parent.mkdir(parents=True)
    task.write_text('kind = "retrievl"\n')
    report = tmp_path / "reports/mine.html.j2"
    report.parent.mkdir()
    report.write_text("<p>")
    status, shown, said = run("check", "--catalog", tmp_path)
    assert status == 1
    assert " cohorts, " in shown
    for part in ("access is 'opn'", "did you mean 'retrieval'", "has no definition"):
        assert part in said
    hospital.edit('access = "opn"', 'access = "open"')
    assert "did you mean 'size_px'" in run("check", "--catalog", tmp_path)[2]


def test_check_is_quiet_where_all_is_well(run: Callable[..., tuple[int, str, str]]):
    status, shown, said = run("check")
    assert (status, said) == (0, "")
    assert len(shown.splitlines()) == 1 + len(run("list", "cohorts")[1].splitlines()[1:])
    (told,) = [line for line in shown.splitlines() if line.startswith("synthetic: ")]
    assert "tasks can be asked; not those of cardiomegaly, in_hospital_mortality" in told
    assert "(it codes no such outcome; it has deterioration, enlarged_heart" in told
    assert "not those of published candidates (it publishes no such lists)" in told


def test_check_tells_of_the_cohorts_of_the_catalogs_that_are_given(
    run: Callable[..., tuple[int, str, str]], hospital: Hospital
):
    shown = run("check", "--catalog", hospital.definition.parents[2])[1]
    first, told = shown.splitlines()
    assert first.endswith("read.")
    assert told.startswith("small: ")


def test_doctor_says_what_is_there(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    status, shown, _ = run("doctor")
    assert status == 0
    for part in ("Python 3", "torch", "CPU:", "disk:", "definitions:", "MLflow:"):
        assert part in shown


def test_doctor_says_what_is_amiss(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    status, shown, _ = run("doctor", "--catalog", tmp_path / "nowhere")
    assert status == 1
    assert "AMISS MLflow: the server" in shown
    assert "AMISS definitions: catalog" in shown


@pytest.fixture
def prepare(hospital: Hospital, tmp_path: Path) -> list[str | Path]:
    """The command that prepares the small hospital."""
    command = ["prepare", "small", "--catalog", tmp_path, "--source", hospital.source]
    return [*command, "--out", hospital.out]


def _missing_table(hospital: Hospital) -> None:
    (hospital.source / "admissions.csv").unlink()


def _missing_column(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.drop(columns="crea"))


def _duplicate_ids(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.replace({"admission": {101: 100}}))


def _two_splits(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.replace({"person": {7: 1}}))


def _no_number(hospital: Hospital) -> None:
    admissions = hospital.admissions.astype({"crea": object})
    admissions.loc[0, "crea"] = "high"
    hospital.write(admissions)


def test_a_dry_run_counts_and_opens_no_recording(
    run: Callable[..., tuple[int, str, str]], hospital: Hospital, tmp_path: Path
):
    for name in ("xray", "ecg"):
        shutil.rmtree(hospital.source / name)
    command = ["prepare", "small", "--catalog", tmp_path, "--source", hospital.source]
    status, shown, _ = run(*command, "--dry-run")
    assert status == 0
    assert "9 rows in the tables, 8 would be read" in shown
    assert "left out: 1 (nothing-recorded)" in shown
    assert "cxr + ecg + labs" in shown
    assert "train: 5 samples of 4 subjects" in shown
    assert not hospital.out.exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_missing_table, "admissions.csv"),
        (_missing_column, "crea"),
        (_duplicate_ids, "100"),
        (_two_splits, "subjects are in several splits, such as 1"),
        (_no_number, "crea"),
    ],
)
def test_tables_that_cannot_be_right_stop_prepare_and_leave_nothing(
    refused: Callable[..., str],
    prepare: list[str | Path],
    hospital: Hospital,
    spoil: Callable[[Hospital], None],
    said: str,
):
    spoil(hospital)
    answer = refused(*prepare)
    assert said in answer
    assert "high" not in answer, "patients' values are in no message"
    assert not hospital.out.exists()


def test_files_that_cannot_be_used_are_counted_and_shown(
    run: Callable[..., tuple[int, str, str]],
    prepare: list[str | Path],
    hospital: Hospital,
    write_ecg: Callable[..., None],
    rng: np.random.Generator,
):
    whole = (hospital.source / "xray/100.jpg").read_bytes()
    (hospital.source / "xray/100.jpg").write_bytes(whole[: len(whole) // 2])
    (hospital.source / "xray/101.jpg").unlink()
    signal = rng.normal(0, 0.3, (5000, 12))
    without_avf = [lead for lead in ("I", "II", "III", "aVR", "aVL", "V1", "V2", "V3", "V4")]
    without_avf += ["V5", "V6"]
    write_ecg(hospital.source / "ecg/100", signal[:, :11], leads=without_avf)
    signal[7, 3] = np.nan
    write_ecg(hospital.source / "ecg/101", signal)
    status, shown, said = run(*prepare)
    assert (status, said) == (0, "")
    for line in (
        "cxr rejected: 1 (truncated)",
        "cxr rejected: 1 (file-missing)",
        "ecg rejected: 1 (leads-missing)",
        "ecg rejected: 1 (nan)",
        "left out: 1 (nothing-recorded)",
    ):
        assert line in shown
    manifest = json.loads((hospital.out / "manifest.json").read_text())
    assert manifest["rejected"]["cxr"] == {"truncated": 1, "file-missing": 1}


def test_a_source_that_is_missing_is_asked_for(
    refused: Callable[..., str], hospital: Hospital, tmp_path: Path
):
    command = ["prepare", "small", "--catalog", tmp_path, "--source", tmp_path / "nowhere"]
    assert "no such folder; expected the raw files" in refused(*command, "--out", hospital.out)


def test_a_file_where_a_folder_must_be_is_a_sentence(
    refused: Callable[..., str], prepare: list[str | Path], tmp_path: Path
):
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refused(*prepare[:-1], tmp_path / "file" / "store")


def test_a_folder_that_is_no_store_is_refused_before_a_hospital_is_made_up(
    refused: Callable[..., str], tmp_path: Path
):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("")
    command = ["prepare", "synthetic", "--source", tmp_path / "raw", "--out", tmp_path / "other"]
    assert "exists and is not a cohort store. Choose another --out." in refused(*command)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "runs"


def _train(store: CohortStore, runs: Path, *more: str) -> list[str | Path]:
    command = ["train", "pretraining/symile", "--store", store.path, "--out", runs]
    return [*command, "--accelerator", "cpu", *SET, *more]


def test_train_then_evaluate(
    run: Callable[..., tuple[int, str, str]],
    refused: Callable[..., str],
    synthetic_store: CohortStore,
    runs: Path,
):
    status, shown, _ = run(*_train(synthetic_store, runs))
    assert status == 0
    assert "2 epochs" in shown
    assert "mlflow ui --backend-store-uri sqlite:" in shown
    record = tomllib.loads((runs / "symile-0/run.toml").read_text())
    assert record["definition"]["epochs"] == 2
    evaluate = ["evaluate", runs / "symile-0", "--store", synthetic_store.path]

    status, shown, _ = run(*evaluate, "--tasks", "retrieval/*", "--missingness", "without-ecg")
    assert status == 0
    assert "retrieval/cxr_given_ecg_labs" in shown
    assert "retrieval/ecg_given_cxr_labs is not evaluated under 'without-ecg'" in shown
    lines = (runs / "symile-0/results.jsonl").read_text().splitlines()
    assert {json.loads(line)["missingness"] for line in lines} == {"without-ecg"}
    asked = {json.loads(line)["task"] for line in lines}
    assert "retrieval/labs_given_cxr_ecg" in asked
    assert "retrieval/ecg_given_cxr_labs" not in asked

    said = refused(*evaluate, "--tasks", "retrieval/cxr_given_ecg_lab")
    assert "did you mean 'retrieval/cxr_given_ecg_labs'" in said
    said = refused(*evaluate, "--missingness", "whitout-ecg")
    assert "did you mean 'without-<modality>'" in said
    said = refused(*evaluate, "--missingness", "without-ekg")
    assert "'ekg' is not among the modalities" in said
    said = refused(*evaluate, "--tasks", "classification/cardiomegaly")
    assert "it codes no outcome 'cardiomegaly'" in said
    said = refused(*evaluate, "--tasks", "pretraining/clip")
    assert "is of kind pretraining" in said
    said = refused("evaluate", runs / "none", "--store", synthetic_store.path)
    assert "not a run: it has no run.toml" in said

    said = refused(*_train(synthetic_store, runs, "--set", "dim=4"))
    assert "holds a run of another task_digest" in said


def test_what_cannot_be_learned_from_leaves_no_run(
    run: Callable[..., tuple[int, str, str]],
    refused: Callable[..., str],
    prepare: list[str | Path],
    hospital: Hospital,
    runs: Path,
):
    run(*prepare)
    command = ["train", "pretraining/symile", "--store", hospital.out, "--out", runs]
    assert "the tuning split has 1 samples with all modalities of the task" in refused(*command)
    assert not runs.exists()


def test_more_gpus_than_there_are_is_a_sentence(
    refused: Callable[..., str], synthetic_store: CohortStore, runs: Path
):
    command = [*_train(synthetic_store, runs), "--accelerator", "cuda", "--devices", "99"]
    assert "CUDA devices; expected 99" in refused(*command)
    assert not runs.exists()

"""The console command, as a user meets it."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("word", "shown", "most"), [("--help", "prepare", 0.5), ("list", "cxr_given_ecg_labs", 1.0)]
)
def test_the_console_command_is_there_and_answers_at_once(word: str, shown: str, most: float):
    command = [sys.executable, "-m", "clinical_symile", word]
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        made = subprocess.run(command, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert shown in made.stdout
    assert min(seconds) < most, "a loaded machine takes half of it; it has loaded something heavy"


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
        ("train x --store a --out b --name ../x", "run '../x' cannot be a name"),
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
        ("evaluate a --store b --out c --name d --training-store e", "b: no manifest.json"),
        (
            "evaluate --predictions a --out b --training-store c",
            "takes no --training-store: only a RUN has one.",
        ),
        (
            "evaluate --scores a --store s --out b --similarity dot",
            "takes no --similarity: they are scores already.",
        ),
        (
            "evaluate a --store b --objective clip",
            "takes no --objective: RUN was trained with one.",
        ),
        ("evaluate --predictions a --out b --objective clip", "--predictions takes no --objective"),
        ("evaluate --predictions a --out b --missingness x", "takes no --missingness: the column"),
        (
            "evaluate --embeddings a --store s --out b --objective clip --missingness x",
            "--embeddings takes no --missingness: embeddings are scored under the patterns",
        ),
        ("benchmark benchmrk --cohort synthetic --out b", "did you mean 'benchmark'?"),
        ("benchmark benchmark --cohort syntetic --out b", "did you mean 'synthetic'?"),
        ("benchmark benchmark --cohort synthetic --out b --seeds 0,x", "expected a whole number"),
        ("benchmark benchmark --cohort synthetic --out b --tasks ,", "--tasks: is empty"),
        ("benchmark benchmark --cohort synthetic --out b --tasks nothing/*", "no task among"),
        (
            "benchmark benchmark --cohort synthetic --out b --tasks retrieval/cxr_given_ecg_lab",
            "did you mean 'retrieval/cxr_given_ecg_labs'?",
        ),
        (
            "benchmark benchmark --cohort synthetic --out b --tasks pretraining/symile",
            "is of kind pretraining; expected retrieval, classification or diagnostic",
        ),
        (
            "benchmark benchmark --cohort synthetic --out b "
            "--tasks classification/in_hospital_mortality",
            "is not applicable to cohort 'synthetic': it codes no outcome",
        ),
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


def test_a_file_where_a_folder_must_be_is_a_sentence(
    refused: Callable[..., str], prepare: list[str | Path], tmp_path: Path
):
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refused(*prepare[:-1], tmp_path / "file" / "store")


def test_a_name_that_is_too_long_for_the_disk_is_a_sentence(
    refused: Callable[..., str], prepare: list[str | Path], tmp_path: Path
):
    assert "File name too long. Fix it" in refused(*prepare[:-1], tmp_path / ("a" * 300))


OLD_TASK = """
extends = "pretraining/symile"
absent = "omit"
"""


def test_an_old_word_is_warned_of_in_one_plain_line(tmp_path: Path):
    """In a process of its own: here, warnings are errors."""
    task = tmp_path / "tasks/pretraining/old.toml"
    task.parent.mkdir(parents=True)
    task.write_text(OLD_TASK)
    command = [sys.executable, "-m", "clinical_symile", "--catalog", tmp_path, "check"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = made.stderr.splitlines()
    assert lines == [
        f"warning: {task}: key 'absent' is called 'missing_modality' since 0.2.0. "
        "The old name is read until 0.3.0. Rename it. [CS-W001]",
        f'warning: {task}: missing_modality = "omit" is called "drop" since 0.2.0. '
        "The old name is read until 0.3.0. Rename it. [CS-W001]",
    ]


def test_other_warnings_keep_their_form():
    code = (
        "import warnings, sys\n"
        "from clinical_symile.cli import main as command\n"
        "command.verb_function = lambda verb, pattern: lambda o: warnings.warn('careful') or 0\n"
        "command.main(['doctor'])\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "UserWarning: careful" in made.stderr

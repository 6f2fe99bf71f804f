"""What `doctor` says of a store, and `prepare` of one that is there already."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clinical_symile.cli.doctor import check_machine
from clinical_symile.cli.main import main
from tests.helpers.hospital import Hospital


def prepare(hospital: Hospital) -> None:
    command = ["prepare", "small", "--catalog", hospital.definition.parents[2]]
    command += ["--source", hospital.source, "--out", hospital.out]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in command])
    assert stop.value.code == 0


def test_a_store_is_read_in_full(hospital: Hospital, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(hospital)
    finding = check_machine([], store=hospital.out)[-1]
    assert finding.well
    assert finding.sentence == f"store {hospital.out}: all files match their checksums"
    array = hospital.out / "ecg.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"x")
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--store", str(hospital.out)])
    assert stop.value.code == 1
    assert "ecg.npy: its checksum is not the manifest's" in capsys.readouterr().out


def test_a_folder_that_is_no_store_is_a_problem(tmp_path: Path) -> None:
    assert "no manifest.json" in check_machine([], store=tmp_path)[-1].sentence


def test_prepare_says_when_nothing_was_read(
    hospital: Hospital, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(hospital)
    assert "Already there" not in capsys.readouterr().out
    prepare(hospital)
    assert "Already there; nothing was read. Remove it to read" in capsys.readouterr().out


def test_doctor_says_what_is_there(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    status, shown, _ = run("doctor")
    assert status == 0
    for part in ("Python 3", "torch", "CPU:", "disk:", "definitions:", "MLflow:"):
        assert part in shown


def test_doctor_says_what_is_wrong_and_exits_with_1(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    status, shown, _ = run("doctor", "--catalog", tmp_path / "nowhere")
    assert status == 1
    assert "PROBLEM MLflow: the server" in shown
    assert "PROBLEM definitions: catalog" in shown


@pytest.mark.parametrize("uri", ["http://me:c4n4ry/x@127.0.0.1:9", "http://127.0.0.1:9/?a=c4n4ry"])
def test_doctor_shows_no_credentials_of_the_server(
    uri: str, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    status, shown, said = run("doctor")
    assert status == 1
    assert "does not answer" in shown
    assert "c4n4ry" not in shown + said

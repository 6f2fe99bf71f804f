"""The example of precomputed embeddings: prepared, trained, evaluated and compared like signals."""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.cli.main import main
from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import open_store
from clinical_symile.tracking.run import Run
from clinical_symile.training.train import train
from tests.helpers.synthetic import quiet
from tests.integration.test_readme import ROOT, commands

EXAMPLE = ROOT / "examples/embeddings"


def write_raw(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
    from make_raw import write_raw as write  # pyright: ignore[reportMissingImports]

    write(folder)


def test_ids_that_the_file_lacks_are_counted_and_the_rest_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_raw(tmp_path / "raw", monkeypatch)
    with np.load(tmp_path / "raw/cxr.npz") as arrays:
        kept = {name: arrays[name][12:] for name in arrays.files}
    np.savez(tmp_path / "raw/cxr.npz", **kept)
    catalog = open_catalog([EXAMPLE])
    prepare_cohort(catalog, "embedded", source=tmp_path / "raw", out=tmp_path / "store", bar=quiet)
    store = open_store(tmp_path / "store")
    assert 6 <= store.manifest["rejected"]["cxr"]["not-in-array"] <= 12  # a tenth has no X-ray
    assert store.inputs("ecg", np.arange(3)).shape == (3, 24)
    task = read_task(catalog, "embedded/pretraining/symile", overrides=["epochs=1"])
    assert isinstance(task, Pretraining)
    assert train(task, store=store, run=Run(tmp_path / "run"), seed=0).is_finished


@pytest.mark.slow
def test_the_commands_of_the_example_work_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    first, *others = commands("examples/embeddings/README.md")
    assert first == "python examples/embeddings/make_raw.py raw"
    write_raw(tmp_path / "raw", monkeypatch)
    for command in others:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        assert not ended.value.code, command
    assert "symile" in capsys.readouterr().out
    assert (tmp_path / "runs/comparisons.jsonl").is_file() or (
        tmp_path / "comparisons.jsonl"
    ).is_file()

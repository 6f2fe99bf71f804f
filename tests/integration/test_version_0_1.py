"""A store, runs and a benchmark that version 0.1 wrote open, or are refused with what to do.

`tests/helpers/version_0_1.tar.xz` was written by the code of version 0.1.0 (commit dd805dd): its
synthetic hospital with 32 subjects, X-rays of 32 pixels in blocks of one grey, three labs, CLIP
with two seeds, and a baseline. The report and the MLflow files were left out, and the place of the
store in `benchmark.json` is one that does not exist. `catalog` has the definitions.
"""

import json
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from clinical_symile.api.validation import validate
from clinical_symile.api.verification import verify_folder
from clinical_symile.cli.main import main
from clinical_symile.data.store import open_store
from clinical_symile.errors import RenamedWordWarning, UncheckedFilesWarning
from clinical_symile.tracking.run import Run

ARCHIVE = Path(__file__).parents[1] / "helpers" / "version_0_1.tar.xz"
RUN, TASKS = "pretraining-clip-0", "tiny/*"

pytestmark = pytest.mark.filterwarnings(
    "ignore::clinical_symile.errors.RenamedWordWarning",
    "ignore::clinical_symile.errors.UncheckedFilesWarning",
)


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    status = 0
    try:
        status = main(["--catalog", "catalog", *arguments.split()]) or 0
    except SystemExit as stop:
        status = int(stop.code or 0) if not isinstance(stop.code, str) else 1
    said = capsys.readouterr()
    return status, " ".join((said.out + said.err).split())


def test_the_store_opens_with_a_note_that_it_has_no_checksums(old: Path) -> None:
    with pytest.warns(UncheckedFilesWarning, match="as a store of version 0.2.1 and before"):
        store = open_store(old / "store")
    assert store.modalities == ("cxr", "labs")
    assert store.array("cxr").shape == (len(store.samples), 1, 32, 32)
    assert np.isin(store.samples["split"], ("train", "tuning", "held_out")).all()


def test_the_run_opens_with_its_results(old: Path) -> None:
    run = Run(old / "runs" / RUN)
    assert run.is_trained
    assert run.is_finished
    with pytest.warns(RenamedWordWarning, match="writes the new name"):
        snapshot = run.snapshot()
    assert {row.task for row in snapshot.results} == {
        "tiny/retrieval/cxr",
        "tiny/classification/heart",
    }


def test_verify_compares_the_store_and_names_every_folder_without_checksums(old: Path) -> None:
    found = verify_folder(old)
    assert not found.is_intact
    assert not found.changed
    assert {path.name for path in found.unchecked} >= {"store", RUN, "prevalence", old.name}
    assert "verify --renew" in str(found)
    assert "as written" not in str(verify_folder(old / "runs" / RUN))
    labs = old / "store" / "labs.npy"
    labs.write_bytes(labs.read_bytes()[:-4] + b"\1\2\3\4")
    assert [one.path.name for one in verify_folder(old).changed] == ["labs.npy"]


def test_its_files_fit_the_schemas(old: Path) -> None:
    found = validate(old)
    assert found.is_valid, str(found)
    assert found.checked > 10


def test_once_checksums_are_renewed_nothing_is_unchecked(old: Path) -> None:
    assert verify_folder(old, renew=True).is_intact
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncheckedFilesWarning)
        open_store(old / "store")


@pytest.mark.slow
def test_every_verb_uses_the_old_folders_or_says_what_to_do(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = f"runs/{RUN} runs/pretraining-clip-1"
    status, said = _run(f"compare {runs} --store store --tasks {TASKS}", capsys)
    assert status == 1
    assert "Evaluate it again on" in said
    status, said = _run("rerun results.jsonl --line 1", capsys)
    assert status == 1
    assert "Run `clinical-symile evaluate` again." in said
    again = f"train tiny/pretraining/clip --store store --out runs --name {RUN}"
    status, said = _run(again, capsys)
    assert status == 1
    assert "Give another folder or name, or remove this one." in said
    before = {row.metric: row.value for row in Run(old / "runs" / RUN).results}
    for run in runs.split():
        status, said = _run(f"evaluate {run} --store store --tasks {TASKS}", capsys)
        assert (status, "95 % intervals" in said) == (0, True), said
    after = {row.metric: row.value for row in Run(old / "runs" / RUN).results}
    assert after["recall_at_1"] == pytest.approx(
        before["recall_at_1"], abs=0.1
    )  # two of 23 queries
    status, said = _run(f"compare {runs} --store store --tasks {TASKS}", capsys)
    assert (status, "intervals by paired bootstrap" in said) == (0, True), said
    for command in ("report benchmark --out .", "sync .", "export . --format csv"):
        status, said = _run(command, capsys)
        assert status == 0, (command, said)
    status, said = _run("train tiny/pretraining/clip --store store --out new", capsys)
    assert (status, Run(old / "new" / RUN).is_finished) == (0, True), said


def test_a_moved_benchmark_whose_store_is_lost_says_where_it_was_looked_for(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = json.loads((old / "benchmark.json").read_text())["store"]
    (old / "store").rename(old / "elsewhere")
    status, said = _run("report benchmark --out .", capsys)
    assert status == 1
    assert f"benchmark.json: the store is neither at {place} nor at store." in said

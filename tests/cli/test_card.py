"""`clinical-symile card` and the records that it is filled from: of a store, a run, a benchmark."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import clinical_symile as cs
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.reporting.cards.card_data import (
    evaluated_runs,
    is_benchmark,
    is_store,
    load_records,
    run_store,
)
from clinical_symile.tracking.run import Run


@pytest.fixture
def lonely(benchmark_folder: Path, tmp_path: Path) -> Path:
    """A run that was moved away from its store."""
    return shutil.copytree(benchmark_folder / "runs/symile-0", tmp_path / "far/away/symile-0")


def test_a_page_and_a_croissant_file_are_written(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path, tmp_path: Path
):
    page = tmp_path / "card.html"
    status, shown, _ = run("card", benchmark_folder / "store", "--out", page)
    beside = tmp_path / "card.croissant.json"
    assert (status, shown) == (0, f"Card: {page}\nCroissant: {beside}\n")
    assert "<html" in page.read_text()
    assert json.loads(beside.read_text())["@type"]


def test_a_run_gets_a_model_card_that_names_no_sample(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path, tmp_path: Path
):
    page = tmp_path / "symile.html"
    status, shown, _ = run("card", benchmark_folder / "runs/symile-0", "--out", page)
    beside = tmp_path / "symile.md"
    assert (status, shown) == (0, f"Card: {page}\nMarkdown: {beside}\n")
    samples = open_store(benchmark_folder / "store").samples
    ids = {*samples["sample"].astype(str), *samples["subject"].astype(str)}
    for path in (page, beside):
        text = path.read_text(encoding="utf-8")
        assert "Synthetic hospital" in text
        assert not [one for one in ids if one in text]
        assert str(benchmark_folder) not in text


def test_a_benchmark_gets_a_card_for_each_method_in_a_folder(
    run: Callable[..., tuple[int, str, str]],
    refused: Callable[..., str],
    benchmark_folder: Path,
    tmp_path: Path,
):
    said = refused("card", benchmark_folder, "--out", tmp_path / "card.html")
    assert "a card for each method" in said
    status, shown, _ = run("card", benchmark_folder, "--out", tmp_path / "cards")
    assert status == 0
    names = [Path(line.partition(": ")[2]).name for line in shown.splitlines()]
    assert names == ["symile.html", "symile.md", "clip.html", "clip.md"]
    text = (tmp_path / "cards/clip.md").read_text(encoding="utf-8")
    assert "## Compared with baselines and other methods" in text


def test_the_oracle_has_no_model_card(benchmark_folder: Path, tmp_path: Path):
    folder = benchmark_folder / "runs/oracle"
    (folder / "run.toml").write_text('name = "oracle"\n')
    (folder / "checksums.jsonl").unlink(missing_ok=True)
    with pytest.raises(DataError, match="baseline or the oracle"):
        cs.card(folder, out=tmp_path / "card.html", store=benchmark_folder / "store")


def test_folders_are_told_apart(benchmark_folder: Path):
    run, store = benchmark_folder / "runs/symile-0", benchmark_folder / "store"
    assert [is_benchmark(path) for path in (benchmark_folder, run, store)] == [True, False, False]
    assert [is_store(path) for path in (benchmark_folder, run, store)] == [False, False, True]


def test_a_benchmark_and_its_run_have_the_same_cohort_and_results(
    benchmark_folder: Path, catalog: Catalog
):
    whole = load_records(benchmark_folder, catalog=catalog)
    run = load_records(benchmark_folder / "runs/symile-0", catalog=catalog)
    assert whole.cohort["digest"] == run.cohort["digest"]
    assert list(run.results) == [row for row in whole.results if row.run == "symile-0"]
    assert run.comparisons == []
    assert {row.run for row in whole.comparisons} == {"symile-0"}


def test_a_run_without_its_store_says_less_and_takes_another_place(
    lonely: Path, benchmark_folder: Path, catalog: Catalog
):
    assert load_records(lonely, catalog=catalog).cohort == {}
    named = load_records(lonely, catalog=catalog, store=benchmark_folder / "store")
    assert named.cohort["cohort"] == "synthetic"
    with pytest.raises(DataError, match="Name the store with --store"):
        evaluated_runs(lonely, store=None, catalog=catalog)


def test_another_store_is_refused(lonely: Path, synthetic_store: CohortStore, catalog: Catalog):
    toml = lonely / "run.toml"
    known = Run(lonely).metadata["store_digest"]
    (lonely / "checksums.jsonl").unlink()
    toml.write_text(toml.read_text().replace(known, "0123456789abcdef"))
    with pytest.raises(DataError, match="was trained on store 0123456789abcdef"):
        run_store(Run(lonely), synthetic_store.path)
    with pytest.raises(DataError, match="trained on store"):
        load_records(lonely, catalog=catalog, store=synthetic_store.path)


def test_what_is_neither_or_has_no_results_is_refused(
    benchmark_folder: Path, lonely: Path, catalog: Catalog, tmp_path: Path
):
    for path in (benchmark_folder / "store", tmp_path / "nowhere"):
        with pytest.raises(DataError, match="neither a benchmark nor a run"):
            load_records(path, catalog=catalog)
    (lonely / "results.jsonl").unlink()
    (lonely / "checksums.jsonl").unlink()
    with pytest.raises(DataError, match="was not evaluated"):
        load_records(lonely, catalog=catalog)


def test_the_runs_of_a_benchmark_are_those_with_results(benchmark_folder: Path, catalog: Catalog):
    store, runs, tasks = evaluated_runs(benchmark_folder, store=None, catalog=catalog)
    assert store.cohort == "synthetic"
    assert {"symile-0", "clip-0"} <= {run.name for run in runs}
    assert list(tasks) == ["retrieval/cxr_given_ecg_labs"]


def test_a_run_that_was_evaluated_on_another_cohort_says_where_it_was_trained(
    lonely: Path, tmp_path: Path
):
    known = Run(lonely).metadata
    Run(lonely).write_metadata(
        {
            "name": "symile-0",
            "run": "symile-0",
            "trained_on": "elsewhere",
            "training_store_digest": "0123456789abcdef",
            "store_digest": known["store_digest"],
            "cohort": "synthetic",
            "definition": {"description": "symile-0 was trained on cohort elsewhere."},
        }
    )
    _, beside = cs.card(lonely, out=tmp_path / "card.html")
    text = beside.read_text(encoding="utf-8")
    assert "Training cohort: elsewhere. Evaluated on cohort synthetic." in text
    assert "**digest of the training store**: 0123456789abcdef" in text
    assert "was trained on cohort elsewhere and evaluated on synthetic" in text
    assert "not validated externally" not in text

"""The commands of the guide on external models run as they are written."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.cli.main import main
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.store import CohortStore
from tests.integration.test_readme import commands

PAGE = "docs/guides/external_model.md"
RETRIEVAL = "retrieval/cxr_given_ecg_labs"


def _labelled(rng: np.random.Generator) -> pd.DataFrame:
    label = rng.integers(2, size=80)
    risk = np.clip(0.3 * label + 0.7 * rng.random(80), 0, 1)
    return pd.DataFrame({"predictions": risk, "labels": label})


def _risks(store: CohortStore, rng: np.random.Generator) -> pd.DataFrame:
    ids = store.samples["sample"]
    return pd.DataFrame({"sample": ids, "probability": rng.random(len(ids))})


def _embeddings(store: CohortStore, rng: np.random.Generator) -> pd.DataFrame:
    rows, columns = np.nonzero(store.present)
    return pd.DataFrame(
        {
            "sample": store.samples["sample"].to_numpy()[rows],
            "modality": np.array(store.modalities)[columns],
            "embedding": list(rng.normal(size=(len(rows), 4)).astype(np.float32)),
        }
    )


def _scores(store: CohortStore, catalog: Catalog, rng: np.random.Generator) -> pd.DataFrame:
    task = read_task(catalog, RETRIEVAL)
    assert isinstance(task, Retrieval)
    lists = candidate_lists(task, store).table()
    if "query" not in lists:
        rows = lists["candidate"].to_numpy()
        lists = pd.DataFrame(
            {"query": np.repeat(rows, len(rows)), "candidate": np.tile(rows, len(rows))}
        )
    ids = store.samples["sample"].to_numpy()
    return pd.DataFrame(
        {
            "query": ids[lists["query"]],
            "candidate": ids[lists["candidate"]],
            "score": rng.random(len(lists)),
        }
    )


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples", "no_mlflow_copies")
def test_every_command_of_the_guide_runs(
    synthetic_store: CohortStore,
    catalog: Catalog,
    rng: np.random.Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("work", "demo"):
        Path(folder).mkdir()
        (Path(folder) / "store").symlink_to(synthetic_store.path)
    for name in ("test_predictions_fold1_seed42.csv", "another_model.csv"):
        _labelled(np.random.default_rng(0)).assign(predictions=rng.random(80)).to_csv(
            name, index=False
        )
    run = [shlex.split(c)[1:] for c in commands(PAGE) if c.startswith("clinical-symile")]
    assert len(run) == 6
    for number, words in enumerate(run):
        if "theirs.parquet" in words:
            made = {
                "--predictions": lambda: _risks(synthetic_store, rng),
                "--embeddings": lambda: _embeddings(synthetic_store, rng),
                "--scores": lambda: _scores(synthetic_store, catalog, rng),
            }
            kind = next(option for option in made if option in words)
            made[kind]().to_parquet("theirs.parquet", index=False)
            # Three kinds of file have one name in the guide.
            words = [*words, "--name", f"theirs-{number}"]
        if "--embeddings" in words:
            words = [*words, "--tasks", RETRIEVAL]
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0, capsys.readouterr().err

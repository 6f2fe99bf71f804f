"""No run of a user takes the name of the oracle or of a baseline, by whatever way it comes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.api.runs import evaluate
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluation.compare import compare_all
from clinical_symile.evaluation.references import evaluate_baseline, evaluate_oracle
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.registry.families import BASELINES
from clinical_symile.registry.run_names import (
    ORACLE,
    PAIR_SUMS,
    baseline_run_name,
    check_run_name,
    is_reserved_name,
)
from clinical_symile.tracking.run import Run
from clinical_symile.training.train import train

SAYS = "is the name of the oracle or of a baseline; expected another"
TRAINED = {"definition": {}, "cohort": "synthetic", "store_digest": "0", "seed": 0}


@pytest.mark.parametrize("name", [ORACLE, "Oracle", PAIR_SUMS, *BASELINES, "Late-Fusion"])
def test_every_reserved_name_is_refused_in_any_form_of_its_letters(name: str) -> None:
    assert is_reserved_name(name)
    with pytest.raises(DataError, match=f"here: '{name}' {SAYS}"):
        check_run_name(name, where="here")


@pytest.mark.parametrize("name", ["source", "Export", "mlartifacts", "mlruns", "mlflow.db-0"])
def test_a_run_whose_files_would_have_no_checksums_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="checksums leave out"):
        check_run_name(name, where="here")


@pytest.mark.parametrize("name", ["symile-0", "oracle-0", "my oracle", "prevalence2"])
def test_other_names_are_returned(name: str) -> None:
    assert check_run_name(name, where="here") == name


def test_a_baseline_of_another_package_has_a_name_that_is_a_folder() -> None:
    assert baseline_run_name("hospital.models:Age") == "hospital.models.Age"


@pytest.mark.parametrize(
    "command",
    [
        ("train", "pretraining/clip", "--store", "s", "--out", "o"),
        ("evaluate", "runs/clip-0", "--store", "s", "--out", "o"),
        ("evaluate", "--predictions", "p.csv", "--out", "o"),
        ("evaluate", "--embeddings", "e.csv", "--objective", "clip", "--store", "s", "--out", "o"),
        ("evaluate", "--scores", "p.csv", "--store", "s", "--out", "o"),
        ("import-checkpoint", "x.ckpt", "--store", "s", "--out", "o"),
        ("interpolate", "runs/a", "runs/b", "--store", "s", "--out", "o"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_verb_refuses_the_name_of_a_baseline_before_it_reads_a_file(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    from clinical_symile.cli.main import main

    for name in ("oracle", "prevalence"):
        with pytest.raises(SystemExit):
            main([*command, "--name", name])
        said = " ".join(capsys.readouterr().err.split())
        assert f"'{name}' {SAYS}" in said


@pytest.mark.parametrize(
    "name", ["pretraining/oracle", "pretraining/prevalence", "pretraining/late_fusion"]
)
def test_a_method_of_a_toml_file_has_a_name_of_its_own(
    name: str, catalog: Catalog, tmp_path: Path
) -> None:
    table = read_task(catalog, "pretraining/clip").model_dump(mode="json", exclude={"name"})
    with pytest.raises(DefinitionError, match="has the name of the oracle or of a baseline"):
        parse_task(table, name=name, where="file.toml")
    assert parse_task(table, name="pretraining/mine", where="file.toml").name == "pretraining/mine"


class _Embeds:
    def embed(self, store: CohortStore, rows: np.ndarray) -> Any:
        raise AssertionError("the name is refused first")


@pytest.mark.parametrize("out", [False, True])
def test_a_model_from_python_has_a_name_of_its_own(
    out: bool, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" if out else None
    called: Callable[..., Any] = type("Prevalence", (_Embeds,), {})
    for model, name in ((_Embeds(), "oracle"), (called(), None)):
        with pytest.raises(DataError, match=SAYS):
            evaluate(
                model,
                synthetic_store,
                tasks="retrieval/cxr_given_ecg_labs",
                name=name,
                out=folder,
                progress=False,
            )
    assert not (tmp_path / "runs").exists()


def test_a_training_into_a_reserved_folder_is_refused(
    synthetic_store: CohortStore, tiny_task: Pretraining, tmp_path: Path
) -> None:
    run = Run(tmp_path / "oracle")
    with pytest.raises(DataError, match=SAYS):
        train(tiny_task, store=synthetic_store, run=run, seed=0)
    assert not run.path.exists()


def test_a_trained_run_whose_folder_was_renamed_is_neither_evaluated_nor_compared(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    run = Run(tmp_path / "prevalence")
    run.write_metadata({"name": "clip-0", "task": "pretraining/clip", **TRAINED})
    with pytest.raises(DataError, match=SAYS):
        evaluate_run(run, [], store=synthetic_store)
    with pytest.raises(DataError, match=SAYS):
        compare_all([run, Run(tmp_path / "clip-1")], [], store=synthetic_store)


def _evaluate_reserved(
    name: str, task: EvaluationTask, store: CohortStore, run: Run, pretraining: Pretraining
) -> None:
    if name == ORACLE:
        evaluate_oracle([task], store=store, run=run)
    else:
        evaluate_baseline(name, [task], store=store, run=run, pretraining=[pretraining])


@pytest.mark.parametrize("kind", ["task", "predictions", "embeddings", "scores", "model"])
def test_neither_a_baseline_nor_the_oracle_takes_the_folder_of_another_run(
    kind: str,
    synthetic_store: CohortStore,
    catalog: Catalog,
    tiny_task: Pretraining,
    tmp_path: Path,
) -> None:
    classification = read_task(catalog, "classification/deterioration")
    assert not isinstance(classification, Pretraining)
    for name in ("oracle", "prevalence"):
        run = Run(tmp_path / name)
        run.write_metadata({"name": name, kind: "theirs", **TRAINED})
        (run.path / "model.safetensors").write_bytes(b"weights")
        with pytest.raises(DataError, match=f"holds a run of {kind} 'theirs'"):
            _evaluate_reserved(name, classification, synthetic_store, run, tiny_task)
        assert (run.path / "model.safetensors").read_bytes() == b"weights"

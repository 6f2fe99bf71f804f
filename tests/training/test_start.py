"""A training that starts from the weights of a run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.external.training_inputs import INPUTS_FILE
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluation.external_validation import open_validation
from clinical_symile.hashing import file_sha256
from clinical_symile.tracking._mlflow_payload import flatten_parameters
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner
from clinical_symile.training.start import load_start, start_record
from clinical_symile.training.train import train
from tests.helpers.synthetic import mlp_task


@pytest.fixture(scope="module")
def first(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run of Symile of one epoch."""
    run = Run(tmp_path_factory.mktemp("start") / "first")
    task = mlp_task(catalog, "epochs=1")
    return train(task, store=synthetic_store, run=run, seed=1, accelerator="cpu")


def second(catalog: Catalog, run: Run, *overrides: str, task: str = "pretraining/symile"):
    return mlp_task(catalog, "epochs=2", f'start="{run.path}"', *overrides, task=task)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.weights)


@pytest.mark.parametrize(
    ("overrides", "task", "anew"),
    [
        ((), "pretraining/symile", []),
        ((), "pretraining/clip", ["objective"]),
        (("missing_modality=learned",), "pretraining/symile", ["missing_modality"]),
    ],
)
def test_a_training_starts_from_the_runs_weights_and_says_what_begins_anew(
    overrides: tuple[str, ...],
    task: str,
    anew: list[str],
    catalog: Catalog,
    synthetic_store: CohortStore,
    first: Run,
) -> None:
    asked = second(catalog, first, *overrides, task=task)
    fresh = build_learner(asked, synthetic_store, seed=0)
    learner = build_learner(asked, synthetic_store, seed=0)
    assert load_start(learner, asked) == anew
    before, found, new = weights(first), learner.state_dict(), fresh.state_dict()
    for name, value in found.items():
        is_new = name.startswith(tuple(f"{'model.' * (a != 'objective')}{a}." for a in anew))
        assert torch.equal(value, (new if is_new else before)[name]), name
    assert any(not torch.equal(found[name], new[name]) for name in found)


def test_a_started_run_records_its_start_and_resumes_to_the_bit_without_it(
    catalog: Catalog, synthetic_store: CohortStore, first: Run, tmp_path: Path
) -> None:
    task = second(catalog, first, task="pretraining/clip")

    def learn(name: str, stop: int | None = None) -> Run:
        def stop_there(run: Run) -> None:
            if len(run.history) == stop:
                raise KeyboardInterrupt

        run = Run(tmp_path / name)
        return train(
            task, store=synthetic_store, run=run, seed=0, accelerator="cpu", on_epoch=stop_there
        )

    whole = learn("whole")
    assert whole.metadata["start"] == {
        "run": "first",
        "task": "pretraining/symile",
        "weights_sha256": file_sha256(first.weights),
        "trained_on": [{"cohort": "synthetic", "store_digest": synthetic_store.digest}],
        "new": ["objective"],
    }
    assert whole.metadata["definition"]["start"] == "first"
    assert str(first.path.parent) not in (whole.path / "run.toml").read_text()
    assert str(first.path.parent) not in str(flatten_parameters(whole.metadata))
    with pytest.raises(KeyboardInterrupt):
        learn("stopped", stop=1)
    aside = first.path.rename(first.path.with_name("aside"))
    try:
        stopped = learn("stopped")
    finally:
        aside.rename(first.path)
    assert stopped.weights.read_bytes() == whole.weights.read_bytes()
    assert stopped.metadata["start"] == whole.metadata["start"]
    before = first.weights.read_bytes()
    try:
        first.weights.write_bytes(whole.weights.read_bytes())
        with pytest.raises(DataError, match="holds a run of another start_weights"):
            learn("whole")
    finally:
        first.weights.write_bytes(before)
    assert learn("whole").metadata == whole.metadata
    without = mlp_task(catalog, "epochs=2", task="pretraining/clip")
    plain = train(
        without, store=synthetic_store, run=Run(tmp_path / "plain"), seed=0, accelerator="cpu"
    )
    assert plain.weights.read_bytes() != whole.weights.read_bytes()
    assert "start" not in plain.metadata


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dim=16"], r"has dim = 8; expected 16, as in this task. Set dim to that of the run"),
        (["norm=layer_norm"], r"has norm = l2; expected layer_norm"),
        (["encoders.labs.hidden=[4]"], r"has encoders.labs = .*\[8\].*; expected .*\[4\]"),
        (
            ['modalities=["cxr","labs"]', 'selection.targets=["cxr"]'],
            r"has modalities = \('cxr', 'ecg', 'labs'\); expected \('cxr', 'labs'\)",
        ),
    ],
)
def test_another_model_is_refused_with_what_to_do(
    overrides: list[str],
    message: str,
    catalog: Catalog,
    synthetic_store: CohortStore,
    first: Run,
    tmp_path: Path,
) -> None:
    task = second(catalog, first)
    if "modalities" in overrides[0]:
        kept = {name: task.encoders[name] for name in ("cxr", "labs")}
        task = task.model_copy(update={"modalities": ("cxr", "labs"), "encoders": kept})
    else:
        task = second(catalog, first, *overrides)
    with pytest.raises(DefinitionError, match=message):
        train(task, store=synthetic_store, run=Run(tmp_path / "no"), seed=0, accelerator="cpu")
    assert not (tmp_path / "no" / "run.toml").exists()


def test_encoders_of_other_shapes_are_refused(
    catalog: Catalog, synthetic_store: CohortStore, first: Run
) -> None:
    gaussian = second(catalog, first, task="pretraining/objectives/probmed")
    learner = build_learner(gaussian, synthetic_store, seed=0)
    with pytest.raises(DefinitionError, match=r"has shape \[8\] for .*; expected shape \[16\]"):
        load_start(learner, gaussian)


def test_a_run_on_another_store_of_the_same_cohort_is_refused(
    catalog: Catalog, synthetic_store: CohortStore, first: Run
) -> None:
    task = second(catalog, first)
    changed = {**synthetic_store.manifest, "digest": "0123456789abcdef"}
    again = replace(synthetic_store, manifest=changed)
    with pytest.raises(DataError, match="tuning and held-out subjects may have been in that train"):
        start_record(task, again)
    elsewhere = replace(synthetic_store, manifest={**changed, "cohort": "another"})
    [trained_on] = start_record(task, elsewhere)["start"]["trained_on"]
    assert trained_on == {"cohort": "synthetic", "store_digest": synthetic_store.digest}


def test_a_chain_of_runs_over_another_cohort_leads_to_no_other_store(
    catalog: Catalog, synthetic_store: CohortStore, first: Run, tmp_path: Path
) -> None:
    def on(cohort: str, digest: str) -> CohortStore:
        changed = {**synthetic_store.manifest, "cohort": cohort, "digest": digest}
        return replace(synthetic_store, manifest=changed)

    def follow(run: Run, store: CohortStore, name: str) -> Run:
        task = mlp_task(catalog, "epochs=1", f'start="{run.path}"')
        return train(task, store=store, run=Run(tmp_path / name), seed=0, accelerator="cpu")

    other = on("other", "0123456789abcdef")
    last = follow(follow(first, other, "b"), other, "b2")
    assert last.metadata["start"]["trained_on"] == [
        {"cohort": "other", "store_digest": other.digest},
        {"cohort": "synthetic", "store_digest": synthetic_store.digest},
    ]
    again = on("synthetic", "fedcba9876543210")
    with pytest.raises(DataError, match="by itself or by a run that it started from"):
        start_record(second(catalog, last), again)
    assert start_record(second(catalog, last), synthetic_store)
    with pytest.raises(DataError, match="whose held-out subjects may have been in that training"):
        open_validation(last, again, training=other)
    validation = open_validation(last, synthetic_store, training=other)
    assert "its weights started from a training on 'other' and 'synthetic'." in validation.notes


@pytest.mark.parametrize("change", ["order", "units"])
def test_another_panel_of_the_same_shape_is_refused(
    change: str, catalog: Catalog, synthetic_store: CohortStore, first: Run
) -> None:
    modalities, units = synthetic_store.manifest["modalities"], synthetic_store.manifest["units"]
    if change == "order":
        parts = modalities["labs"]["parts"][::-1]
        modalities = {**modalities, "labs": {**modalities["labs"], "parts": parts}}
    else:
        units = {**units, "labs": ["g/L", *units["labs"][1:]]}
    changed = {**synthetic_store.manifest, "modalities": modalities, "units": units}
    store = replace(synthetic_store, manifest={**changed, "cohort": "other"})
    with pytest.raises(DefinitionError, match=r"read labs with (parts|units) = .*; this store has"):
        start_record(second(catalog, first), store)


def test_what_is_no_finished_run_is_refused(
    catalog: Catalog, synthetic_store: CohortStore, first: Run, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"not a run: it has no run\.toml"):
        start_record(second(catalog, Run(tmp_path)), synthetic_store)
    unfinished = Run(tmp_path / "unfinished")
    unfinished.write_metadata({k: v for k, v in first.metadata.items() if k != "finished"})
    with pytest.raises(DataError, match=r"is not a finished run .* has no finished"):
        start_record(second(catalog, unfinished), synthetic_store)


def test_labels_that_the_run_saw_were_seen(
    catalog: Catalog, synthetic_store: CohortStore, first: Run, tmp_path: Path
) -> None:
    seeing = Run(tmp_path / "seeing")
    seeing.write_metadata({**first.metadata, "saw_labels": ["deterioration"]})
    for name in (seeing.weights.name, INPUTS_FILE):
        (seeing.path / name).write_bytes((first.path / name).read_bytes())

    def labels(task: Pretraining) -> Mapping[str, Any]:
        return start_record(task, synthetic_store)["saw_labels"]

    assert labels(second(catalog, seeing)) == ["deterioration"]
    own = second(
        catalog,
        seeing,
        'side.labels=["lung_mass"]',
        task="pretraining/objectives/supcon",
    )
    assert labels(own) == ["deterioration", "lung_mass"]
    told = second(catalog, seeing, 'missingness="mnar-lung_mass-50"')
    assert labels(told) == ["deterioration", "lung_mass"]
    assert start_record(mlp_task(catalog), synthetic_store) == {}

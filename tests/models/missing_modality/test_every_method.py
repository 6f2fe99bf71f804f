import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.loader import Batch, load_batch
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import build_training_view
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.models.missing_modality.indicator import Indicator
from clinical_symile.models.multimodal import build_model
from clinical_symile.objectives.subsets import SubsetSum
from clinical_symile.registry.families import MISSING_MODALITY_METHODS
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import build_learner
from clinical_symile.training.train import train
from tests.helpers.synthetic import tiny

MODALITIES = ("cxr", "ecg", "labs")
TASKS = [
    "adapted",
    "adapted_lora",
    "bank",
    "complete",
    "disentangled",
    "dropout",
    "dropout_rising",
    "imputed",
    "imputed_values",
    "indicator",
    "learned",
    "masked_cube",
    "masked_cube_cxr_region_25",
    "masked_cube_ecg_leads_mcar_50",
    "masked_cube_ecg_noise_10db",
    "masked_cube_ecg_segment_3s",
    "masked_cube_mcar_50",
    "masked_cube_mnar_50",
    "mean",
    "neighbours",
    "predicted",
    "projected",
    "prototypes",
    "proxies",
    "subsets",
    "translated",
    "zero",
]


@pytest.fixture
def batch(synthetic_store: CohortStore) -> Batch:
    """Twelve samples of which some lack each modality."""
    rows = synthetic_store.rows("train")
    there = synthetic_store.present[rows]
    lacking = np.concatenate([rows[~column][:2] for column in there.T])
    whole = rows[there.all(axis=1)][:6]
    made = load_batch(synthetic_store, np.append(lacking, whole), modalities=MODALITIES)
    assert (~made.available).any(dim=0).all()
    return made


@pytest.mark.parametrize("training", [True, False])
def test_the_indicator_puts_the_embedding_of_zeros_where_a_modality_is_missing(
    catalog: Catalog, synthetic_store: CohortStore, batch: Batch, training: bool
):
    task = tiny(catalog, "pretraining/symile", "missing_modality=indicator")
    model = build_model(task, synthetic_store, seed=0).train(training)
    made = model(batch)
    z, counts = made.with_substitutes()
    assert counts.all()
    handler = model.missing_modality
    assert isinstance(handler, Indicator)
    for column, name in enumerate(MODALITIES):
        zeros = torch.zeros_like(batch.inputs[name][:1])
        there = batch.available[:, column]
        # All rows are encoded as they are, zeros where absent, and one row of zeros after them.
        encoded = model.encoders[name](torch.cat([batch.inputs[name], zeros]))
        told = handler.substitute[column] * ~torch.cat([there, torch.tensor([False])])[:, None]
        expected = torch.nn.functional.normalize(encoded + told, dim=1)
        torch.testing.assert_close(z[there, column], expected[:-1][there])
        torch.testing.assert_close(made.z[~there, column], torch.zeros_like(z[~there, column]))
        # One row stands for all that are absent.
        assert (z[~there, column] == z[~there, column][:1]).all()


def test_in_evaluation_the_indicators_substitute_does_not_depend_on_the_batch(
    catalog: Catalog, synthetic_store: CohortStore, batch: Batch
):
    task = tiny(catalog, "pretraining/symile", "missing_modality=indicator")
    model = build_model(task, synthetic_store, seed=0).eval()
    rows = batch.rows[6:].numpy()
    other = load_batch(synthetic_store, rows, modalities=MODALITIES)
    torch.testing.assert_close(model(batch).substitute, model(other).substitute)


def test_a_method_trains_on_samples_with_as_many_modalities_as_it_needs(
    catalog: Catalog, synthetic_store: CohortStore
):
    train_rows = synthetic_store.rows("train")
    has = synthetic_store.present[train_rows].sum(axis=1)
    for name in MISSING_MODALITY_METHODS:
        needs = missing_modality_method(name).min_modalities
        task = tiny(catalog, "pretraining/symile", f"missing_modality={name}")
        found = build_training_view(task, synthetic_store, seed=0, min_modalities=needs).rows
        assert found.tolist() == train_rows[has >= (needs or 3)].tolist(), name


@pytest.mark.parametrize("name", TASKS)
def test_every_task_of_a_method_trains(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path, name
):
    task = tiny(catalog, f"pretraining/missingness/{name}", "epochs=1")
    if missing_modality_method(task.missing_modality).needs_start:
        first, begun = tiny(catalog, "pretraining/symile", "epochs=1"), Run(tmp_path / "first")
        train(first, store=synthetic_store, run=begun, seed=0, accelerator="cpu")
        task = task.model_copy(update={"start": str(begun.path)})
    run = train(task, store=synthetic_store, run=Run(tmp_path / name), seed=0, accelerator="cpu")
    assert run.is_finished
    assert run.metadata["definition"]["missing_modality"] == task.missing_modality


def test_the_tasks_of_the_methods_differ_in_nothing_else(catalog: Catalog):
    plain = {
        name.rpartition("/")[2]: read_task(catalog, f"pretraining/{name}")
        for name in ("symile", "clip", "objectives/outcome")
    }
    folder = "pretraining/missingness/"
    ready = [name for name in catalog.tasks if name.startswith(folder)]
    names = sorted(name.removeprefix(folder) for name in ready)
    assert [name for name in names if "/" not in name] == TASKS
    methods = set()
    for name in ready:
        task = read_task(catalog, name)
        assert isinstance(task, Pretraining)
        same = {"name", "description", "missing_modality", "missingness", "settings"}
        same.add("modality_dropout")
        in_folder = name.removeprefix(folder).rpartition("/")[0]
        base = plain[in_folder or ("clip" if name.endswith("/zero") else "symile")]
        assert task.model_dump(exclude=same) == base.model_dump(exclude=same)
        methods.add(task.missing_modality)
    assert methods == set(MISSING_MODALITY_METHODS)


def test_subsets_take_the_tasks_objective(catalog: Catalog, synthetic_store: CohortStore):
    task = tiny(catalog, "pretraining/symile", "missing_modality=subsets")
    objective = build_learner(task, synthetic_store, seed=0).objective
    assert isinstance(objective, SubsetSum)
    assert len(objective.by_size) == 2

from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.loader import load_batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.training.learner import build_augmentations, build_learner
from tests.helpers.synthetic import augmented_task, mlp_task


def test_an_augmentation_that_cannot_be_made_is_told_before_anything_runs(
    catalog: Catalog,
) -> None:
    with pytest.raises(DefinitionError, match=r"augment\.cxr: most_px moves by 0"):
        build_augmentations(augmented_task(catalog, "augment.cxr.most_px=0"))
    with pytest.raises(DefinitionError, match="unknown modality 'lab'; did you mean 'labs'"):
        augmented_task(catalog, 'augment.lab={name="shift_signal", most_ms=40}')
    with pytest.raises(DefinitionError, match=r"augment\.cxr: unknown argument 'px'"):
        augmented_task(catalog, "augment.cxr.px=1")


def test_a_modality_that_the_store_lacks_is_told(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    store = replace(
        synthetic_store, modalities=("cxr", "ecg"), present=synthetic_store.present[:, :2]
    )
    with pytest.raises(DefinitionError, match=r"modalities labs are not in the store of cohort"):
        build_learner(mlp_task(catalog), store, seed=0)


def test_an_objective_that_refuses_its_arguments_is_told(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    with pytest.raises(
        DefinitionError, match=r"objective: temperature is -1.0; expected a positive"
    ):
        build_learner(mlp_task(catalog, "objective.temperature=-1.0"), synthetic_store, seed=0)


@pytest.mark.parametrize(
    ("name", "expected"), [("intra", [True, False]), ("m3co", [True, True]), ("symile", [True])]
)
def test_a_view_without_gradient_keeps_no_activations(
    name: str, expected: list[bool], catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = mlp_task(catalog, f'objective={{name="{name}"}}')
    learner, found = build_learner(task, synthetic_store, seed=0), []
    learner.model.register_forward_hook(lambda *call: found.append(call[-1].z.requires_grad))
    rows = np.flatnonzero(synthetic_store.present.all(axis=1))[:8]
    batch = load_batch(synthetic_store, rows, modalities=task.modalities)
    loss = learner(
        vars(batch),
        vars(SideInformation(batch.rows)),
        torch.Generator().manual_seed(0),
        Fabric(accelerator="cpu", devices=1, plugins=[LightningEnvironment()]),
        0.0,
    )
    loss["loss"].backward()
    assert found == expected
    assert all(weight.grad is not None for weight in learner.model.encoders.parameters())


@pytest.mark.parametrize("name", ["rebar", "mlem"])
def test_running_statistics_are_those_of_whole_recordings(
    name: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    centred = [
        f'encoders.{one}={{name="mlp", hidden=[8], centred=true}}' for one in ("cxr", "ecg", "labs")
    ]
    rows = np.flatnonzero(synthetic_store.present.all(axis=1))[:8]
    found = []
    for weight in (0.0, 1.0):
        objective = f'objective={{name="{name}", weight={weight}}}'
        task = mlp_task(catalog, *centred, objective)
        learner = build_learner(task, synthetic_store, seed=0).train()
        batch = load_batch(synthetic_store, rows, modalities=task.modalities)
        fabric = Fabric(accelerator="cpu", devices=1, plugins=[LightningEnvironment()])
        drawn = torch.Generator().manual_seed(0)
        loss = learner(vars(batch), vars(SideInformation(batch.rows)), drawn, fabric, 0.0)
        loss["loss"].backward()
        found.append(dict(learner.model.named_buffers()))
    assert any("running_mean" in name for name in found[0])
    for name, whole in found[0].items():
        assert torch.equal(found[1][name], whole), name


def test_the_objective_gets_the_labs_of_nobody_and_no_other_input(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    learner = build_learner(mlp_task(catalog), synthetic_store, seed=0)
    assert list(learner.unmeasured) == ["labs"]
    assert (learner.unmeasured["labs"][1] == 0).all()
    assert not any("unmeasured" in key for key in learner.state_dict())

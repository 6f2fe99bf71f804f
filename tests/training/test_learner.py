from dataclasses import replace

import pytest

from clinical_symile.config.catalog import Catalog
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

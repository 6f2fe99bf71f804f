from dataclasses import replace

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.masks import draw_mask
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import TrainingView, build_training_view
from clinical_symile.errors import DataError
from clinical_symile.missingness.patterns import parse_pattern
from tests.helpers.synthetic import mlp_task


def _view(task: Pretraining, store: CohortStore, *, seed: int = 0) -> TrainingView:
    return build_training_view(task, store, seed=seed, min_modalities=2)


@pytest.mark.parametrize("pairs", ["matched", "shuffled"])
@pytest.mark.parametrize("missingness", ["observed", "complete", "without-ecg", "mcar-30", "site"])
@pytest.mark.parametrize("needs", [1, 2, None])
def test_rows_partners_and_availability_are_those_of_version_0_1(
    catalog: Catalog, synthetic_store: CohortStore, pairs: str, missingness: str, needs: int | None
):
    task = mlp_task(catalog, f"pairs={pairs}", f"missingness={missingness}")
    view = build_training_view(task, synthetic_store, seed=3, min_modalities=needs)

    # The same, sample by sample, in the order of draws of version 0.1.
    mask = draw_mask(
        parse_pattern(missingness),
        synthetic_store,
        split="train",
        modalities=task.modalities,
        seed=3,
    )
    least = needs or (2 if missingness == "without-ecg" else 3)
    hidden = {}
    for row, present, available in zip(mask.rows, mask.present, mask.available, strict=True):
        if available.sum() >= least:
            hidden[int(row)] = [bool(p and not a) for p, a in zip(present, available, strict=True)]
    assert view.rows.tolist() == list(hidden)
    rng = np.random.default_rng(3)
    columns = [
        rng.permutation(list(hidden)) if pairs == "shuffled" else list(hidden) for _ in range(3)
    ]
    for sample, row in enumerate(hidden):
        for column, modality in enumerate(task.modalities):
            partner = int(columns[column][sample])
            assert view.partners[sample, column] == partner
            where = synthetic_store.modalities.index(modality)
            expected = bool(synthetic_store.present[partner, where]) and not hidden[row][column]
            assert view.available[sample, column] == expected


def test_a_pattern_of_complete_samples_trains_on_these_alone(
    catalog: Catalog, synthetic_store: CohortStore
):
    observed, complete, without = (
        build_training_view(
            mlp_task(catalog, f"missingness={name}"), synthetic_store, seed=0, min_modalities=2
        ).rows
        for name in ("observed", "complete", "without-cxr")
    )
    assert len(complete) < len(observed)
    assert synthetic_store.present[complete].all()
    np.testing.assert_array_equal(without, complete)


def test_a_pattern_within_a_modality_hides_parts_in_the_views_store_alone(
    catalog: Catalog, synthetic_store: CohortStore
):
    view = _view(mlp_task(catalog, "missingness=labs-mcar-50"), synthetic_store)
    assert view.store.withheld["labs"].any()
    assert not synthetic_store.withheld
    assert view.available.all()


def test_too_few_samples_of_either_split_are_told_together(
    catalog: Catalog, synthetic_store: CohortStore
):
    alone = np.zeros_like(synthetic_store.present)
    alone[:, 0] = True
    with pytest.raises(DataError) as caught:
        _view(mlp_task(catalog), replace(synthetic_store, present=alone))
    train, tuning = caught.value.problems
    assert "the train split has 0 samples with enough modalities available" in train
    assert "the tuning split has 0 samples with all modalities of the task" in tuning


def test_a_pattern_that_the_cohort_cannot_draw_names_the_task(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(catalog, "missingness=mar-height-30")
    with pytest.raises(DataError, match="task 'pretraining/symile': 'mar-height-30' depends on"):
        _view(task, synthetic_store)

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.batch_orders import batch_order
from clinical_symile.data.loader import Batch, open_loader
from clinical_symile.data.masks import draw_mask
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import TrainingView, build_training_view, epoch_batches
from clinical_symile.errors import DataError
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.models.missing_modality.base import missing_modality_method
from clinical_symile.training.learner import build_augmentations
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
    for pattern in (
        "labs-mcar-50",
        "ecg-leads-mcar-30",
        "ecg-segment-3s",
        "cxr-region-25",
        "ecg-noise-10db",
    ):
        name = pattern.partition("-")[0]
        view = _view(mlp_task(catalog, f"missingness={pattern}"), synthetic_store)
        rows = view.rows[:8]
        read, whole = view.store.inputs(name, rows), synthetic_store.inputs(name, rows)
        assert (read != whole).reshape(8, -1).any(axis=1).all()
        assert view.available.all()
    assert not synthetic_store.withheld
    assert not synthetic_store.noise


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


def _epoch(
    task: Pretraining, store: CohortStore, epoch: int, *, rank: int = 0, processes: int = 1
) -> list[tuple[Batch, torch.Generator]]:
    method = missing_modality_method(task.missing_modality)
    view = build_training_view(task, store, seed=5, min_modalities=method.min_modalities)
    batches = epoch_batches(
        view,
        open_loader(view.store, task.modalities, device=torch.device("cpu")),
        order=batch_order(
            task.batches,
            store,
            view.rows,
            batch_size=task.batch_size,
            processes=processes,
            where="the test",
        ),
        dropout_rates=np.full(len(task.modalities), method.dropout_rate),
        augmentations=build_augmentations(task),
        seed=5,
        epoch=epoch,
        rank=rank,
        processes=processes,
    )
    return list(batches)


@pytest.mark.parametrize("method", ["drop", "dropout"])
def test_batches_availability_and_generators_are_those_of_version_0_1(
    catalog: Catalog, synthetic_store: CohortStore, method: str
):
    task = mlp_task(catalog, f"missing_modality={method}", "missingness=mcar-30")
    view = build_training_view(task, synthetic_store, seed=5, min_modalities=2)
    found = _epoch(task, synthetic_store, 2)

    rng = np.random.default_rng([5, 2])
    draws = np.random.default_rng(int(rng.integers(2**31))).random(view.available.shape)
    available = view.available.copy()
    for sample, entries in enumerate(view.available):
        highest = max(draws[sample, m] for m in range(3) if entries[m])
        for m in range(3):
            if method == "dropout" and draws[sample, m] < min(0.3, highest):
                available[sample, m] = False
    order = rng.permutation(len(view.rows))
    assert len(found) == len(order) // 16
    for number, (batch, generator) in enumerate(found):
        index = order[16 * number : 16 * (number + 1)]
        assert batch.rows.tolist() == view.rows[index].tolist()
        assert batch.available.tolist() == available[index].tolist()
        assert generator.initial_seed() == int(rng.integers(2**31))


def test_processes_share_a_batch_and_its_generator(catalog: Catalog, synthetic_store: CohortStore):
    task = mlp_task(catalog)
    whole = _epoch(task, synthetic_store, 1)
    shares = [_epoch(task, synthetic_store, 1, rank=rank, processes=2) for rank in (0, 1)]
    for (batch, generator), (even, first), (odd, second) in zip(whole, *shares, strict=True):
        assert batch.rows[0::2].tolist() == even.rows.tolist()
        assert batch.rows[1::2].tolist() == odd.rows.tolist()
        assert generator.initial_seed() == first.initial_seed() == second.initial_seed()


def test_what_a_pattern_hides_in_training_is_the_same_in_every_epoch(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(catalog, "missingness=mcar-30", "batch_size=200")
    first, second = (
        {
            int(row): available.tolist()
            for batch, _ in _epoch(task, synthetic_store, epoch)
            for row, available in zip(batch.rows, batch.available, strict=True)
        }
        for epoch in (1, 2)
    )
    assert first == second
    assert not all(all(available) for available in first.values())


def test_modality_dropout_hides_other_modalities_in_each_epoch(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(catalog, "missing_modality=dropout", "batch_size=200")
    available = []
    for epoch in (1, 1, 2):
        ((batch, _),) = _epoch(task, synthetic_store, epoch)
        order = batch.rows.argsort()
        available.append(batch.available[order])
    assert torch.equal(available[0], available[1])
    assert not torch.equal(available[0], available[2])
    present = torch.from_numpy(synthetic_store.present[batch.rows[order].numpy()])
    assert not (available[0] & ~present).any()
    assert (available[0] != present).any()
    assert available[0].any(dim=1).all()


def test_shuffled_pairs_are_the_same_measurements_of_other_samples_in_every_epoch(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(catalog, "pairs=shuffled", "batch_size=200")
    matched = mlp_task(catalog, "batch_size=200")
    ((own, _),), ((first, _),), ((second, _),) = (
        _epoch(made, synthetic_store, epoch) for made, epoch in ((matched, 1), (task, 1), (task, 2))
    )
    for column, name in enumerate(task.modalities):
        right, other, later = [b.inputs[name][b.rows.argsort()] for b in (own, first, second)]
        assert torch.equal(other, later)
        as_sets = [sorted(map(hash, map(_bytes, inputs))) for inputs in (right, other)]
        assert as_sets[0] == as_sets[1]
        same = (right.flatten(1) == other.flatten(1)).all(dim=1)
        assert same[own.available[own.rows.argsort(), column]].float().mean() < 0.2


def _bytes(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()

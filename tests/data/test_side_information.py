"""Labels, subjects and values of train samples reach an objective, and no others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.side_information import SideInformation, build_side_information
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import TrainingView, build_training_view
from clinical_symile.errors import DataError, DefinitionError
from tests.helpers.synthetic import mlp_task

EVERY = ('side={labels=["deterioration", "lung_mass"], values="labs"}',)


def _task(catalog: Catalog, *overrides: str) -> Pretraining:
    return mlp_task(catalog, *(overrides or EVERY), task="pretraining/objectives/supcon")


def _view(task: Pretraining, store: CohortStore) -> TrainingView:
    return build_training_view(task, store, seed=0, min_modalities=2)


def test_each_row_has_its_own_labels_subject_and_percentiles(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = _task(catalog)
    view = _view(task, synthetic_store)
    side = build_side_information(task, view, reads=("labels", "subjects", "values"))
    taken = torch.from_numpy(view.rows[[5, 2, 9]])
    found = side.of(taken)
    samples = synthetic_store.samples
    labs = synthetic_store.inputs("labs", taken.numpy())
    has_labs = synthetic_store.present[taken, synthetic_store.modalities.index("labs")]
    assert found.labels is not None
    assert found.subjects is not None
    assert found.values is not None
    for place, row in enumerate(taken.tolist()):
        for column, name in enumerate(("deterioration", "lung_mass")):
            expected = samples[f"outcome_{name}"].iloc[row]
            label = found.labels[place, column].item()
            assert label == expected or (np.isnan(label) and np.isnan(expected))
        observed = (labs[place, 1] > 0) & has_labs[place]
        values = found.values[place].numpy()
        np.testing.assert_array_equal(np.isnan(values), ~observed)
        np.testing.assert_array_equal(values[observed], labs[place, 0][observed])
    subjects = samples["subject"].iloc[view.rows].to_numpy()
    assert side.subjects is not None
    same = side.subjects.numpy()[:, None] == side.subjects.numpy()
    np.testing.assert_array_equal(same, subjects[:, None] == subjects)


def test_shares_of_positives_are_those_of_known_train_labels(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = _task(catalog, 'side={labels=["deterioration", "lung_mass"]}')
    view = _view(task, synthetic_store)
    samples = synthetic_store.samples.copy()
    samples.loc[view.rows[:9], "outcome_deterioration"] = [0.5, *[np.nan] * 8]
    store = replace(synthetic_store, samples=samples)
    side = build_side_information(task, _view(task, store), reads=("labels",))
    assert side.positive_shares is not None
    for name, share in zip(("deterioration", "lung_mass"), side.positive_shares, strict=True):
        label = samples[f"outcome_{name}"].iloc[view.rows]
        known = label[(label == 0) | (label == 1)]
        assert len(known) < len(label)
        assert share.item() == pytest.approx(known.mean(), abs=1e-7)
    some = side.of(torch.from_numpy(view.rows[[3, 1]])).positive_shares
    assert some is not None
    assert torch.equal(some, side.positive_shares)
    subjects = _task(catalog, "side={}", 'objective={name="supcon", by="subjects"}')
    assert build_side_information(subjects, view, reads=("subjects",)).positive_shares is None


def test_an_uncertain_label_is_minus_one(catalog: Catalog, synthetic_store: CohortStore):
    task = _task(catalog, 'side={labels=["deterioration"]}')
    view = _view(task, synthetic_store)
    samples = synthetic_store.samples.copy()
    samples.loc[view.rows[0], "outcome_deterioration"] = 0.5
    store = replace(synthetic_store, samples=samples)
    side = build_side_information(task, _view(task, store), reads=("labels",))
    assert side.labels is not None
    assert side.labels[0].item() == -1


def test_rows_of_other_splits_have_no_side_information(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = _task(catalog)
    side = build_side_information(task, _view(task, synthetic_store), reads=("labels", "values"))
    for split in ("tuning", "held_out"):
        with pytest.raises(ValueError, match="expected rows of the train split"):
            side.of(torch.from_numpy(synthetic_store.rows(split)[:1]))


def test_values_that_the_pattern_hides_are_unknown(catalog: Catalog, synthetic_store: CohortStore):
    task = _task(catalog, 'side={values="labs"}', "missingness=without-labs")
    side = build_side_information(task, _view(task, synthetic_store), reads=("values",))
    assert side.values is not None
    assert side.values.isnan().all()


def test_values_may_come_from_a_modality_that_is_not_trained(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = _task(catalog, 'side={values="labs"}')
    view = replace(_view(task, synthetic_store), modalities=("cxr", "ecg"))
    side = build_side_information(task, view, reads=("values",))
    assert side.values is not None
    present = synthetic_store.present[view.rows, synthetic_store.modalities.index("labs")]
    np.testing.assert_array_equal((~side.values.isnan()).any(dim=1).numpy(), present)


def test_what_the_task_and_the_objective_do_not_agree_on_is_told_at_once(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = _task(catalog, 'side={values="cxr"}')
    with pytest.raises(DefinitionError) as refused:
        build_side_information(task, _view(task, synthetic_store), reads=("labels", "age"))
    message = str(refused.value)
    assert "reads 'age'" in message
    assert "it reads labels, and the task names none" in message
    assert "side.values: the objective does not read values" in message
    with pytest.raises(DefinitionError, match=r"side\.values is 'cxr'; expected .*: labs"):
        build_side_information(task, _view(task, synthetic_store), reads=("values",))


def test_unknown_labels_and_labels_of_one_class_are_told_at_once(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = _task(catalog, 'side={labels=["flu", "deterioration", "lung_mass"]}')
    samples = synthetic_store.samples.assign(outcome_deterioration=0.0)
    store = replace(synthetic_store, samples=samples)
    with pytest.raises(DataError) as refused:
        build_side_information(task, _view(task, store), reads=("labels",))
    message = str(refused.value)
    assert "names 'flu'; expected outcomes of cohort 'synthetic'" in message
    assert "label 'deterioration' has fewer than two classes" in message
    assert "lung_mass' has" not in message


def test_a_label_named_twice_is_refused(catalog: Catalog):
    with pytest.raises(DefinitionError, match=r"side\.labels names 'a' more than once"):
        _task(catalog, 'side={labels=["a", "a"]}')


def test_nothing_is_looked_up_for_an_objective_that_reads_nothing():
    side = SideInformation(torch.arange(3)).of(torch.tensor([7]))
    assert side.rows.tolist() == [7]
    assert (side.labels, side.subjects, side.values) == (None, None, None)


def test_values_of_samples_taken_apart_are_unknown_and_labels_are_not(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    side = 'side={values="labs", labels=["deterioration"]}'
    found = []
    for pairs in ("matched", "paired-40"):
        task = mlp_task(catalog, f"pairs={pairs}", side)
        view = build_training_view(task, synthetic_store, seed=0, min_modalities=2)
        made = build_side_information(task, view, reads=("values", "labels"))
        found.append((view, made))
    (_, whole), (view, apart) = found
    assert torch.equal(whole.rows, apart.rows)
    assert whole.labels is not None
    assert apart.labels is not None
    assert torch.equal(whole.labels.nan_to_num(9), apart.labels.nan_to_num(9))
    broken = torch.from_numpy(np.isin(apart.rows.numpy(), view.rows[view.is_apart]))
    assert whole.values is not None
    assert apart.values is not None
    assert apart.values[broken].isnan().all()
    assert torch.equal(apart.values[~broken].nan_to_num(9), whole.values[~broken].nan_to_num(9))


def test_a_number_is_that_of_the_kept_column_and_needs_two_different_ones(
    catalog: Catalog, synthetic_store: CohortStore
):
    task = mlp_task(catalog, task="pretraining/objectives/supremix")
    view = _view(task, synthetic_store)
    ages = synthetic_store.samples["kept_age"].iloc[view.rows].to_numpy(dtype=np.float32)
    found = build_side_information(task, view, reads=("number",)).of(
        torch.from_numpy(view.rows[4:7])
    )
    assert found.number is not None
    np.testing.assert_array_equal(found.number.numpy(), ages[4:7])
    samples = synthetic_store.samples.assign(kept_age=50.0, kept_old=True)
    store = replace(synthetic_store, samples=samples)
    for name, message in (
        ("age", "'age' has fewer than two different numbers"),
        ("old", "side.number names 'old'; expected a column of numbers that cohort 'synthetic'"),
        ("height", "side.number names 'height'"),
    ):
        other = mlp_task(catalog, f'side.number="{name}"', task="pretraining/objectives/supremix")
        with pytest.raises(DataError, match=message):
            build_side_information(other, _view(other, store), reads=("number",))
    with pytest.raises(DefinitionError, match="it reads a number, and the task names none"):
        build_side_information(_task(catalog), view, reads=("labels", "values", "number"))


def test_a_task_without_a_number_has_the_digest_of_before(catalog: Catalog):
    assert "number" not in _task(catalog).model_dump()["side"]
    named = mlp_task(catalog, task="pretraining/objectives/supremix")
    assert named.model_dump()["side"]["number"] == "age"

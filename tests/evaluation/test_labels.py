from dataclasses import replace

import numpy as np
import pytest

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.labels import outcome_labels, subsample_label_rows
from tests.evaluation.test_task_metrics import TABLE


def _task(**fields: object) -> Classification:
    made = parse_task({**TABLE, **fields}, name="classification/x", where="x.toml")
    assert isinstance(made, Classification)
    return made


@pytest.mark.parametrize(
    ("policy", "expected"), [("unknown", np.nan), ("positive", 1), ("negative", 0)]
)
def test_an_uncertain_label_counts_as_the_task_says(
    policy: str, expected: float, synthetic_store: CohortStore
) -> None:
    column = [1.0, 0.0, 0.5, np.nan]
    samples = synthetic_store.samples.iloc[:4].assign(outcome_edema=column)
    store = replace(synthetic_store, samples=samples)
    task = _task(outcome="edema", uncertain=policy)
    np.testing.assert_array_equal(outcome_labels(store, task), [1, 0, expected, np.nan])
    np.testing.assert_array_equal(store.outcome("edema"), [1, 0, np.nan, np.nan])


@pytest.mark.parametrize(("share", "counts"), [(0.01, (1, 2)), (0.05, (2, 8)), (0.1, (3, 16))])
def test_few_labels_are_a_share_of_each_class_at_least_one(
    share: float, counts: tuple[int, int]
) -> None:
    label = np.array([1] * 30 + [0] * 151)
    rows = subsample_label_rows(label, _task(outcome="edema", label_share=share))
    assert (label[rows].sum(), (label[rows] == 0).sum()) == counts
    assert len(set(rows)) == len(rows)


def test_each_seed_draws_its_own_labels_and_the_same_again() -> None:
    label = np.array([1] * 50 + [0] * 50)
    first, again, other = (
        subsample_label_rows(
            label, _task(outcome="edema", label_share=0.1, label_seeds=[seed])
        ).tolist()
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_all_labels_are_taken_where_the_task_does_not_say() -> None:
    label = np.array([1] * 3 + [0] * 4)
    assert subsample_label_rows(label, _task(outcome="edema")).tolist() == [*range(7)]

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.data.store import CohortStore
from clinical_symile.data.training_view import build_training_view
from clinical_symile.data.undersampling import draw_undersample
from clinical_symile.errors import DataError
from tests.helpers.synthetic import tiny


@pytest.fixture
def level(synthetic_store: CohortStore) -> str:
    return next(value for value in synthetic_store.group("sex") if value is not None)


def _kept(store: CohortStore, level: str, keep: float, *, seed: int = 0) -> np.ndarray:
    rows = np.arange(len(store.samples))
    return draw_undersample(rows, store, group="sex", value=level, keep=keep, seed=seed)


def test_the_share_is_of_train_subjects_and_all_other_samples_stay(
    synthetic_store: CohortStore, level: str
) -> None:
    store, kept = synthetic_store, _kept(synthetic_store, level, 0.25)
    subjects = store.samples["subject"].to_numpy()
    train = np.isin(np.arange(len(kept)), store.rows("train"))
    of_level = store.group("sex") == level
    assert kept[~of_level | ~train].all()
    whole = np.unique(subjects[train & of_level])
    left = np.unique(subjects[train & of_level & kept])
    assert len(left) == round(0.25 * len(whole))
    # A subject stays or leaves with every sample.
    assert not set(left) & set(subjects[train & of_level & ~kept])


def test_a_larger_share_contains_a_smaller_one_and_the_seed_decides(
    synthetic_store: CohortStore, level: str
) -> None:
    few, more = (_kept(synthetic_store, level, keep) for keep in (0.2, 0.6))
    assert (more | ~few).all()
    assert (few != more).any()
    assert (few == _kept(synthetic_store, level, 0.2)).all()
    assert (few != _kept(synthetic_store, level, 0.2, seed=1)).any()
    assert _kept(synthetic_store, level, 1.0).all()


def test_training_sees_the_samples_that_stay_and_a_task_without_it_is_as_before(
    catalog: Catalog, synthetic_store: CohortStore, level: str
) -> None:
    plain = tiny(catalog, "pretraining/symile")
    about = f'undersample={{group="sex", value="{level}", keep=0.2}}'
    task = tiny(catalog, "pretraining/symile", about)
    whole, fewer = (
        build_training_view(one, synthetic_store, seed=0, min_modalities=3) for one in (plain, task)
    )
    kept = _kept(synthetic_store, level, 0.2)
    np.testing.assert_array_equal(fewer.rows, whole.rows[kept[whole.rows]])
    assert task_digest(task) != task_digest(plain)


def test_what_the_cohort_lacks_is_named(synthetic_store: CohortStore, level: str) -> None:
    rows = synthetic_store.rows("train")
    for about, words in (
        ({"group": "tribe", "value": level}, "undersample.group is 'tribe'; cohort 'synthetic'"),
        ({"group": "sex", "value": "none"}, "no train subject of cohort 'synthetic' has this"),
    ):
        with pytest.raises(DataError, match=words):
            draw_undersample(rows, synthetic_store, **about, keep=0.5, seed=0)

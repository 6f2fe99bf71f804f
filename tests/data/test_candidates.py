from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, Gallery, candidate_lists
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    name = "retrieval/cxr_given_ecg_labs"
    made = read_task(catalog, name)
    assert isinstance(made, Retrieval)
    return made


def _gallery(store: CohortStore) -> np.ndarray:
    rows = store.rows("held_out")
    return rows[store.present[rows, 0]]


def _with(task: Retrieval, **fields: object) -> Retrieval:
    return task.model_copy(update=fields)


def _lists(task: Retrieval, store: CohortStore) -> CandidateLists:
    made = candidate_lists(task, store)
    assert isinstance(made, CandidateLists)
    return made


def test_every_sample_of_the_split_with_the_target_is_a_query(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    lists = _lists(task, synthetic_store)
    np.testing.assert_array_equal(lists.queries, _gallery(synthetic_store))
    assert lists.candidates.shape == (len(lists.queries), task.candidates)
    np.testing.assert_array_equal(lists.candidates[:, 0], lists.queries)
    np.testing.assert_array_equal(lists.for_queries(lists.queries[3:5]), lists.candidates[3:5])


def test_candidates_have_the_target_and_are_of_the_split_and_of_other_subjects(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    subject = synthetic_store.samples["subject"].to_numpy()
    gallery = set(_gallery(synthetic_store))
    assert len(set(subject[list(gallery)])) < len(gallery), "nobody was admitted twice"
    lists = _lists(task, synthetic_store)
    for query, listed in zip(lists.queries, lists.candidates, strict=True):
        others = listed[1:]
        assert set(others) <= gallery
        assert len(set(others)) == len(others)
        assert not (subject[others] == subject[query]).any()


@pytest.mark.parametrize("candidates", [15, "all"])
def test_others_of_the_same_subject_are_candidates_only_where_the_task_says_so(
    candidates: object, task: Retrieval, synthetic_store: CohortStore
) -> None:
    subject = synthetic_store.samples["subject"].to_numpy()
    twice = [row for row in _gallery(synthetic_store) if _admitted(synthetic_store, row) > 1]
    assert twice
    for said in (False, True):
        made = candidate_lists(
            _with(task, candidates=candidates, same_subject=said), synthetic_store
        )
        lists = made.candidates if isinstance(made, CandidateLists) else _written_out(made)
        found = {
            int(query)
            for query, listed in zip(made.queries, lists, strict=True)
            if (
                subject[[one for one in listed if one not in (query, PADDING)]] == subject[query]
            ).any()
        }
        assert (not found) if not said else found <= set(twice)
        assert not said or candidates != "all" or found == set(twice)
        assert not said or found


def _admitted(store: CohortStore, row: int) -> int:
    subject = store.samples["subject"].to_numpy()
    return int((subject[_gallery(store)] == subject[row]).sum())


def _written_out(gallery: Gallery) -> list[np.ndarray]:
    return [
        gallery.queries[(gallery.subjects != own) | (gallery.queries == query)]
        for query, own in zip(gallery.queries, gallery.subjects, strict=True)
    ]


def test_the_same_seed_draws_the_same_lists_and_another_others(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    first, again, other = [
        _lists(_with(task, seed=seed), synthetic_store).candidates for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(first, again)
    assert (first[:, 1:] != other[:, 1:]).any()


def test_a_list_does_not_depend_on_who_else_is_asked(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    # A gallery without the last sample: lists that did not hold it, and drew from as many others of
    # the same places, would move only if an earlier query's draws did.
    subjects = synthetic_store.samples["subject"].to_numpy().copy()
    lists = _lists(task, synthetic_store)
    queries, before = lists.queries, lists.candidates
    samples = synthetic_store.samples.copy()
    twin = next(s for s in queries[::-1] if (subjects[queries] == subjects[s]).sum() == 1)
    samples.loc[twin, "subject"] = subjects[queries[0]]
    after = _lists(task, replace(synthetic_store, samples=samples)).candidates
    moved = np.isin(subjects[queries], [subjects[queries[0]], subjects[twin]])
    np.testing.assert_array_equal(before[~moved], after[~moved])


def test_what_else_was_measured_has_no_part_in_a_list(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    present = synthetic_store.present.copy()
    present[:, 1:] = False
    before = _lists(task, synthetic_store)
    after = _lists(task, replace(synthetic_store, present=present))
    np.testing.assert_array_equal(before.queries, after.queries)
    np.testing.assert_array_equal(before.candidates, after.candidates)


def test_a_gallery_is_of_all_with_the_target_each_with_its_subject(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    gallery = candidate_lists(_with(task, candidates="all"), synthetic_store)
    assert isinstance(gallery, Gallery)
    np.testing.assert_array_equal(gallery.queries, _gallery(synthetic_store))
    assert gallery.table()["candidate"].tolist() == gallery.queries.tolist()
    subject = synthetic_store.samples["subject"].to_numpy()[gallery.queries]
    np.testing.assert_array_equal(
        gallery.subjects[:, None] == gallery.subjects, subject[:, None] == subject
    )


def test_too_few_to_draw_from_is_told(task: Retrieval, synthetic_store: CohortStore) -> None:
    with pytest.raises(DataError, match="Lower `candidates` in your own task, or set it"):
        candidate_lists(_with(task, candidates=1000), synthetic_store)


def _published(store: CohortStore, lists: dict[int, list[int]]) -> CohortStore:
    table = pd.DataFrame(
        [(query, c, "held_out") for query, listed in lists.items() for c in listed],
        columns=["query", "candidate", "split"],
    )
    return replace(store, candidates=table)


def test_published_lists_are_taken_as_published_with_the_right_one_first(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    a, b, c, d = (int(row) for row in _gallery(synthetic_store)[:4])
    store = _published(synthetic_store, {b: [a, b, c, d], a: [d, a]})
    lists = _lists(_with(task, candidates="published"), store)
    assert lists.queries.tolist() == [a, b]
    assert lists.candidates.tolist() == [[a, d, PADDING, PADDING], [b, a, c, d]]


def test_published_lists_that_are_not_there_are_told(
    task: Retrieval, synthetic_store: CohortStore
) -> None:
    published = _with(task, candidates="published")
    with pytest.raises(DataError, match=r"it publishes no candidate lists\. \[CS-D023\]$"):
        candidate_lists(published, synthetic_store)
    a, b = (int(row) for row in _gallery(synthetic_store)[:2])
    store = _published(synthetic_store, {a: [a, b]})
    with pytest.raises(DataError, match="publishes no candidate lists for the tuning split"):
        candidate_lists(_with(published, split="tuning"), store)


def test_a_table_of_lists_has_a_row_for_each_query_and_candidate() -> None:
    lists = CandidateLists(np.array([4, 7]), np.array([[4, 7, 9], [7, 4, PADDING]]))
    assert lists.table().to_dict("list") == {"query": [4, 4, 4, 7, 7], "candidate": [4, 7, 9, 7, 4]}


def test_published_candidates_without_the_target_or_of_another_split_are_left_out(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs").model_copy(
        update={"candidates": "published"}
    )
    assert isinstance(task, Retrieval)
    held_out, column = synthetic_store.rows("held_out"), synthetic_store.modalities.index("cxr")
    there = held_out[synthetic_store.present[held_out, column]]
    present = synthetic_store.present.copy()
    present[there[2], column] = False
    listed = [there[0], there[1], there[2], synthetic_store.rows("train")[0]]
    lists = pd.DataFrame({"query": there[0], "candidate": listed, "split": "held_out"})
    store = replace(synthetic_store, candidates=lists, present=present)
    assert _lists(task, store).candidates.tolist() == [[there[0], there[1]]]

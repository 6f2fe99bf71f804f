"""How an epoch is divided into batches: what each holds, and what is left over."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_symile.data.batch_orders import (
    BatchOrder,
    EvenlyComplete,
    OnePerSubject,
    OneSite,
    Shuffled,
    batch_order,
    shareable_left_over,
)
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError


def epoch(order: BatchOrder, seed: int = 0) -> list[np.ndarray]:
    """The batches of an epoch, which must be as many and as large as the order says."""
    batches = list(order.batches(np.random.default_rng(seed)))
    used = np.concatenate(batches) if batches else np.zeros(0, dtype=np.int64)
    assert len(batches) == order.steps
    assert len(np.unique(used)) == len(used)
    return batches


codes = st.lists(st.integers(-1, 4), min_size=2, max_size=60).map(np.array)


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 50), batch_size=st.integers(2, 20))
def test_shuffled_batches_count_what_does_not_fill_the_last_one(
    count: int, batch_size: int
) -> None:
    order = Shuffled(count, batch_size)
    batches = epoch(order)
    assert {len(batch) for batch in batches} == {min(batch_size, count)}
    assert sum(map(len, batches)) + order.left_over == count


@settings(max_examples=50, deadline=None)
@given(
    is_complete=st.lists(st.booleans(), min_size=1, max_size=60).map(np.array),
    batch_size=st.integers(2, 20),
)
def test_complete_samples_are_spread_so_that_batches_differ_by_one_at_most(
    is_complete: np.ndarray, batch_size: int
) -> None:
    samples = (len(is_complete) + 1) // 2
    order = EvenlyComplete(is_complete, samples, batch_size)
    batches = epoch(order)
    assert len(batches) == Shuffled(samples, batch_size).steps
    assert {len(batch) for batch in batches} == {min(batch_size, samples)}
    assert sum(map(len, batches)) + order.left_over == len(is_complete)
    counts = [is_complete[batch].sum() for batch in batches]
    assert sum(counts) == min(is_complete.sum(), sum(map(len, batches)))
    assert max(counts) - min(counts) <= 1


def test_places_within_a_batch_of_spread_samples_do_not_tell_which_are_complete() -> None:
    is_complete = np.arange(40) % 4 == 0
    order = EvenlyComplete(is_complete, 40, 8)
    first = [is_complete[batch[0]] for seed in range(40) for batch in epoch(order, seed)]
    assert 0.1 < np.mean(first) < 0.4  # 0.25 is expected of 200 draws


@settings(max_examples=50, deadline=None)
@given(sites=codes, batch_size=st.integers(2, 20))
def test_a_batch_is_of_one_site_and_an_epoch_is_every_sample_that_has_company(
    sites: np.ndarray, batch_size: int
) -> None:
    order = OneSite(sites, batch_size)
    batches = epoch(order)
    for batch in batches:
        assert len(set(sites[batch])) == 1
        assert 2 <= len(batch) <= batch_size
    known = [place for place, site in enumerate(sites) if site >= 0 and (sites == site).sum() >= 2]
    odd = sum((sites == site).sum() % 2 for site in set(sites[known]))
    used = np.concatenate([*batches, np.zeros(0, int)])
    assert set(used) <= set(known)
    assert len(used) == len(known) - (odd if batch_size == 2 else 0)
    assert order.left_over == len(sites) - len(used)
    sizes = {site: [len(b) for b in batches if sites[b[0]] == site] for site in set(sites[known])}
    assert all(max(each) - min(each) <= 1 for each in sizes.values())


@settings(max_examples=50, deadline=None)
@given(subjects=codes, batch_size=st.integers(2, 20))
def test_no_batch_has_a_subject_twice_and_batches_are_of_nearly_equal_size(
    subjects: np.ndarray, batch_size: int
) -> None:
    order = OnePerSubject(subjects, batch_size)
    batches = epoch(order)
    for batch in batches:
        assert len(set(subjects[batch])) == len(batch) <= batch_size
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) + order.left_over == len(subjects)
    counts = [int((subjects == subject).sum()) for subject in set(subjects)]
    assert order.left_over == sum(max(count - order.steps, 0) for count in counts)
    fewest = -(-len(subjects) // batch_size)
    assert order.steps >= fewest
    held = {steps: sum(min(count, steps) for count in counts) for steps in range(1, 62)}
    for steps in range(fewest, order.steps):  # each further batch was worth it, and the next is not
        assert held[steps + 1] - held[steps] >= held[steps] / steps / 2
        assert held[steps + 1] >= 2 * (steps + 1)
    gained = held[order.steps + 1] - held[order.steps]
    is_worth_it = gained >= held[order.steps] / order.steps / 2
    assert not (gained and is_worth_it and held[order.steps + 1] >= 2 * (order.steps + 1))


@pytest.mark.parametrize(
    ("counts", "batch_size", "steps", "left_over"),
    [
        ([30] * 40, 64, 30, 0),  # equal subjects leave nothing over
        ([30] * 40 + [1] * 200, 64, 30, 0),
        ([100] + [1] * 40, 16, 9, 91),  # one heavy subject does not make batches small
        ([9, 2, 2], 8, 2, 7),
        ([1] * 100, 64, 2, 0),
    ],
)
def test_there_are_as_many_batches_as_subjects_need_unless_few_of_them_do(
    counts: list[int], batch_size: int, steps: int, left_over: int
) -> None:
    order = OnePerSubject(np.repeat(np.arange(len(counts)), counts), batch_size)
    assert (order.steps, order.left_over) == (steps, left_over)
    assert sum(map(len, epoch(order))) == sum(counts) - left_over


@pytest.mark.parametrize(
    "order",
    [
        Shuffled(40, 16),
        OneSite(np.arange(40) % 3, 16),
        OnePerSubject(np.arange(40) // 3, 16),
    ],
)
def test_epochs_differ_and_a_seed_gives_the_same_epoch(order: BatchOrder) -> None:
    first, again, other = (np.concatenate(epoch(order, seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or (first != other).any()


@settings(max_examples=50, deadline=None)
@given(sites=codes, processes=st.integers(1, 4), extra=st.integers(0, 9))
def test_every_process_has_two_samples_of_a_batch(
    sites: np.ndarray, processes: int, extra: int
) -> None:
    smallest = 2 * processes
    order = OneSite(sites, smallest + extra, processes)
    for batch in epoch(order):
        assert smallest <= len(batch) <= smallest + extra
        assert min(len(batch[rank::processes]) for rank in range(processes)) >= 2
    large = sum(n for n in (int((sites == s).sum()) for s in set(sites) - {-1}) if n >= smallest)
    used = sum(map(len, epoch(order)))
    assert order.left_over == len(sites) - used
    assert large / 2 <= used <= large
    by_subject = OnePerSubject(sites, smallest + extra, processes)
    fewest = OnePerSubject(sites, smallest + extra).steps
    assert by_subject.steps <= fewest


def test_a_site_too_small_for_two_processes_is_left_over_and_counted() -> None:
    sites = np.repeat([0, 1, 2], [3, 2, 9])
    order = OneSite(sites, 8, processes=2)
    assert [len(batch) for batch in epoch(order)] in ([4, 5], [5, 4])
    assert order.left_over == 5
    assert OneSite(sites, 8).left_over == 0


def test_subjects_get_no_more_batches_than_two_samples_for_each_process_allow() -> None:
    subjects = np.repeat(np.arange(6), [20, 20, 20, 1, 1, 1])
    for processes, steps in ((1, 20), (2, 8)):
        order = OnePerSubject(subjects, 8, processes)
        assert order.steps == steps
        assert min(map(len, epoch(order))) >= 3


def test_an_odd_site_leaves_one_over_in_batches_of_two() -> None:
    order = OneSite(np.zeros(5, dtype=np.int64), 2)
    assert [len(batch) for batch in epoch(order)] == [2, 2]
    assert order.left_over == 1


@pytest.mark.parametrize(("left_over", "expected"), [(0, 0), (1, None), (9, None), (10, 10)])
def test_a_history_has_no_small_count_of_samples_left_over(
    left_over: int, expected: int | None
) -> None:
    assert Shuffled(64 + left_over, 64).left_over == left_over
    assert shareable_left_over(left_over).get("left_over") == expected


def with_site(store: CohortStore, sites: list[str | None]) -> CohortStore:
    repeated = [sites[place % len(sites)] for place in range(len(store.samples))]
    return replace(store, samples=store.samples.assign(group_site=repeated))


def made(
    store: CohortStore, word: str, rows: np.ndarray, batch_size: int = 8, processes: int = 1
) -> BatchOrder:
    return batch_order(
        word, store, rows, batch_size=batch_size, processes=processes, where="task 'a'"
    )


def test_sites_are_the_cohorts_subgroup_of_that_name(synthetic_store: CohortStore) -> None:
    rows = np.arange(1, 31)
    order = made(with_site(synthetic_store, ["north", "south", None]), "one-site", rows)
    assert order.left_over == 10
    for batch in epoch(order):
        assert len(set(rows[batch] % 3)) == 1


def test_a_cohort_without_sites_or_with_sites_of_one_sample_is_refused(
    synthetic_store: CohortStore,
) -> None:
    rows = np.arange(20)
    with pytest.raises(DataError, match=r"has no site; its subgroups are .*\[subgroups.site\]"):
        made(synthetic_store, "one-site", rows)
    alone = with_site(synthetic_store, [str(number) for number in range(20)])
    with pytest.raises(DataError, match="no site of cohort 'synthetic' has 2 samples to train on"):
        made(alone, "one-site", rows)


def test_batches_too_small_for_the_processes_are_refused(synthetic_store: CohortStore) -> None:
    rows = np.arange(20)
    with pytest.raises(DataError, match="batch_size is 5; expected at least 6, two for each"):
        made(synthetic_store, "shuffled", rows, batch_size=5, processes=3)
    with pytest.raises(DataError, match="<10 samples to train on; expected at least 6, two for"):
        made(synthetic_store, "shuffled", rows[:4], processes=3)
    store = with_site(synthetic_store, [str(number % 7) for number in range(20)])
    assert made(store, "one-site", rows).left_over == 0
    with pytest.raises(DataError, match="has 4 samples to train on, two for each of 2 processes"):
        made(store, "one-site", rows, processes=2)
    store = replace(synthetic_store, samples=store.samples.assign(subject=store.samples.index % 3))
    assert made(store, "one-per-subject", rows).left_over == 0
    with pytest.raises(DataError, match="fewer than 4 samples, two for each of 2 processes"):
        made(store, "one-per-subject", rows, processes=2)


def test_too_few_subjects_for_batches_of_two_are_refused(synthetic_store: CohortStore) -> None:
    samples = synthetic_store.samples.assign(subject=["a"] * len(synthetic_store.samples))
    store = replace(synthetic_store, samples=samples)
    with pytest.raises(DataError, match=r"too few subjects to train on \(<10\)"):
        made(store, "one-per-subject", np.arange(20))
    subjects = synthetic_store.samples["subject"].to_numpy()
    rows = np.arange(60)
    for batch in epoch(made(synthetic_store, "one-per-subject", rows)):
        assert len(set(subjects[rows[batch]])) == len(batch)

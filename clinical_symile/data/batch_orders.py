"""Batch orders: how the samples of an epoch are divided into batches.

| `batches` | a batch holds |
|---|---|
| `shuffled` | samples in random order |
| `one-site` | samples of one site, so that negatives cannot be told apart by it |
| `one-per-subject` | at most one sample of a subject, so that no negative is of the same person |

`shuffled` has batches of equal size and leaves out what does not fill the last one. Where `pairs`
takes samples apart, it has as many batches as if they were whole, over which it spreads the
complete ones evenly; an epoch leaves out others, drawn anew. The other two make batches of nearly
equal sizes, none above the task's, in which every sample occurs once. What they cannot place is
left over. Each epoch counts what it left over.

A batch has at least two samples for each process: batch statistics need two in each share.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int

from clinical_symile.data.loader import shuffled_batches
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.formatting import SMALLEST_COUNT, format_count

SITE = "site"


@runtime_checkable
class BatchOrder(Protocol):
    """Protocol of a way to divide the samples of an epoch into batches."""

    @property
    def steps(self) -> int:
        """The number of batches of an epoch."""
        ...

    @property
    def left_over(self) -> int:
        """The number of samples that an epoch leaves out."""
        ...

    def batches(self, rng: np.random.Generator) -> Iterator[Int[np.ndarray, " sample"]]:
        """Yield the positions of the samples of each batch of an epoch."""
        ...


@dataclass(frozen=True)
class Shuffled:
    """Batches of equal size in random order.

    Attributes:
        count: the number of samples.
        batch_size: samples of a batch.
    """

    count: int
    batch_size: int

    @property
    def steps(self) -> int:
        """See `BatchOrder`."""
        return self.count // min(self.batch_size, self.count)

    @property
    def left_over(self) -> int:
        """See `BatchOrder`."""
        return self.count - self.steps * min(self.batch_size, self.count)

    def batches(self, rng: np.random.Generator) -> Iterator[Int[np.ndarray, " sample"]]:
        """See `BatchOrder`."""
        return shuffled_batches(self.count, batch_size=self.batch_size, rng=rng)


@dataclass(frozen=True, eq=False, repr=False)
class EvenlyComplete:
    """Batches of equal size in random order, each with as many complete samples as any other.

    Their numbers differ by one at most. Without this, batches of a training with few complete
    samples would have none by chance. The number of batches is that of the samples before they
    were taken apart, so that runs with fewer whole samples take no more steps. An epoch has every
    complete sample, as far as there is room, and a draw of the other rows.

    Attributes:
        is_complete: True for the rows with every modality available.
        samples: the number of samples, of which some have several rows.
        batch_size: rows of a batch.
    """

    is_complete: Bool[np.ndarray, " sample"]
    samples: int
    batch_size: int

    @property
    def steps(self) -> int:
        """See `BatchOrder`."""
        return self.samples // self._size

    @property
    def left_over(self) -> int:
        """See `BatchOrder`."""
        return len(self.is_complete) - self.steps * self._size

    @property
    def _size(self) -> int:
        return min(self.batch_size, self.samples)

    def batches(self, rng: np.random.Generator) -> Iterator[Int[np.ndarray, " sample"]]:
        """See `BatchOrder`."""
        every = rng.permutation(len(self.is_complete))
        # Complete samples first: an epoch leaves out others.
        complete = every[self.is_complete[every]][: self.steps * self._size]
        others = every[~self.is_complete[every]][: self.steps * self._size - len(complete)]
        shares = np.array_split(complete, self.steps)
        ends = np.cumsum([self._size - len(share) for share in shares])[:-1]
        parts = list(zip(shares, np.split(others, ends), strict=True))
        for place in rng.permutation(self.steps):
            yield rng.permutation(np.concatenate(parts[place]))


@dataclass(frozen=True, eq=False, repr=False)
class OneSite:
    """Batches of one site each; sites alternate at random.

    A site with fewer samples than the smallest batch, and samples of an unknown site, are left
    over. So is, in batches of two, one sample of a site with an odd number.

    Attributes:
        sites: a number for the site of each sample, -1 where unknown.
        batch_size: most samples of a batch, at least two for each process.
        processes: the number of processes that share a batch.
    """

    sites: Int[np.ndarray, " sample"]
    batch_size: int
    processes: int = 1

    @property
    def steps(self) -> int:
        """See `BatchOrder`."""
        return sum(self._batches_of(len(site)) for site in self._sites())

    @property
    def left_over(self) -> int:
        """See `BatchOrder`."""
        return len(self.sites) - sum(self._used(len(site)) for site in self._sites())

    def batches(self, rng: np.random.Generator) -> Iterator[Int[np.ndarray, " sample"]]:
        """See `BatchOrder`."""
        parts = [
            part
            for site in self._sites()
            for part in np.array_split(
                rng.permutation(site)[: self._used(len(site))], self._batches_of(len(site))
            )
        ]
        for place in rng.permutation(len(parts)):
            yield parts[place]

    def _sites(self) -> list[Int[np.ndarray, " sample"]]:
        """Return the samples of each site that has enough for a batch."""
        each = [np.flatnonzero(self.sites == site) for site in np.unique(self.sites) if site >= 0]
        return [samples for samples in each if len(samples) >= smallest_batch(self.processes)]

    def _batches_of(self, samples: int) -> int:
        """Return the number of batches of a site: as few as hold all, none too small."""
        return min(-(-samples // self.batch_size), samples // smallest_batch(self.processes))

    def _used(self, samples: int) -> int:
        """Return how many samples of a site its batches hold."""
        return min(samples, self._batches_of(samples) * self.batch_size)


@dataclass(frozen=True, eq=False, repr=False)
class OnePerSubject:
    """Batches in which no subject occurs twice.

    A subject with more samples than there are batches leaves some of them over, others in each
    epoch. There are as few batches as could hold all samples, and more as long as one more keeps
    at least half as many samples from being left over as batches hold on average.

    Attributes:
        subjects: a number for the subject of each sample.
        batch_size: most samples of a batch.
        processes: the number of processes that share a batch.
    """

    subjects: Int[np.ndarray, " sample"]
    batch_size: int
    processes: int = 1

    @property
    def steps(self) -> int:
        """See `BatchOrder`."""
        return self._steps

    @cached_property
    def _steps(self) -> int:
        """The number of batches, none too small where subjects allow."""
        counts, smallest = self._counts, smallest_batch(self.processes)
        steps = -(-len(self.subjects) // self.batch_size)
        used = int(counts.clip(max=steps).sum())
        while True:
            gained = len(counts) - int(np.searchsorted(counts, steps, side="right"))
            too_small = used + gained < smallest * (steps + 1)
            if not gained or 2 * gained * steps < used or too_small:
                return steps
            steps, used = steps + 1, used + gained

    @property
    def left_over(self) -> int:
        """See `BatchOrder`."""
        return int((self._counts - self.steps).clip(min=0).sum())

    @cached_property
    def _counts(self) -> Int[np.ndarray, " subject"]:
        """The number of samples of each subject, ascending."""
        return np.sort(np.unique(self.subjects, return_counts=True)[1])

    def batches(self, rng: np.random.Generator) -> Iterator[Int[np.ndarray, " sample"]]:
        """See `BatchOrder`.

        Each subject, in random order, gives its samples to the emptiest batches, so that sizes
        differ by one at most.
        """
        order = rng.permutation(len(self.subjects))
        sizes = np.zeros(self.steps, dtype=np.int64)
        members: list[list[int]] = [[] for _ in range(self.steps)]
        by_subject: dict[int, list[int]] = {}
        for place in order:
            by_subject.setdefault(int(self.subjects[place]), []).append(int(place))
        for samples in by_subject.values():
            emptiest = np.lexsort((rng.random(self.steps), sizes))[: len(samples)]
            for batch, place in zip(emptiest, samples, strict=False):
                members[batch].append(place)
            sizes[emptiest] += 1
        for places in members:
            yield np.array(places, dtype=np.int64)


def smallest_batch(processes: int) -> int:
    """Return the fewest samples of a batch: two for each process."""
    return 2 * processes


def shareable_left_over(count: int) -> dict[str, int]:
    """Return the entry of the history on samples left over; none for 1 to 9.

    A history leaves the run's folder and holds numbers only: a small one could identify someone.
    """
    return {} if 0 < count < SMALLEST_COUNT else {"left_over": count}


def batch_order(
    word: str,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    *,
    batch_size: int,
    processes: int,
    where: str,
    spread: Bool[np.ndarray, " sample"] | None = None,
) -> BatchOrder:
    """Return the batch order that a task names, for some rows of a store.

    Args:
        word: as in the task's `batches`.
        store: has the sites and the subjects.
        rows: the samples to train on.
        batch_size: most samples of a batch.
        processes: the number of processes that share a batch.
        where: the task, for messages.
        spread: True for rows that `shuffled` spreads evenly over the batches, of samples that have
            several rows; by default each sample has one.

    Raises:
        DataError: the cohort has no site, or a batch could not have two samples for each process.
    """
    smallest = smallest_batch(processes)
    if min(batch_size, len(rows)) < smallest:
        found = (
            f"batch_size is {batch_size}"
            if batch_size < smallest
            else f"there are {format_count(len(rows))} samples to train on"
        )
        raise DataError(
            f"{where}: {found}; expected at least {smallest}{_for_each(processes)}. Raise "
            "batch_size, prepare a larger cohort, or train on fewer devices.",
            code="CS-D027",
        )
    if word == "shuffled" and spread is not None:
        return EvenlyComplete(spread, len(np.unique(rows)), batch_size)
    return ORDERS[word](store, rows, batch_size, processes, where)


def _shuffled(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    batch_size: int,
    processes: int,
    where: str,
) -> BatchOrder:
    return Shuffled(len(rows), batch_size)


def _one_site(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    batch_size: int,
    processes: int,
    where: str,
) -> BatchOrder:
    """Return batches of one site.

    Raises:
        DataError: the cohort has no subgroup `site`, or no site has enough samples for a batch.
    """
    if SITE not in store.subgroups:
        raise DataError(
            f"{where}: batches is 'one-site', but cohort '{store.cohort}' has no site; its "
            f"subgroups are {', '.join(store.subgroups) or 'none'}. Add a table [subgroups.site] "
            "with the column of the site to its cohort.toml and prepare again, or choose other "
            "batches.",
            code="CS-D027",
        )
    groups = store.group(SITE)[rows]
    codes = {name: number for number, name in enumerate(sorted(set(groups) - {None}))}
    order = OneSite(np.array([codes.get(name, -1) for name in groups]), batch_size, processes)
    if not order.steps:
        raise DataError(
            f"{where}: batches is 'one-site', but no site of cohort '{store.cohort}' has "
            f"{smallest_batch(processes)} samples to train on{_for_each(processes)}. Prepare a "
            "larger cohort, or choose other batches.",
            code="CS-D027",
        )
    return order


def _one_per_subject(
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    batch_size: int,
    processes: int,
    where: str,
) -> BatchOrder:
    """Return batches in which no subject occurs twice.

    Raises:
        DataError: a batch would be too small, for lack of subjects.
    """
    _, subjects = np.unique(store.samples["subject"].to_numpy()[rows], return_inverse=True)
    order = OnePerSubject(subjects.astype(np.int64), batch_size, processes)
    smallest = smallest_batch(processes)
    if len(rows) - order.left_over < smallest * order.steps:
        raise DataError(
            f"{where}: batches is 'one-per-subject', but cohort '{store.cohort}' has too few "
            f"subjects to train on ({format_count(len(np.unique(subjects)))}): some batches would "
            f"hold fewer than {smallest} samples{_for_each(processes)}. Prepare a larger cohort, "
            "or choose other batches.",
            code="CS-D027",
        )
    return order


def _for_each(processes: int) -> str:
    return f", two for each of {processes} processes" if processes > 1 else ""


ORDERS: dict[
    str, Callable[[CohortStore, Int[np.ndarray, " sample"], int, int, str], BatchOrder]
] = {
    "shuffled": _shuffled,
    "one-site": _one_site,
    "one-per-subject": _one_per_subject,
}

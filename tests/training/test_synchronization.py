"""Processes that wait for the first one, as threads that meet in the same collective operations."""

import threading
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from clinical_symile.training.synchronization import first_process_first

LONGEST_S = 60.0


class Meetings:
    """The collective operations of some threads; none may wait alone for long."""

    def __init__(self, size: int):
        self.size, self.met, self.lowest = size, 0, 0
        self.values: list[int] = []
        self.barrier = threading.Barrier(size, timeout=LONGEST_S)

    def lowest_of(self, value: int) -> int:
        self.values.append(value)
        if self.barrier.wait() == 0:
            self.met += 1
            self.lowest, self.values = min(self.values), []
        self.barrier.wait()
        return self.lowest


class ThreadFabric(Fabric):
    """A thread that takes part in meetings as a process does in those of Fabric."""

    def __init__(self, rank: int, meetings: Meetings):
        self.rank, self.meetings = rank, meetings

    @property
    def world_size(self) -> int:
        return self.meetings.size

    @property
    def is_global_zero(self) -> bool:
        return self.rank == 0

    def all_reduce(self, data: Any, group: Any = None, reduce_op: Any = "mean") -> Tensor:
        assert reduce_op == "min"
        return torch.tensor(self.meetings.lowest_of(int(data)))


def test_others_wait_for_the_first_and_meet_it_between_the_parts_of_its_work():
    meetings, told, found = Meetings(3), list[str](), dict[int, str]()

    def work_of(rank: int) -> Callable[[Callable[[], object]], str]:
        def work(pause: Callable[[], object]) -> str:
            told.append(f"{rank} begins")
            for _ in range(5 if rank == 0 else rank):
                pause()
            told.append(f"{rank} ends")
            return f"found by {rank}"

        return work

    def run(rank: int) -> None:
        found[rank] = first_process_first(ThreadFabric(rank, meetings), work_of(rank))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST_S)
    assert found == {rank: f"found by {rank}" for rank in range(3)}
    assert told[:2] == ["0 begins", "0 ends"]
    assert {*told[2:]} == {"1 begins", "1 ends", "2 begins", "2 ends"}
    # Five parts of the first and its end, then the two parts of the slower one and the end of all.
    assert meetings.met == 6 + 3


def test_a_process_alone_works_and_meets_no_other():
    meetings = Meetings(1)

    def work(pause: Callable[[], object]) -> str:
        pause()
        return "done"

    assert first_process_first(ThreadFabric(0, meetings), work) == "done"
    assert meetings.met == 0

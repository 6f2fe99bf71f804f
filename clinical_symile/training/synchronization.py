"""Let the first process of a training work while the others wait, however long that takes."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from lightning_fabric import Fabric

Found = TypeVar("Found")


def first_process_first(fabric: Fabric, work: Callable[[Callable[[], object]], Found]) -> Found:
    """Do some work in the first process, then in all others at once; return what each found.

    No process waits for all of the work in one collective operation: that fails after some minutes.
    The processes that work meet those that wait after each part of it.

    Args:
        fabric: the processes.
        work: does the work. It is given a function to call between parts of the work, each of which
            must be shorter than the process group's timeout, which is minutes.
    """
    if fabric.world_size == 1:
        return work(lambda: None)
    found: list[Found] = []
    for is_turn_of_first in (True, False):
        if fabric.is_global_zero == is_turn_of_first:
            found.append(work(partial(_all_are_done, fabric, is_done=False)))
        while not _all_are_done(fabric, is_done=True):
            pass
    return found[0]


def _all_are_done(fabric: Fabric, *, is_done: bool) -> bool:
    """Meet the other processes; return True if all of them are done, in all processes alike."""
    met = fabric.all_reduce(torch.tensor(int(is_done)), reduce_op="min")
    assert isinstance(met, torch.Tensor)
    return bool(met)

"""Find out which process holds the lock of a folder, and which processes share one."""

import json
import os
import socket
import sys
from multiprocessing import parent_process
from pathlib import Path


def is_further_process() -> bool:
    """Return True in all but the first process of one training on several devices.

    Launchers set all of these variables. A rank alone is a leftover of the shell, or of another
    program.
    """
    if "MASTER_ADDR" not in os.environ or _number("WORLD_SIZE") < 2:
        return False
    return bool(_number("LOCAL_RANK") or _number("RANK"))


def _number(variable: str) -> int:
    """Return a whole number from the environment; 0 if it is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0


def is_held_by_parent(holder: Path) -> bool:
    """Return True if the process that started this one by `multiprocessing` holds a lock."""
    # A process that still imports the main module does not know its parent by `parent_process`.
    if parent_process() is None and "--multiprocessing-fork" not in sys.orig_argv:
        return False
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return (about["process"], about["host"]) == (os.getppid(), socket.gethostname())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def describe_holder(holder: Path) -> str:
    """Return who holds a lock and since when, as far as the file beside it says so."""
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {about['process']} on {about['host']}, since {about['since']},"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"

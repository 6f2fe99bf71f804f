"""Damage every kind of recording and table that is read, and see what the readers make of it.

    python -m tests.helpers.fuzz --mutations 300 [--seed 0] [NAME ...]

Each kind runs in a process of its own. It prints one JSON line: how many files were refused, read
as before, read otherwise with a note, or read otherwise without a word; what is wrong (an error of
another kind than a verdict, a hang, a message that holds a patient's value); and the memory above
that of the parent.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.mutations import KINDS, mutate

SECONDS = 20  # for one file; more is a hang
# How a damaged file can end: see `_try`. A process that a library holds in C is killed later.
ENDINGS = ("refused", "same", "noted", "silent", "hung", "failed")
_KILLED_AFTER_S = 3 * SECONDS
CANARY = "Zanzibar"
_MARK = "damaged"  # touched for every file, so that the parent notices a hang


@dataclass(frozen=True)
class Case:
    """A file that is damaged, and a reader of it.

    Attributes:
        file: the file.
        read: returns what was read and the notes; raises a verdict.
        must_tell: True if the file holds checksums over its values: none may change silently.
        statement: what the checksums state of the content; one that keeps it may change silently.
    """

    file: Path
    read: Callable[[], tuple[Any, list[str]]]
    must_tell: bool = False
    statement: Callable[[bytes], Any] = bytes


def main() -> None:
    """Run some kinds and print a JSON line for each."""
    from tests.helpers.fuzz_cases import CASES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    faulthandler.enable()
    for name in given.names or CASES:
        print(json.dumps(in_child(name, CASES[name], given.mutations, given.seed)), flush=True)


def in_child(name: str, make: Callable[[Path], Case], mutations: int, seed: int) -> dict[str, Any]:
    """Run one kind in a forked process, and return its counts."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        child = os.fork()
        if not child:
            work = Path(folder) / "files"
            work.mkdir()
            before_kb = _resident_kb()  # what it has of its parent
            try:
                mark = work / _MARK
                found = _run(make(work), mutations, seed, before_kb=before_kb, mark=mark)
            except BaseException:
                found = {"problems": [traceback.format_exc()[-2000:]]}
            answer.write_text(json.dumps(found))
            os._exit(0)
        status, hung = _wait(child, Path(folder) / "files")
        if hung:
            problems = [f"a file took more than {_KILLED_AFTER_S} s"]
            return {"name": name, "hung": 1, "problems": problems}
        if not answer.exists():
            died = os.waitstatus_to_exitcode(status)
            return {"name": name, "problems": [f"the process died ({died})"]}
        return {"name": name, **json.loads(answer.read_text())}


def _wait(child: int, work: Path) -> tuple[int, bool]:
    """Wait for a child; kill one in which no new file was damaged for a minute."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status, False
        marks = [path.stat().st_mtime for path in (work, work / _MARK) if path.exists()]
        if marks and time.time() - max(marks) > _KILLED_AFTER_S:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 0, True
        time.sleep(0.05)


def _run(case: Case, mutations: int, seed: int, *, before_kb: int, mark: Path) -> dict[str, Any]:
    whole = case.file.read_bytes()
    original, known = case.read()
    counts: Counter[str] = Counter()
    silent: Counter[str] = Counter()
    problems: list[str] = []
    signal.signal(signal.SIGALRM, _hang)
    for number in range(mutations):
        kind = KINDS[number % len(KINDS)]
        damaged = mutate(whole, np.random.default_rng([seed, number]), kind)
        case.file.write_bytes(damaged)
        mark.touch()
        signal.alarm(SECONDS)
        word = _try(case, original, known, f"{kind} {number}", problems)
        signal.alarm(0)
        counts[word] += 1
        if word == "silent":
            silent[kind] += 1
            if case.must_tell and case.statement(damaged) != case.statement(whole):
                problems.append(f"{kind} {number}: other values without a word")
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) // 1024
    return {**counts, "memory_mb": memory, "silent_by": dict(silent), "problems": problems}


def _try(case: Case, original: Any, known: list[str], what: str, problems: list[str]) -> str:
    from clinical_symile.errors import ClinicalSymileError
    from clinical_symile.modalities.base import Rejected

    try:
        with _quiet():
            values, notes = case.read()
    except (Rejected, ClinicalSymileError) as verdict:
        if CANARY in str(verdict):
            problems.append(f"{what}: a value of a patient in the message")
        return "refused"
    except TimeoutError as error:
        problems.append(f"{what}: {error}")
        return "hung"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        problems.append(f"{what}: {type(error).__name__}: {str(error)[:200]} ({place})")
        return "failed"
    if _same(values, original):
        return "same"
    return "noted" if set(notes) - set(known) else "silent"


def _resident_kb() -> int:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and np.array_equal(one, other)
    return type(one) is type(other) and one == other


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send to nowhere what libraries in C print."""
    with Path(os.devnull).open("w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _hang(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())

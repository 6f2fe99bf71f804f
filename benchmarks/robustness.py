"""Two at once, kills, a full disk, cut and mutated files: nothing is lost and nothing is silent.

    python benchmarks/robustness.py OUT [--pairs 16] [--kills 76] [--disks 20] [--mutations 300]
    python benchmarks/robustness.py OUT --only "two at once" SIGKILL "full disk"

Every command runs in a forked child of this process, which has loaded PyTorch. Each case is noted
in `OUT/cases.jsonl`; after an interruption, or after `--seconds`, the same command goes on with
the next case (status 3 says that cases are left). The logs are `benchmarks/results/robustness.md`
and, for recordings, tables and definitions, `fuzz.md`. They name every case that was not as
expected. Several processes may share the work: each has a folder and sections of its own
(`--only`), and `--beside` adds the cases of other folders to the logs.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # `tests.helpers`, run as a script

from clinical_symile.tracking.provenance import provenance  # noqa: E402
from tests.helpers.damaged_folders import (  # noqa: E402
    CUTS,
    ONLY_CUT,
    PARTS,
    Damage,
    Outcome,
    verified,
)
from tests.helpers.forked_commands import MOST_MEMORY_MB, warm_up  # noqa: E402
from tests.helpers.fuzz import ENDINGS, SECONDS, in_child  # noqa: E402
from tests.helpers.fuzz_cases import CASES  # noqa: E402
from tests.helpers.robust_folders import (  # noqa: E402
    VERBS,
    Folders,
    contents,
    differences,
    mount_disk,
)

UNFINISHED = 3  # the exit status if cases are left
DISK_MB = 64
FUZZ = "file: "  # the sections that have a log of their own
SLOW = "unfinished store"  # whose mutations come last
KILLED = ("prepare", "train", "evaluate", "benchmark")
# The most room on a disk that becomes full, as a multiple of what the verb leaves: `train` writes
# each checkpoint beside the last one.
MOST_ROOM = {"prepare": 2, "train": 3, "evaluate": 2, "benchmark": 2}


@dataclass(frozen=True)
class Section:
    """Cases of one kind, each of which depends on its number and the seed alone."""

    name: str
    cases: int
    run: Callable[[int], Outcome]


def two_at_once(folders: Folders, verb: str, number: int) -> Outcome:
    """Run a verb twice at once on one folder."""
    expected, _ = folders.alone(verb)
    with folders.copy(*VERBS[verb]) as folder:
        both = [folders.start(folders.command(verb, folder)) for _ in range(2)]
        ends = [child.wait() for child in both]
        wrong = [end.problem for end in ends]
        wrong += [end.said.strip()[-300:] for end in ends if end.status]
        wrong += [differences(contents(folder), expected), verified(folders, verb, folder)]
        waited = any("waiting until it ends" in end.said for end in ends)
    return Outcome("the second waited" if waited else "the second came later", _joined(wrong))


def kill(folders: Folders, verb: str, seed: int, number: int) -> Outcome:
    """Kill a verb at a random moment, and run it again."""
    expected, seconds = folders.alone(verb)
    after = float(np.random.default_rng([seed, number]).uniform(0, seconds))
    with folders.copy(*VERBS[verb]) as folder:
        child = folders.start(folders.command(verb, folder))
        time.sleep(after)
        child.kill()
        was_killed = child.wait().status < 0
        end = folders.start(folders.command(verb, folder)).wait()
        wrong = [end.problem, f"failed again: {end.said.strip()[-300:]}" if end.status else ""]
        wrong += [differences(contents(folder), expected), verified(folders, verb, folder)]
    problem = _joined(wrong)
    where = f"after {after:.2f} s: " if problem else ""
    return Outcome("killed" if was_killed else "ended before", where + problem)


def full_disk(folders: Folders, verb: str, seed: int, number: int) -> Outcome:
    """Run a verb on a disk that becomes full, make room, and run it again."""
    expected, _ = folders.alone(verb)
    most = MOST_ROOM[verb] * folders.written(verb)
    free = int(np.random.default_rng([seed, number]).integers(most))
    answer = folders.out / f"disk-{os.getpid()}.json"
    answer.unlink(missing_ok=True)
    with folders.copy(*VERBS[verb]) as folder:
        child = os.fork()
        if not child:
            try:
                found = _on_disk(folders, verb, folder, free, expected, beside=number % 2 == 1)
                answer.write_text(json.dumps([found.ending, found.problem]))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    if not answer.exists():
        return Outcome("wrong", f"{free >> 10} kB free: the process died")
    ending, problem = json.loads(answer.read_text())
    return Outcome(ending, f"{free >> 10} kB free: {problem}" if problem else "")


def _on_disk(
    folders: Folders, verb: str, copied: Path, free: int, expected: dict[str, str], *, beside: bool
) -> Outcome:
    """Run a verb on a disk with little room; with `beside`, its MLflow database is there too."""
    disk = copied.parent / "disk"
    disk.mkdir()
    if why := mount_disk(disk, DISK_MB):
        return Outcome(f"skipped ({why})")
    folder, filler = disk / "done", disk / "filler"
    shutil.copytree(copied, folder)
    if beside:
        os.environ.pop("MLFLOW_TRACKING_URI")
    room = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - free)))
    command = folders.command(verb, folder)
    first = folders.start(command).wait()
    # What has its last name is as it was written: a file that was not written whole is not there.
    seen = folders.start(["verify", disk]).wait()
    halves = [line for line in seen.said.splitlines() if line.startswith(("changed", "cannot"))]
    filler.unlink()
    again = folders.start(command).wait()
    wrong = [first.problem, seen.problem, "; ".join(halves), again.problem]
    is_lost = again.status or "could not be synced" in again.said
    wrong += [f"failed again: {again.said.strip()[-300:]}"] if is_lost else []
    wrong += [differences(contents(folder), expected), verified(folders, verb, folder)]
    return Outcome("full" if first.status else "enough room", _joined(wrong))


def fuzz(name: str, mutations: int, seed: int, number: int) -> Outcome:
    """Mutate one kind of file many times in a child of this process."""
    del number
    found = in_child(name, CASES[name], mutations, seed)
    problems, memory = list(found.pop("problems")), found.get("memory_mb", 0)
    problems += [f"{memory} MB above the parent"] if memory > MOST_MEMORY_MB else []
    counts = {word: int(found.get(word, 0)) for word in (*ENDINGS, "memory_mb")}
    return Outcome("counted", _joined(problems), counts)


def sections(given: argparse.Namespace, folders: Folders) -> Iterator[Section]:
    """Yield every section in the order in which they run."""
    for verb in VERBS:
        yield Section(f"two at once: {verb}", given.pairs, partial(two_at_once, folders, verb))
    for place, verb in enumerate(KILLED):
        count = given.kills // len(KILLED) + (place < given.kills % len(KILLED))
        seed = 100 * given.seed + place
        yield Section(f"SIGKILL: {verb}", count, partial(kill, folders, verb, seed))
    for place, verb in enumerate(KILLED):
        count = given.disks if verb == "prepare" else given.disks // 2
        run = partial(full_disk, folders, verb, 100 * given.seed + place)
        yield Section(f"full disk: {verb}", count, run)
    for kind in PARTS:
        damage = Damage(folders, kind)
        cuts = len(CUTS) * len(damage.files) if given.cuts is None else given.cuts
        yield Section(f"cut files: {kind}", cuts, damage.cut)
        damage.close()
    for name in CASES:
        run = partial(fuzz, name, given.fuzz, given.seed)
        yield Section(f"{FUZZ}{name}", int(given.fuzz > 0), run)
    mutated = [kind for kind in PARTS if kind not in ONLY_CUT and kind != SLOW]
    for kind in (*mutated, SLOW):
        damage = Damage(folders, kind)
        seed = 100 * given.seed + 50 + [*PARTS].index(kind)
        yield Section(f"mutations: {kind}", given.mutations, partial(damage.mutate, seed))
        damage.close()


def run_sections(given: argparse.Namespace) -> bool:
    """Run the cases that are left; return True if none is left after it."""
    end = time.monotonic() + given.seconds
    warm_up()
    folders, noted = Folders(given.out), given.out / "cases.jsonl"
    for left in given.out.glob("case-*"):
        shutil.rmtree(left, ignore_errors=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{given.out / 'mlflow.db'}"
    folders.make_base()
    done = {(row["section"], row["case"]) for row in read_all_cases(given)}
    commit = provenance()["git_commit"]
    for section in sections(given, folders):
        if given.only and not section.name.startswith(tuple(given.only)):
            continue
        for number in range(section.cases):
            if (section.name, number) in done:
                continue
            if time.monotonic() > end:
                return False
            began = time.monotonic()
            found = section.run(number)
            row = {"section": section.name, "case": number, "ending": found.ending}
            row |= {"problem": found.problem, "seconds": round(time.monotonic() - began, 2)}
            row |= {"commit": commit}
            row |= {"counts": dict(found.counts)} if found.counts else {}
            with noted.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            if found.problem:
                print(f"{section.name}, case {number}: {found.problem}", flush=True)
    return True


def read_cases(file: Path) -> list[dict[str, Any]]:
    """Read the cases that are done."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def read_all_cases(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Read the cases that are done in the folder and in those beside it."""
    folders = (given.out, *given.beside)
    return [row for folder in folders for row in read_cases(folder / "cases.jsonl")]


def write_log(given: argparse.Namespace, rows: Sequence[dict[str, Any]], *, whole: bool) -> None:
    """Write the table of all sections, and each case that was not as expected."""
    counts = " ".join(
        f"--{name} {getattr(given, name)}"
        for name in ("pairs", "kills", "disks", "mutations", "fuzz", "seed")
    )
    cuts = "" if given.cuts is None else f" --cuts {given.cuts}"
    seconds = sum(float(str(row["seconds"])) for row in rows)
    lines = ["# Two at once, kills, full disks, cut and mutated files", ""]
    lines += [f"`python benchmarks/robustness.py OUT {counts}{cuts}`", ""]
    commits = ", ".join(sorted({str(row.get("commit")) for row in rows}))
    lines += [f"Commit {commits}. Python {platform.python_version()}, {os.cpu_count()} cores;"]
    lines += [f"{seconds:.0f} s in {1 + len(given.beside)} processes."]
    lines += [] if whole else ["", "Cases are left: run the same command again."]
    lines += ["", "| what | cases | how they ended | not as expected |", "|---|--:|---|--:|"]
    for name in _section_names(rows):
        own = [row for row in rows if row["section"] == name]
        endings = [str(row["ending"]) for row in own]
        words = [(endings.count(word), word) for word in sorted({*endings})]
        ended = ", ".join(f"{count} {word}" for count, word in words)
        wrong = sum(bool(row["problem"]) for row in own)
        lines.append(f"| {name} | {len(own)} | {ended} | {wrong} |")
    shown = [row for row in rows if row["problem"] and not _is_fuzz(row)]
    lines += ["", *(f"- {row['section']}, {row['problem']}" for row in shown)] if shown else []
    text = "\n".join(lines).replace(str(given.out), "OUT") + "\n"
    given.log.write_text(text, encoding="utf-8")


def write_fuzz_log(given: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> None:
    """Write the counts of each kind of file that was damaged many times, if any was."""
    rows = [row for row in rows if _is_fuzz(row)]
    if not rows:
        return
    lines = [
        f"# Damaged files, {given.fuzz} mutations a kind",
        "",
        f"`python benchmarks/robustness.py OUT --fuzz {given.fuzz} --seed {given.seed}`",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores; "
        f"{sum(row['seconds'] for row in rows):.0f} s; {len(rows)} of {len(CASES)} kinds, "
        f"{sum(sum(row['counts'][word] for word in ENDINGS) for row in rows)} mutations.",
        "",
        "| kind | refused | read as before | read otherwise with a note | read otherwise without "
        f"a word | more than {SECONDS} s | another error | not as expected | memory above the "
        "parent, MB |",
        "|---|" + "--:|" * (len(ENDINGS) + 2),
    ]
    for row in rows:
        counts = row["counts"]
        name = str(row["section"]).removeprefix(FUZZ)
        cells = [name, *(counts[word] for word in ENDINGS), int(bool(row["problem"]))]
        lines.append(f"| {' | '.join(map(str, [*cells, counts['memory_mb']]))} |")
    lines += [
        "",
        "These files have no checksums of this package. A file that states its own, as WFDB, PNG, "
        "SCP and compressed NumPy arrays do, is not as expected if other values are read without a "
        "word; a table or definition that loses a line is another valid one. So is a message that "
        "holds a patient's value.",
    ]
    lines += [f"- {row['section']}: {row['problem']}" for row in rows if row["problem"]]
    given.fuzz_log.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _is_fuzz(row: dict[str, Any]) -> bool:
    return str(row["section"]).startswith(FUZZ)


def _section_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the sections of the first log, in the order in which they ran."""
    return list(dict.fromkeys(str(row["section"]) for row in rows if not _is_fuzz(row)))


def _joined(problems: Sequence[str]) -> str:
    return "; ".join(problem for problem in problems if problem)


def main() -> None:
    """Run the cases that are left and write the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    counts = (("pairs", 16), ("kills", 76), ("disks", 20), ("mutations", 300), ("fuzz", 300))
    for name, count in counts:
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--cuts", type=int, help="for each kind of folder (default: all)")
    parser.add_argument("--only", nargs="+", help="the beginnings of the sections to run")
    parser.add_argument("--beside", nargs="+", type=Path, default=[], help="folders of other parts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--log", type=Path, default=ROOT / "benchmarks/results/robustness.md")
    fuzz_log = ROOT / "benchmarks/results/fuzz.md"
    parser.add_argument("--fuzz-log", type=Path, default=fuzz_log)
    given = parser.parse_args()
    given.out = given.out.resolve()
    given.out.mkdir(parents=True, exist_ok=True)
    is_whole = run_sections(given)
    rows = read_all_cases(given)
    write_log(given, rows, whole=is_whole)
    write_fuzz_log(given, rows)
    print(given.log.read_text())
    if any(row["problem"] for row in rows):
        sys.exit(1)
    sys.exit(0 if is_whole else UNFINISHED)


if __name__ == "__main__":
    main()

"""Damage a file of a store, run or benchmark, and judge the command that reads its folder."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tests.helpers.forked_commands import Ended
from tests.helpers.mutations import KINDS, mutate
from tests.helpers.robust_folders import MODELS, TASK, Folders, contents, differences

CUTS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "emptied": lambda content: b"",
}


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Attributes:
        ending: in few words, to be counted.
        problem: what was not as expected; empty if all was.
        counts: of a case that damages one file many times, how often each ending came.
    """

    ending: str
    problem: str = ""
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True)
class _Part:
    """What is damaged, and how it is read.

    Attributes:
        place: the folder of the damaged files, below the copy.
        files: where they lie in what is copied: `all`, `partial` or `stopped`.
        sealed: True if the folder keeps its checksums.
    """

    place: Path
    files: str = "all"
    sealed: bool = True


_STORE, _RUN = Path("store"), Path("runs", "symile-0")
PARTS: Mapping[str, _Part] = {
    "store": _Part(_STORE),
    "run": _Part(_RUN),
    "benchmark": _Part(Path()),
    "second run": _Part(Path("runs", "clip-0")),
    "oracle": _Part(Path("runs", "oracle")),
    "unfinished store": _Part(Path("store.partial"), "partial"),
    "unfinished run": _Part(_RUN, "stopped"),
    # As version 0.2.1 wrote them: nothing but the content can tell that they are damaged.
    "store without checksums": _Part(_STORE, sealed=False),
    "run without checksums": _Part(_RUN, sealed=False),
    "benchmark without checksums": _Part(Path(), sealed=False),
}
# Their files are those of a run, whose mutations are counted: they are only cut.
ONLY_CUT = ("second run", "oracle")


class Damage:
    """Files of one part of the benchmark, and a copy of it to damage.

    Args:
        folders: the finished benchmark.
        kind: a name of `PARTS`.
    """

    def __init__(self, folders: Folders, kind: str):
        self.folders, self.kind, self.part = folders, kind, PARTS[kind]
        self._copy: AbstractContextManager[Path] | None = None
        roots = {"partial": folders.partial, "stopped": folders.stopped}
        root = roots.get(self.part.files, folders.base)
        self.files = _files(root / self.part.place, self.part)

    def cut(self, number: int) -> Outcome:
        """Cut, zero or empty a file: every file in each way, in turn."""
        how = list(CUTS)[number % len(CUTS)]
        file = self.files[number // len(CUTS) % len(self.files)]
        return self._try(file, how, CUTS[how], number)

    def mutate(self, seed: int, number: int) -> Outcome:
        """Change a file by one of the mutations of the tests."""
        rng = np.random.default_rng([seed, number])
        how = KINDS[number % len(KINDS)]
        file = self.files[int(rng.integers(len(self.files)))]
        return self._try(file, how, partial(mutate, rng=rng, kind=how), number)

    def close(self) -> None:
        """Remove the copy."""
        if self._copy is not None:
            self._copy.__exit__(None, None, None)
            self._copy = None

    def _try(self, file: Path, how: str, damage: Callable[[bytes], bytes], number: int) -> Outcome:
        """Damage a file, and run a command that reads its folder."""
        if self._copy is None:
            self._open()
        path = self.folder / self.part.place / file
        before = path.read_bytes()
        path.write_bytes(damage(before))
        if self.part.files != "all":
            outcome = self._completed(self._run(number))
        elif self.part.sealed:
            seen = self._verified()
            outcome = self._judged(self._run(number), seen)
        else:
            outcome = _opened(self._run(number))
        if outcome.ending == "refused" and self.part.files == "all" and self.part.sealed:
            path.write_bytes(before)
        else:  # the command may have written other files
            self.close()
        verb = self._commands()[number % len(self._commands())][0]
        where = f"{verb}, {file.as_posix()} {how}: " if outcome.problem else ""
        return Outcome(outcome.ending, where + outcome.problem)

    def _open(self) -> None:
        self._copy = self.folders.copy(self.part.files)
        self.folder = self._copy.__enter__()
        if self.part.files == "all" and self.part.sealed:
            self.intact = self._verified().said
        if not self.part.sealed:
            for checksums in self.folder.rglob("checksums.jsonl"):
                checksums.unlink()

    def _verified(self) -> Ended:
        return self.folders.start(["verify", self.folder / self.part.place]).wait()

    def _run(self, number: int) -> Ended:
        commands = self._commands()
        return self.folders.start(commands[number % len(commands)]).wait()

    def _commands(self) -> list[list[str | Path]]:
        """Return the commands that read the damaged part; cases take them in turn."""
        folder, store = self.folder, self.folder / "store"
        runs, page = folder / "runs", folder.parent / "card.html"
        pair: list[str | Path] = [runs / f"{name}-0" for name in MODELS]
        export = ["--format", "csv", "--format", "latex", "--to", folder.parent / "export"]
        card: list[str | Path] = ["card", store, "--out", page]
        compare: list[str | Path] = ["compare", *pair, "--store", store, "--tasks", TASK]
        report: list[str | Path] = ["report", "benchmark", "--out", folder]
        evaluate = self.folders.command("evaluate", folder)
        own: dict[str, Sequence[Sequence[str | Path]]] = {
            "store": [card],
            "run": [compare],
            "benchmark": [report],
            "second run": [compare],
            "oracle": [report],
            "unfinished store": [self.folders.command("prepare", folder)],
            "unfinished run": [self.folders.command("train", folder)],
            "store without checksums": [card, evaluate, ["verify", store], ["audit", store]],
            "run without checksums": [
                compare,
                evaluate,
                ["sync", pair[0]],
                ["export", pair[0], *export],
                ["rerun", pair[0], "--line", "1", "--store", store],
                ["verify", pair[0]],
                report,
            ],
            "benchmark without checksums": [
                report,
                ["export", folder, *export, "--format", "svg"],
                ["sync", folder],
                ["rerun", folder, "--line", "1"],
                ["verify", folder],
                self.folders.command("benchmark", folder),
            ],
        }
        return [list(command) for command in own[self.kind]]

    def _judged(self, end: Ended, seen: Ended) -> Outcome:
        """Judge a command that opened a damaged folder, and `verify` before it."""
        if end.problem or seen.problem:
            return Outcome("wrong", "; ".join(filter(None, [end.problem, seen.problem])))
        if seen.said == self.intact:  # such as half a line at the end of the checksums
            return Outcome("without effect: all other files are compared as before")
        if not seen.status:
            return Outcome("silent", "verify finds nothing")
        return Outcome("refused" if end.status else "found by verify alone")

    def _completed(self, end: Ended) -> Outcome:
        """Judge a command that goes on with what is unfinished."""
        verb = "prepare" if self.part.files == "partial" else "train"
        if end.problem:
            return Outcome("wrong", end.problem)
        if end.status:
            return Outcome("refused")
        expected, _ = self.folders.alone(verb)
        found = differences(contents(self.folder), expected)
        if found:
            return Outcome("silent", found)
        told = verified(self.folders, verb, self.folder)  # such as a file whose checksum was lost
        return Outcome("completed, the same bytes" + ", and verify names the damage" * bool(told))


def verified(folders: Folders, verb: str, folder: Path) -> str:
    """Return what `verify` finds in the folder that a verb has written; empty if nothing."""
    places = {"train": folder / "runs", "evaluate": folder / "runs", "benchmark": folder}
    end = folders.start(["verify", places.get(verb, folder / "store")]).wait()
    return "" if not end.status else f"verify: {end.said.strip()[-300:]}"


def _opened(end: Ended) -> Outcome:
    """Judge a command that opened a folder that only its content can show to be damaged."""
    if end.problem:
        return Outcome("wrong", end.problem)
    return Outcome("refused" if end.status else "read: its content fits")


def _files(place: Path, part: _Part) -> list[Path]:
    """Return the files with content of a store, run or benchmark, and of none inside it."""
    from clinical_symile.tracking.checksums import CHECKSUMS_FILE, read_checksums

    if part.files == "partial":
        names = sorted(path.relative_to(place) for path in place.rglob("*") if path.is_file())
    else:
        names = [Path(name) for name in sorted(read_checksums(place) or {})]
        names += [Path(CHECKSUMS_FILE)] if part.sealed else []
    return [name for name in names if (place / name).stat().st_size]

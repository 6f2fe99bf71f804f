"""Two at once, kills, a full disk, cut and mutated files: nothing is lost and nothing is silent.

    python benchmarks/robustness.py OUT [--pairs 16] [--kills 76] [--disks 20] [--mutations 300]

Every command runs in a forked child of this process, which has loaded PyTorch. Each section adds a
row to `benchmarks/results/robustness.md`, whose log names every case that was not as expected.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    *("dim=8", "batch_size=32", "epochs=2", "encoders.cxr.size_px=16"),
    *("encoders.cxr.channels=[4, 8]", "encoders.ecg.sampling_rate_hz=20"),
    *("encoders.ecg.width=4", "encoders.labs.hidden=[16]"),
)
TASK = "retrieval/cxr_given_ecg_labs"
HANG_S = 300
# What differs between two runs of the same: times, places, pages with times, locks, copies.
_LEFT_OUT = re.compile(
    r"(^|/)(\.[^/]*|checksums\.jsonl|report\.html|mlflow\.db.*|source|mlartifacts|inputs\.json)(/|$)"
)
_TIMES = {"seconds", "elapsed_s", "started", "finished", "mlflow", "git_commit", "store", "name"}


@dataclass
class Section:
    """One section of the log.

    Attributes:
        name: what was done.
        cases: number of cases.
        counts: number of cases by how they ended.
        problems: one sentence for each case that was not as expected.
    """

    name: str
    cases: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, ending: str, problem: str = "") -> None:
        """Count a case."""
        self.cases += 1
        self.counts[ending] = self.counts.get(ending, 0) + 1
        if problem:
            self.problems.append(problem)

    def __str__(self) -> str:
        ended = ", ".join(f"{n} {how}" for how, n in sorted(self.counts.items()))
        return f"| {self.name} | {self.cases} | {ended} | {len(self.problems)} |"


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status (negative for a signal) and standard error."""

    status: int
    said: str

    @property
    def problem(self) -> str:
        """What no command may do; empty if it did not."""
        if "Traceback" in self.said:
            return "traceback: " + self.said.strip().splitlines()[-1][:200]
        if self.status < 0:
            return f"ended by signal {-self.status}"
        return "" if self.status == 0 or "error: " in self.said else f"status {self.status}, silent"


class Child:
    """A command in a forked child of this process, in a process group of its own."""

    def __init__(self, arguments: Sequence[str | Path], log: Path):
        self.log, self.started = log, time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.process = os.fork()
        if self.process == 0:
            self._run([str(argument) for argument in arguments])

    def _run(self, arguments: list[str]) -> None:
        status = 70
        try:
            os.setsid()
            with self.log.open("wb") as stream:
                os.dup2(stream.fileno(), 2)
                os.dup2(stream.fileno(), 1)
            from clinical_symile.cli.main import main

            main(arguments)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def kill(self) -> None:
        """Kill the child and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)

    def wait(self) -> Ended:
        """Wait for the end; a child that hangs is killed."""
        while True:
            done, status = os.waitpid(self.process, os.WNOHANG)
            if done:
                return Ended(
                    os.waitstatus_to_exitcode(status), self.log.read_text(errors="replace")
                )
            if time.monotonic() - self.started > HANG_S:
                self.kill()
            time.sleep(0.02)


def command_of(verb: str, folder: Path) -> list[str | Path]:
    """Return the arguments of a verb in a benchmark's folder."""
    small = [word for setting in SMALL for word in ("--set", setting)]
    store, run = folder / "store", folder / "runs" / "symile-0"
    if verb == "prepare":
        return ["prepare", "synthetic", "--source", folder.parent / "source", "--out", store]
    if verb == "prepare with its source":
        few = ["--generate", "subjects=60"]
        return ["prepare", "synthetic", "--source", folder / "source", "--out", store, *few]
    if verb == "train":
        where = ["--store", store, "--out", run.parent, "--name", run.name]
        return ["train", "pretraining/symile", *where, "--accelerator", "cpu", *small]
    if verb == "evaluate":
        return ["evaluate", run, "--store", store, "--tasks", TASK]
    few = ["--generate", "subjects=60", "--baselines", "none", "--seeds", "0", "--tasks", TASK]
    models = ["--pretraining", "pretraining/symile,pretraining/clip", "--accelerator", "cpu"]
    return [
        "benchmark",
        "benchmark",
        "--cohort",
        "synthetic",
        "--out",
        folder,
        *few,
        *models,
        *small,
    ]


# The verbs, and the folders of the finished benchmark that each needs.
VERBS: dict[str, tuple[str, ...]] = {
    "prepare": (),
    "prepare with its source": (),
    "train": ("store",),
    "evaluate": ("store", "trained"),
    "benchmark": (),
}


def contents(folder: Path) -> dict[str, str]:
    """Return a digest of every file that the same input must give again, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _LEFT_OUT.search(name):
            found[name] = hashlib.sha256(_without_times(path)).hexdigest()
    return found


def _without_times(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "run.toml":
        return _plain(tomllib.loads(content.decode()))
    if path.name == "benchmark.json":
        return _plain(json.loads(content))
    if path.name == "history.jsonl":
        return b"".join(_plain(json.loads(line)) for line in content.splitlines())
    return content


def _plain(table: dict[str, object]) -> bytes:
    kept = {key: value for key, value in table.items() if key not in _TIMES}
    return json.dumps(kept, sort_keys=True).encode()


class Workplace:
    """A folder with a finished small benchmark, and copies of parts of it to work on."""

    def __init__(self, out: Path):
        self.out, self.number = out, 0
        self.base = out / "base" / "done"
        self.logs = out / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.alone: dict[str, tuple[dict[str, str], float]] = {}

    def run(self, arguments: Sequence[str | Path]) -> Child:
        """Start a command."""
        self.number += 1
        return Child(arguments, self.logs / f"{self.number}.txt")

    def prepare_base(self) -> None:
        """Make the benchmark that all sections copy from."""
        shutil.rmtree(self.out / "base", ignore_errors=True)
        self.base.parent.mkdir(parents=True)
        ended = self.run(command_of("benchmark", self.base)).wait()
        if ended.status:
            raise SystemExit(f"the benchmark to copy from failed: {ended.said}")
        shutil.copytree(self.base / "source", self.base.parent / "source")

    @contextlib.contextmanager
    def copy(self, *parts: str) -> Iterator[Path]:
        """Yield a new folder with some parts of the finished benchmark."""
        self.number += 1
        place = self.out / f"case-{self.number}"
        folder = place / "done"
        folder.mkdir(parents=True)
        (place / "source").symlink_to(self.base.parent / "source")
        if "store" in parts:
            shutil.copytree(self.base / "store", folder / "store")
        if "trained" in parts:
            self._copy_trained(folder / "runs" / "symile-0")
        if "all" in parts:
            shutil.copytree(self.base, folder, dirs_exist_ok=True)
            record = json.loads((folder / "benchmark.json").read_text())
            assert Path(record["store"]).name == "store"
        try:
            yield folder
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _copy_trained(self, folder: Path) -> None:
        """Copy a run as it was before it was evaluated."""
        folder.mkdir(parents=True)
        for name in ("run.toml", "history.jsonl", "model.safetensors", "inputs.json", "last"):
            source = self.base / "runs" / "symile-0" / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        from clinical_symile.files import write_checksums

        write_checksums(folder)

    def alone_of(self, verb: str) -> tuple[dict[str, str], float]:
        """Return what a verb writes if it runs alone, and the seconds that it takes."""
        if verb not in self.alone:
            with self.copy(*VERBS[verb]) as folder:
                started = time.monotonic()
                ended = self.run(command_of(verb, folder)).wait()
                if ended.status:
                    raise SystemExit(f"{verb} alone failed: {ended.said}")
                self.alone[verb] = contents(folder), time.monotonic() - started
        return self.alone[verb]


def compare(found: dict[str, str], expected: dict[str, str]) -> str:
    """Return which files differ; empty if none do."""
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return f"{len(names)} files differ: {', '.join(names[:3])}" if names else ""


def two_at_once(work: Workplace, verb: str, *, pairs: int) -> Section:
    """Run a verb twice at once on one folder."""
    section = Section(f"two at once: {verb}")
    expected, _ = work.alone_of(verb)
    for pair in range(pairs):
        with work.copy(*VERBS[verb]) as folder:
            both = [work.run(command_of(verb, folder)) for _ in range(2)]
            ends = [child.wait() for child in both]
            wrong = [end.problem for end in ends if end.problem]
            wrong += [difference] if (difference := compare(contents(folder), expected)) else []
            if all(end.status for end in ends):
                wrong.append("both failed")
            waited = any("waiting until it ends" in end.said for end in ends)
            section.add(
                "second waited" if waited else "second came later",
                f"{verb}, pair {pair}: {'; '.join(wrong)}" if wrong else "",
            )
    return section


def kills(work: Workplace, verb: str, *, count: int, rng: np.random.Generator) -> Section:
    """Kill a verb at random moments, and run it again."""
    section = Section(f"SIGKILL: {verb}")
    expected, seconds = work.alone_of(verb)
    for number in range(count):
        after = float(rng.uniform(0, seconds))
        with work.copy(*VERBS[verb]) as folder:
            child = work.run(command_of(verb, folder))
            time.sleep(after)
            child.kill()
            killed = child.wait().status < 0
            end = work.run(command_of(verb, folder)).wait()
            wrong = [end.problem] if end.problem else []
            wrong += [f"failed again: {end.said.strip()[-300:]}"] if end.status else []
            wrong += [difference] if (difference := compare(contents(folder), expected)) else []
            section.add(
                "killed" if killed else "ended before",
                f"{verb}, kill {number} after {after:.2f} s: {'; '.join(wrong)}" if wrong else "",
            )
    return section


_DISK = """
set -e
mount -t tmpfs -o size=64m tmpfs "$1"
dd if=/dev/zero of="$1/filler" bs=1024 count="$2" 2>/dev/null
shift 2
set +e
"$@" > /dev/null 2> "$LOG"
echo "first $?" >> "$RESULT"
rm -f "$PLACE/filler"
"$@" > /dev/null 2>> "$LOG.again"
echo "again $?" >> "$RESULT"
cp -r "$PLACE/done" "$KEPT"
"""


def full_disk(work: Workplace, *, count: int, rng: np.random.Generator) -> Section:
    """Prepare on a disk of 64 MB that becomes full, make room, and prepare again."""
    section = Section("full disk: prepare")
    tried = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        section.name += f" (skipped: no tmpfs can be mounted: {tried.stderr.strip()})"
        return section
    expected, _ = work.alone_of("prepare")
    size = sum(path.stat().st_size for path in (work.base / "store").iterdir()) // 1024
    for number in range(count):
        free = int(rng.integers(64, 2 * size))
        with work.copy() as folder:
            place = folder.parent / "disk"
            place.mkdir()
            result, kept, log = (folder.parent / name for name in ("result", "kept", "log"))
            words = command_of("prepare", place / "done")
            words[words.index("--source") + 1] = work.base.parent / "source"
            command = [sys.executable, "-m", "clinical_symile", *map(str, words)]
            environment = {"PLACE": place, "RESULT": result, "KEPT": kept, "LOG": log}
            inside = ("unshare", "-rm", "bash", "-c", _DISK, "disk")
            subprocess.run(
                [*inside, str(place), str(65536 - free), *command],
                env={**os.environ, **{key: str(value) for key, value in environment.items()}},
                check=False,
                timeout=HANG_S,
            )
            lines = result.read_text().splitlines() if result.exists() else []
            statuses = dict(line.split() for line in lines)
            first = Ended(int(statuses.get("first", 99)), log.read_text() if log.exists() else "")
            wrong = [first.problem] if first.problem else []
            if statuses.get("again") != "0":
                wrong.append("failed again after room was made")
            elif difference := compare(contents(kept), expected):
                wrong.append(difference)
            section.add(
                "full" if first.status else "enough room",
                f"disk {number}, {free} kB free: {'; '.join(wrong)}" if wrong else "",
            )
    return section


def damages() -> dict[str, Callable[[bytes], bytes]]:
    """Return the ways in which a power cut leaves a file."""
    return {
        "cut": lambda data: data[: len(data) // 2],
        "zeroed": lambda data: bytes(len(data)),
        "emptied": lambda data: b"",
    }


def readers_of(folder: Path) -> dict[str, tuple[Path, list[str | Path]]]:
    """Return, for each kind of folder, a folder and a command that opens it."""
    runs = folder / "runs"
    page = folder.parent / "card.html"
    pair = [runs / "symile-0", runs / "clip-0", "--store", folder / "store", "--tasks", TASK]
    return {
        "store": (folder / "store", ["card", folder / "store", "--out", page]),
        "run": (runs / "symile-0", ["compare", *pair]),
        "benchmark": (folder, ["report", "benchmark", "--out", folder]),
    }


def files_of(kind: str, folder: Path) -> list[Path]:
    """Return the files of a store, run or benchmark that are not of another of these."""
    from clinical_symile.tracking.checksums import CHECKSUMS_FILE, read_checksums

    known = read_checksums(folder) or {}
    names = [name for name in known if not (kind == "benchmark" and name.startswith("report"))]
    return [folder / name for name in [*sorted(names), CHECKSUMS_FILE]]


def damage_files(work: Workplace, *, mutations: int, rng: np.random.Generator) -> list[Section]:
    """Cut, zero, empty and mutate every file, open its folder, and verify it."""
    mutate, kinds = _mutations()
    sections = []
    with work.copy("all") as folder:
        record = folder / "benchmark.json"
        table = json.loads(record.read_text())
        record.write_text(json.dumps({**table, "store": str(folder / "store")}, indent=1) + "\n")
        from clinical_symile.files import write_checksums

        write_checksums(folder)
        for kind, (place, command) in readers_of(folder).items():
            cut, fuzz = Section(f"cut files: {kind}"), Section(f"mutations: {kind}")
            files = files_of(kind, place)
            for path in files:
                for how, damage in damages().items():
                    _try_damage(work, cut, place, path, damage, command, how)
            for number in range(mutations):
                path = files[int(rng.integers(len(files)))]
                if not path.stat().st_size:
                    continue
                how = kinds[number % len(kinds)]
                damage = partial(mutate, rng=np.random.default_rng([7, number]), kind=how)
                _try_damage(work, fuzz, place, path, damage, command, how)
            sections += [one for one in (cut, fuzz) if one.cases]
    return sections


def _try_damage(
    work: Workplace,
    section: Section,
    place: Path,
    path: Path,
    damage: Callable[[bytes], bytes],
    command: Sequence[str | Path],
    how: str,
) -> None:
    """Damage a file, open its folder `place` by a command and by `verify`, and restore it."""
    what = f"{path.relative_to(place).as_posix()} {how}"
    before = path.read_bytes()
    after = damage(before)
    if after == before:
        return
    try:
        path.write_bytes(after)
        end = work.run(command).wait()
        verified = work.run(["verify", place]).wait()
    finally:
        path.write_bytes(before)
    problem = end.problem or verified.problem
    if problem:
        section.add("wrong", f"{what}: {problem}")
    elif not verified.status:
        section.add("silent", f"{what}: verified silently")
    elif not end.status:
        section.add("found by verify alone")
    else:
        section.add("refused")


def damage_definitions(work: Workplace, *, mutations: int, rng: np.random.Generator) -> Section:
    """Mutate cohort.toml, samples.sql, panels and tasks, and check them."""
    mutate, kinds = _mutations()
    section = Section("mutations: definitions")
    with work.copy() as folder:
        shutil.copytree(ROOT / "cohorts" / "mimic_iv", folder / "cohorts" / "own")
        (folder / "tasks" / "retrieval").mkdir(parents=True)
        task = ROOT / "tasks" / f"{TASK}.toml"
        shutil.copy2(task, folder / "tasks" / "retrieval" / "own.toml")
        forms = (".toml", ".sql", ".csv")
        files = [path for path in sorted(folder.rglob("*")) if path.suffix in forms]
        for number in range(mutations):
            path = files[int(rng.integers(len(files)))]
            before, how = path.read_bytes(), kinds[number % len(kinds)]
            try:
                path.write_bytes(mutate(before, np.random.default_rng([8, number]), how))
                end = work.run(["check", "--catalog", folder]).wait()
            finally:
                path.write_bytes(before)
            ending = "refused" if end.status else "still a definition"
            section.add(ending, f"{path.name} {how}: {end.problem}" if end.problem else "")
    return section


def _mutations() -> tuple[Callable[..., bytes], list[str]]:
    """Load the mutations that the tests use."""
    path = ROOT / "tests" / "helpers" / "mutations.py"
    spec = importlib.util.spec_from_file_location("robustness_mutations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.mutate, list(module.KINDS)


def warm_up() -> None:
    """Load what the commands load, so that forked children do not."""
    import torch

    torch.set_num_threads(1)
    for module in (
        *("api.runs", "api.cohorts", "api.verification", "training.train", "benchmarking.run"),
        *(
            "evaluation.runner",
            "cli.console",
            "cli.verify",
            "data.prepare",
            "reporting.cohort_card",
        ),
    ):
        importlib.import_module(f"clinical_symile.{module}")


def run_sections(given: argparse.Namespace) -> Iterator[Section]:
    """Run every section and yield it."""
    warm_up()
    work, rng = Workplace(given.out), np.random.default_rng(given.seed)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    work.prepare_base()
    if given.mutations or given.cut:
        yield from damage_files(work, mutations=given.mutations, rng=rng)
    if given.mutations:
        yield damage_definitions(work, mutations=given.mutations, rng=rng)
    for verb in VERBS:
        if given.pairs:
            yield two_at_once(work, verb, pairs=given.pairs)
    verbs = ("prepare", "train", "evaluate", "benchmark")
    for place, verb in enumerate(verbs):
        count = given.kills // len(verbs) + (place < given.kills % len(verbs))
        if count:
            yield kills(work, verb, count=count, rng=rng)
    if given.disks:
        yield full_disk(work, count=given.disks, rng=rng)


def main() -> None:
    """Run all sections and write the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    for name, count in (("pairs", 16), ("kills", 76), ("disks", 20), ("mutations", 300)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--cut", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=ROOT / "benchmarks/results/robustness.md")
    given = parser.parse_args()
    given.out = given.out.resolve()
    started, done = time.monotonic(), []
    for section in run_sections(given):
        print(section, *section.problems, sep="\n", flush=True)
        done.append(section)
        lines = [
            "# Robustness",
            "",
            f"`python benchmarks/robustness.py OUT --pairs {given.pairs} --kills {given.kills} "
            f"--disks {given.disks} --mutations {given.mutations} --seed {given.seed}`",
            "",
        ]
        lines += ["| what | cases | how they ended | not as expected |", "|---|---|---|---|"]
        lines += [*map(str, done), "", f"{time.monotonic() - started:.0f} s.", ""]
        lines += [f"- {problem}" for one in done for problem in one.problems]
        lines = [line.replace(str(given.out), "OUT") for line in lines]
        given.log.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    sys.exit(1 if any(one.problems for one in done) else 0)


if __name__ == "__main__":
    main()

"""A small finished benchmark, an unfinished store and an unfinished run, and copies to damage."""

import contextlib
import ctypes
import hashlib
import json
import os
import re
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.helpers.forked_commands import Child
from tests.helpers.synthetic import TINY

TASK = "retrieval/cxr_given_ecg_labs"
MODELS = ("symile", "clip")
_GENERATE = ("--generate", "subjects=24")
_SMALL = [word for setting in TINY for word in ("--set", setting)]
# Two runs of one command may differ in these alone: locks, logs, pages with times, MLflow's files.
_LEFT_OUT = re.compile(
    r"(^|/)(\.[^/]*|checksums\.jsonl|report\.html|mlflow\.db.*|mlartifacts)(/|$)"
)
_TIMES = {"seconds", "elapsed_s", "started", "finished", "costs"}
_TIMES |= {"mlflow", "git_commit", "store", "name"}
_TRAINED = ("run.toml", "history.jsonl", "model.safetensors", "inputs.json", "last")
# The verbs, and the parts of the finished benchmark that each needs.
VERBS: dict[str, tuple[str, ...]] = {
    "prepare": (),
    "prepare with its source": (),
    "train": ("store",),
    "evaluate": ("store", "trained"),
    "benchmark": (),
}
LONGEST_WAIT_S = 120


class Folders:
    """Folders below `out`: a finished benchmark that is made once, and copies for each case."""

    def __init__(self, out: Path):
        self.out, self.number = out, 0
        self.base, self.source = out / "base" / "done", out / "base" / "done" / "source"
        self.partial, self.stopped = out / "base" / "partial", out / "base" / "stopped"
        self.logs = out / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)

    def start(self, arguments: Sequence[str | Path]) -> Child:
        """Start a command."""
        self.number += 1
        return Child(arguments, self.logs / f"{os.getpid()}-{self.number % 50}.txt")

    def make_base(self) -> None:
        """Make what all cases copy from, unless it is there."""
        if (self.out / "base" / "complete").exists():
            return
        shutil.rmtree(self.out / "base", ignore_errors=True)
        self.base.mkdir(parents=True)
        ended = self.start(self.command("benchmark", self.base)).wait()
        if ended.status:
            raise SystemExit(f"the benchmark to copy from failed: {ended.said}")
        journal = Path("store.partial", "verdicts.jsonl")
        self._interrupt("prepare", self.partial, lambda folder: (folder / journal).exists())
        (self.partial / "store.partial" / "begun").unlink(missing_ok=True)
        history = Path("runs", "symile-0", "history.jsonl")
        self._interrupt("train", self.stopped, lambda folder: (folder / history).exists())
        (self.out / "base" / "complete").touch()

    def _interrupt(self, verb: str, place: Path, is_begun: Callable[[Path], bool]) -> None:
        """Kill a verb when it has begun; keep the folder that it leaves."""
        with self.copy(*VERBS[verb]) as folder:
            child, begin = self.start(self.command(verb, folder)), time.monotonic()
            while not is_begun(folder) and time.monotonic() - begin < LONGEST_WAIT_S:
                time.sleep(0.002)
            child.kill()
            if child.wait().status >= 0:
                raise SystemExit(f"{verb} ended before it could be interrupted")
            shutil.copytree(folder, place)

    def command(self, verb: str, folder: Path) -> list[str | Path]:
        """Return the arguments of a verb in a copy of the benchmark's folder."""
        store, run = folder / "store", folder / "runs" / "symile-0"
        if verb in ("prepare", "prepare with its source"):
            source = self.source if verb == "prepare" else folder / "source"
            return ["prepare", "synthetic", "--source", source, "--out", store, *_GENERATE]
        if verb == "train":
            where = ["--store", store, "--out", run.parent, "--name", run.name]
            return ["train", "pretraining/symile", *where, "--accelerator", "cpu", *_SMALL]
        if verb == "evaluate":
            return ["evaluate", run, "--store", store, "--tasks", TASK]
        models = ",".join(f"pretraining/{name}" for name in MODELS)
        few = ["--baselines", "none", "--seeds", "0", "--tasks", TASK, "--pretraining", models]
        what = ["benchmark", "benchmark", "--cohort", "synthetic", "--out", folder]
        return [*what, *_GENERATE, *few, "--accelerator", "cpu", *_SMALL]

    @contextlib.contextmanager
    def copy(self, *parts: str) -> Iterator[Path]:
        """Yield a new folder with parts of what was made: `store`, `trained`, `all` or others."""
        self.number += 1
        place = self.out / f"case-{os.getpid()}-{self.number}"
        folder = place / "done"
        folder.mkdir(parents=True)
        if "store" in parts:
            shutil.copytree(self.base / "store", folder / "store")
        if "trained" in parts:
            self._copy_trained(folder / "runs" / "symile-0")
        for part, source in (("partial", self.partial), ("stopped", self.stopped)):
            if part in parts:
                shutil.copytree(source, folder, dirs_exist_ok=True)
        if "all" in parts:
            ignore = shutil.ignore_patterns("source")
            shutil.copytree(self.base, folder, dirs_exist_ok=True, ignore=ignore)
            self._place_record(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _copy_trained(self, folder: Path) -> None:
        """Copy a run as it was before it was evaluated."""
        from clinical_symile.files import write_checksums

        folder.mkdir(parents=True)
        for name in _TRAINED:
            source = self.base / "runs" / "symile-0" / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
        write_checksums(folder)

    def _place_record(self, folder: Path) -> None:
        """Have a copied benchmark use the store beside it."""
        from clinical_symile.files import lock_folder, write_text

        record = folder / "benchmark.json"
        table = json.loads(record.read_text())
        with lock_folder(folder):
            write_text(record, json.dumps({**table, "store": str(folder / "store")}) + "\n")

    def alone(self, verb: str) -> tuple[dict[str, str], float]:
        """Return what a verb writes if it runs alone, and the seconds that it takes."""
        found, seconds, _ = self._alone(verb)
        return found, seconds

    def written(self, verb: str) -> int:
        """Return how many bytes a verb leaves if it runs alone."""
        return self._alone(verb)[2]

    def _alone(self, verb: str) -> tuple[dict[str, str], float, int]:
        kept = self.out / "base" / f"alone {verb}.json"
        if not kept.exists():
            with self.copy(*VERBS[verb]) as folder:
                before, began = _size(folder), time.monotonic()
                ended = self.start(self.command(verb, folder)).wait()
                if ended.status:
                    raise SystemExit(f"{verb} alone failed: {ended.said}")
                seconds = time.monotonic() - began
                kept.write_text(json.dumps([contents(folder), seconds, _size(folder) - before]))
        found, seconds, written = json.loads(kept.read_text())
        return found, seconds, written


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, str]:
    """Return a digest of every file that the same input must give again, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _LEFT_OUT.search(name):
            found[name] = hashlib.sha256(_without_times(path)).hexdigest()
    return found


def differences(found: dict[str, str], expected: dict[str, str]) -> str:
    """Return which files differ; empty if none do."""
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return f"{len(names)} files differ: {', '.join(names[:3])}" if names else ""


def mount_disk(place: Path, size_mb: int) -> str:
    """Mount a tmpfs in a user namespace of this process; return why not, empty if it is there.

    The process must have one thread, such as a forked child.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, mounts = 0x10000000, 0x00020000
    ids = os.getuid(), os.getgid()
    if libc.unshare(user | mounts):
        return f"no user namespace: {os.strerror(ctypes.get_errno())}"
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {ids[0]} 1")
        Path("/proc/self/gid_map").write_text(f"0 {ids[1]} 1")
    except OSError as error:
        return f"no user namespace: {error.strerror}"
    options = f"size={size_mb}m".encode()
    if libc.mount(b"tmpfs", str(place).encode(), b"tmpfs", 0, options):
        return f"no tmpfs: {os.strerror(ctypes.get_errno())}"
    return ""


def _without_times(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "run.toml":
        return _plain(tomllib.loads(content.decode()))
    if path.name in ("benchmark.json", "inputs.json"):
        return _plain(json.loads(content))
    if path.name == "history.jsonl":
        return b"".join(_plain(json.loads(line)) for line in content.splitlines())
    return content


def _plain(table: dict[str, object]) -> bytes:
    kept = {key: value for key, value in table.items() if key not in _TIMES}
    return json.dumps(kept, sort_keys=True).encode()

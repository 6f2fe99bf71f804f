"""Record the origin of a run, and the versions, platform and commit that made it."""

import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_RECORDED_PACKAGES = ("clinical-symile", "torch", "torchvision", "monai", "numpy", "scikit-learn")

# The keys of `run.toml` that name the origin of a run: a file, an object, or a pretraining task.
_ORIGINS = ("predictions", "embeddings", "scores", "model", "baseline", "task")


def run_origin(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the kind and the name of a run's origin; None for the oracle, which has none.

    The kinds are `predictions`, `embeddings`, `scores`, `model`, `baseline` and `task`.

    Args:
        record: the content of `run.toml`; empty where there is none.

    Examples:
        >>> run_origin({"name": "clip-0", "task": "pretraining/clip"})
        ('task', 'pretraining/clip')
    """
    return next(((kind, str(record[kind])) for kind in _ORIGINS if kind in record), None)


def provenance() -> dict[str, Any]:
    """Return the versions, the platform and, in a checkout, the commit that is running."""
    return {
        "versions": package_versions(),
        "platform": platform.platform(terse=True),
        "git_commit": _git_commit(),
    }


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    packages = {name: version(name) for name in _RECORDED_PACKAGES}
    return {"python": platform.python_version(), **packages}


def processor() -> str:
    """Return the kind of processor, such as `x86_64, AMD EPYC 9354`."""
    names: list[str] = []
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        names = re.findall(r"^model name\s*: *(.+?) *$", about, re.MULTILINE)[:1]
    except OSError:
        names = [platform.processor()]  # a system other than Linux
    return ", ".join([platform.machine(), *filter(None, names)])


def now() -> str:
    """Return the time as a run records it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git_commit() -> str | None:
    """Return the commit of the checkout this package runs from, marked if it has changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None

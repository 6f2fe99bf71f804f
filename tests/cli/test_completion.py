"""`clinical-symile completion`: the shells that are installed complete our commands."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clinical_symile.cli.completion import COMMAND, SHELLS, completion_script

# What is typed, what must be offered, and what must not.
CASES = [
    ("tra", {"train"}, {"prepare"}),
    ("export demo --format p", {"png", "pdf"}, set()),
    ("train pretraining/sym", {"pretraining/symile"}, {"pretraining/clip"}),
    ("evaluate runs/a --store s --tasks retrieval/cxr_given_ecg_l", {"labs"}, set()),
    ("show cohort mimic_iv/o", {"mimic_iv/official"}, {"synthetic"}),
    ("explain CS-D01", {"CS-D015"}, {"CS-F001"}),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A PATH on which our command is found, and a home without settings of its own."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / COMMAND
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m clinical_symile "$@"\n')
    command.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    root = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PATH": path, "HOME": str(folder), "PYTHONPATH": root, "TERM": "dumb"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(run: Callable[..., tuple[int, str, str]], shell: str):
    status, shown, said = run("completion", shell)
    assert (status, said) == (0, "")
    assert shown.rstrip("\n") == completion_script(shell).rstrip("\n")
    assert COMMAND in shown


@pytest.mark.parametrize(("typed", "offered", "not_offered"), CASES)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_what_is_typed(
    environment: dict[str, str],
    tmp_path: Path,
    shell: str,
    typed: str,
    offered: set[str],
    not_offered: set[str],
):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / f"completion.{shell}"
    script.write_text(completion_script(shell))
    found = ASK[shell](f"{COMMAND} {typed}", script, environment)
    assert all(word in found for word in offered), found
    assert not any(word in found for word in not_offered), found


def _ask_bash(line: str, script: Path, environment: dict[str, str]) -> str:
    """Return what bash offers: call the function that the script registers, as readline does."""
    words = line.split()
    code = (
        f'source "{script}"\n'
        f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_TYPE=9 COMP_CWORD={len(words) - 1}\n"
        f"COMP_WORDS=({line})\n"
        f"_python_argcomplete {COMMAND} {words[-1]} {words[-2]}\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    command = ["bash", "--norc", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _ask_fish(line: str, script: Path, environment: dict[str, str]) -> str:
    command = ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _ask_zsh(line: str, script: Path, environment: dict[str, str]) -> str:
    """Return what an interactive zsh shows when the Tab key is pressed after a line."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment)
    try:
        set_up = (
            "PS1='' PS2=''; autoload -Uz compinit; compinit -u -D; "
            f"source {script}; zstyle ':completion:*' list-prompt ''; "
            "setopt NO_ALWAYS_LAST_PROMPT AUTO_LIST; LISTMAX=0; "
            "press_tab() { zle complete-word; zle -R; print comp''leted; }; "
            "zle -N press_tab; bindkey '^I' press_tab; print rea''dy\n"
        )
        os.write(terminal, set_up.encode())
        _read_until(terminal, "ready")
        os.write(terminal, f"{line}\t".encode())
        return _read_until(terminal, "completed")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def _read_until(terminal: int, word: str, *, seconds: float = 60) -> str:
    """Read a terminal until a word appears."""
    found, end = "", time.monotonic() + seconds
    while word not in found:
        ready, _, _ = select.select([terminal], [], [], max(end - time.monotonic(), 0))
        assert ready, f"no {word!r} within {seconds} s: {found}"
        found += os.read(terminal, 4096).decode(errors="replace")
    return found


ASK: dict[str, Callable[[str, Path, dict[str, str]], str]] = {
    "bash": _ask_bash,
    "fish": _ask_fish,
    "zsh": _ask_zsh,
}


def _without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


def test_completion_without_its_extra_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str, str]]
):
    _without(monkeypatch, "argcomplete")
    requirements = ["argcomplete>=3.5; extra == 'completion'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: requirements)
    status, shown, said = run("completion", "bash")
    assert (status, shown) == (1, "")
    assert "pip install 'clinical-symile[completion]'" in said

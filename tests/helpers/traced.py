"""Run commands in one process, and record their output, their status and every write of Python.

`python tests/helpers/traced.py PLAN RECORD`: PLAN is a JSON list of commands, each a list of words.
RECORD receives a JSON list with `status`, `output` and `written` of each. A command `@script`
runs the rest of its words as Python text.
"""

import json
import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PLACES = {
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink", "shutil.copyfile", "shutil.move"), 2),
    "sqlite3.connect": 1,
}
written: set[str] = set()


def note_path(path: Any) -> None:
    """Note a path that is about to be written; SQLite also takes it as a URI."""
    if not isinstance(path, str | bytes | os.PathLike):
        return
    text = os.fsdecode(path)
    if text.startswith("file:"):
        text = unquote(urlsplit(text).path)
    if text and text != ":memory:":
        written.add(os.path.abspath(text))  # noqa: PTH100


def note_write(event: str, arguments: tuple[Any, ...]) -> None:
    """Note the paths that an event of Python is about to write."""
    if event == "open":
        path, mode, flags = arguments
        if isinstance(mode, str):
            is_writing = bool(set(mode) & set("wax+"))
        else:
            is_writing = bool((flags or 0) & WRITING)
        if is_writing:
            note_path(path)
    elif event in PLACES and not (event in ("os.remove", "os.rmdir") and arguments[-1] != -1):
        for path in arguments[: PLACES[event]]:
            note_path(path)


def run(words: list[str]) -> int:
    """Run a command; return its status, or 99 after a traceback."""
    from clinical_symile.cli.main import main

    try:
        if words[0] == "@script":
            exec(words[1], {})
            return 0
        main(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 99
    return 0


def main(plan: Path, record: Path) -> None:
    """Run the commands of a plan."""
    import clinical_symile.evaluation.evaluate as evaluating
    from clinical_symile.stats.bootstrap import metric_intervals

    evaluating.metric_intervals = partial(metric_intervals, resamples=50)  # pyright: ignore
    commands, found = json.loads(plan.read_text(encoding="utf-8")), []
    screen = record.with_suffix(".output")
    sys.addaudithook(note_write)
    for words in commands:
        descriptor = os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)
        written.clear()
        status = run(words)
        sys.stdout.flush()
        sys.stderr.flush()
        found.append(
            {
                "words": words,
                "status": status,
                "output": screen.read_text(encoding="utf-8", errors="replace"),
                "written": sorted(written - {str(screen)}),
            }
        )
    record.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

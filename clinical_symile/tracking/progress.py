"""Show progress bars on a terminal or in a notebook, and lines with the time elsewhere."""

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from clinical_symile.formatting import format_duration

# Called with the steps done and all steps.
Progress = Callable[[int, int], None]
# Makes a progress bar from its label.
ProgressBar = Callable[[str], AbstractContextManager[Progress]]
# A notebook is sent a new picture of a bar at most this often, and a log a new line.
_SECONDS_BETWEEN, _SECONDS_BETWEEN_LINES = 0.1, 60.0


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show a bar while the context is open, on standard error or in a notebook.

    Where standard error is no terminal, lines with the time say when the stage begins, each minute
    how far it is, and how long it took, unless that is 0 s.

    Args:
        label: the words beside the bar.

    Yields:
        A function that takes the steps done and all steps.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    console = Console(file=sys.stderr)
    if console.is_jupyter:
        yield _notebook_bar(label)
        return
    if not console.is_terminal:
        started = time.monotonic()
        log_line(label)
        yield _log_lines(label)
        seconds = time.monotonic() - started
        if round(seconds):
            log_line(f"{label}: done in {format_duration(seconds)}")
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _log_lines(label: str) -> Progress:
    """Return a function that prints how far a stage is, at most once a minute."""
    printed = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal printed
        if time.monotonic() >= printed + _SECONDS_BETWEEN_LINES:
            printed = time.monotonic()
            log_line(f"{label}: {done} of {total}")

    return update


def log_line(line: str) -> None:
    """Print a line with the time on standard error, above a bar if there is one."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _notebook_bar(label: str) -> Progress:
    """Show a bar below the cell of a notebook; Rich would need `ipywidgets` for it."""
    from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

    handle = display(HTML(html.escape(label)), display_id=True)
    shown = 0.0

    def update(done: int, total: int) -> None:
        nonlocal shown
        if done < total and time.monotonic() < shown + _SECONDS_BETWEEN:
            return
        shown = time.monotonic()
        bar = f'<progress value="{done}" max="{total}"></progress>'
        handle.update(HTML(f"{html.escape(label)} {bar} {done}/{total}"))

    return update


def no_progress_bar(label: str) -> AbstractContextManager[Progress]:
    """Return a context that shows nothing.

    Args:
        label: ignored.
    """
    del label
    return nullcontext(_ignore)


def _ignore(done: int, total: int) -> None:
    del done, total

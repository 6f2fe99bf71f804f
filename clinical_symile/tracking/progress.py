"""Show progress bars on a terminal or in a notebook, and nothing elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

# Called with the steps done and all steps.
Progress = Callable[[int, int], None]
# Makes a progress bar from its label.
ProgressBar = Callable[[str], AbstractContextManager[Progress]]


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show a bar while the context is open, if there is a terminal or a notebook to show it.

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
    if not (console.is_terminal or console.is_jupyter):
        yield _ignore
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


def no_progress_bar(label: str) -> AbstractContextManager[Progress]:
    """Return a context that shows nothing.

    Args:
        label: ignored.
    """
    del label
    return nullcontext(_ignore)


def _ignore(done: int, total: int) -> None:
    del done, total

import io
import re
import sys
from types import SimpleNamespace

import pytest

from clinical_symile.tracking.progress import no_progress_bar, progress_bar


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_label_and_the_count(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("Train") as update:
        update(3, 4)
    assert "Train" in terminal.getvalue()
    assert "3/4" in terminal.getvalue()


def test_a_notebook_shows_a_bar_without_any_further_package(monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)
    notebook = SimpleNamespace(HTML=str, display=lambda *a, **k: shown.append(*a) or handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=notebook))
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with progress_bar("Train <a>") as update:
        for done in range(100):
            update(done, 100)
        update(100, 100)
    assert shown[0] == "Train &lt;a&gt;"
    assert len(shown) < 50, "as fast as steps are, a notebook is sent ten bars a second"
    assert '<progress value="100" max="100">' in shown[-1]
    assert shown[-1].endswith("100/100")


def test_a_file_or_a_pipe_gets_lines_with_time_and_stage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    now = 0.0
    monkeypatch.setattr("clinical_symile.tracking.progress.time.monotonic", lambda: now)
    with progress_bar("Train symile-0") as update:
        for done in range(131):
            now = float(done)
            update(done, 131)
    shown = capsys.readouterr()
    assert shown.out == ""
    times = [line[:19] for line in shown.err.splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", time) for time in times)
    assert [line[20:] for line in shown.err.splitlines()] == [
        "Train symile-0",
        "Train symile-0: 60 of 131",
        "Train symile-0: 120 of 131",
        "Train symile-0: done in 2 min 10 s",
    ]


def test_a_stage_that_fails_is_not_said_to_be_done(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(OSError, match="full"), progress_bar("Train"):
        raise OSError("full")
    assert "done" not in capsys.readouterr().err


def test_without_a_bar_nothing_is_shown(capsys: pytest.CaptureFixture[str]):
    with no_progress_bar("Train") as update:
        update(3, 4)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_a_stage_of_no_time_has_one_line(capsys: pytest.CaptureFixture[str]):
    with progress_bar("Rank methods"):
        pass
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" Rank methods")

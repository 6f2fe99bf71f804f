import io
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


@pytest.mark.parametrize("bar", [progress_bar, no_progress_bar])
def test_a_file_or_a_pipe_shows_nothing(bar, capsys: pytest.CaptureFixture[str]):
    with bar("Train") as update:
        update(3, 4)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")

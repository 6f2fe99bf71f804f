import io

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


@pytest.mark.parametrize("bar", [progress_bar, no_progress_bar])
def test_a_file_or_a_pipe_shows_nothing(bar, capsys: pytest.CaptureFixture[str]):
    with bar("Train") as update:
        update(3, 4)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")

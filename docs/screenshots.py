"""Take the pictures of the documentation from a finished demo.

    .venv/bin/python docs/screenshots.py demo

needs Chromium (`apt-get install chromium`) and writes `docs/assets/*.png`, each below 200 kB. Take
the pictures again when the report or the MLflow records change.
"""

import argparse
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from clinical_symile.tracking.dashboard import runs_page

ASSETS = Path(__file__).parent / "assets"
_MOST_BYTES = 200_000
_MLFLOW_WIDTH = 1700  # MLflow fills what is right of the page with a panel that is cut off here
_PAGE_WIDTH = 1265
_TRAINING = "workflowType=machine_learning"


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("demo", type=Path, help="the folder that `make demo` wrote")
    demo = parser.parse_args().demo.resolve()
    with tempfile.TemporaryDirectory() as folder:
        report = demo / "report.html"
        picture(f"file://{report}", "report.png", Path(folder), size=(1100, 660))
        for title, name, height in (
            ("What is lost when modalities are missing?", "report_missing.png", 625),
            ("What does each modality contribute?", "report_worth.png", 700),
        ):
            page = only_section(report, title, Path(folder))
            picture(f"file://{page}", name, Path(folder), size=(1100, height))
        mlflow_pictures(demo / "mlflow.db", Path(folder))


def only_section(report: Path, title: str, folder: Path) -> Path:
    """Write a copy of the report that shows one section, found by its title."""
    text = report.read_text(encoding="utf-8")
    sections = re.findall(r'<section id="([^"]+)">\s*<h2>([^<]*)<', text)
    anchor = next((name for name, heading in sections if heading == title), None)
    if anchor is None:
        raise SystemExit(f"{report}: has no section '{title}'. Correct the title in {__file__}.")
    style = f"""<style>
      body > *:not(section) {{ display: none }}
      section:not(#{anchor}) {{ display: none }}
      section > h2 {{ border: 0 !important; margin-top: 0 !important }}
      .depth > summary {{ display: none }}
    </style>"""
    text = text.replace('<details class="depth">', '<details class="depth" open>')
    page = folder / "section.html"
    page.write_text(text + style, encoding="utf-8")
    return page


def mlflow_pictures(database: Path, folder: Path) -> None:
    """Serve a copy of the database and take the list of runs and one run."""
    copy = Path(shutil.copy(database, folder / "mlflow.db"))
    with sqlite3.connect(copy) as connection:
        (experiment,) = connection.execute(
            "SELECT experiment_id FROM experiments WHERE name != 'Default'"
        ).fetchone()
        (run,) = connection.execute(
            "SELECT run_uuid FROM runs WHERE name LIKE 'symile%'"
        ).fetchone()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--port", str(port)]
    server = subprocess.Popen([*command, "--backend-store-uri", f"sqlite:///{copy}"])
    try:
        wait_for(port)
        for address, name, height in (
            (runs_page(copy), "mlflow_runs.png", 640),
            (f"#/experiments/{experiment}/runs/{run}?{_TRAINING}", "mlflow_run.png", 900),
        ):
            whole = f"http://127.0.0.1:{port}/{address}"
            picture(whole, name, folder, size=(_MLFLOW_WIDTH, height), width=_PAGE_WIDTH)
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int) -> None:
    """Wait until a server answers, at most two minutes."""
    for _ in range(240):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise SystemExit("MLflow did not start within two minutes. Run `mlflow ui` by hand and look.")


def picture(
    address: str, name: str, folder: Path, *, size: tuple[int, int], width: int | None = None
) -> None:
    """Save what Chromium shows at an address, cut to a width, in at most 256 colours."""
    taken = folder / name
    options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=60000"]
    window = f"--window-size={size[0]},{size[1]}"
    command = ["chromium", *options, window, f"--screenshot={taken}", address]
    subprocess.run(command, check=True, capture_output=True)
    image = Image.open(taken).convert("RGB")
    image = image.crop((0, 0, width or image.width, image.height)).quantize(
        256, dither=Image.Dither.NONE
    )
    ASSETS.mkdir(exist_ok=True)
    image.save(ASSETS / name, optimize=True)
    if (ASSETS / name).stat().st_size > _MOST_BYTES:
        raise SystemExit(f"{name}: larger than {_MOST_BYTES} bytes. Take a smaller part.")


if __name__ == "__main__":
    main()

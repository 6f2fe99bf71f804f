"""Measure in a browser how long MLflow's pages of many runs take.

Run with `.venv/bin/python benchmarks/dashboard.py --out FOLDER`; it needs Chromium. It writes runs
with results of many patterns, copies them to a database and serves it by `mlflow server`. It opens
the list of runs and the page of charts as `clinical-symile dashboard` does. A page is ready when
the list has runs with their numbers, or when every chart in view is drawn. Each opening has a fresh
profile of the browser: nothing is cached. The page is then opened again in the same browser, as it
is for a user who comes back to it.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `tests.helpers`, run as a script

from clinical_symile.errors import UncheckedFilesWarning
from clinical_symile.tracking.dashboard import runs_page
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.results import Result, write_rows
from clinical_symile.tracking.run import Run
from tests.helpers.mlflow_runs import RESULT, write_run
from tests.helpers.mlflow_servers import Server

RESULTS = Path(__file__).parent / "results" / "dashboard.md"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
TASKS = {
    "classification/deterioration": "auroc",
    "retrieval/cxr_given_ecg_labs": "recall_at_1",
    "retrieval/ecg_given_cxr_labs": "recall_at_1",
    "retrieval/labs_given_cxr_ecg": "recall_at_1",
}
LONGEST_S = 60
OPENINGS = 2  # in one browser: the first with an empty cache, the second without
# What the page must hold: a run with a number, or charts without one that is still empty.
READY = {
    "list of runs": "/0\\.\\d{3}/.test(inside.querySelector('.ag-center-cols-container')"
    "?.innerText ?? '') && inside.querySelectorAll('.ag-row').length > 10",
    "charts": "charts.length >= 2 && charts.every(one => one.querySelector('.main-svg, canvas'))",
}
# Opens a page in a frame and posts how many milliseconds it took; the page is of the same origin.
HARNESS = """<!doctype html><meta charset="utf-8"><title>measure</title>
<body style="margin: 0"><script>
const report = milliseconds => fetch("/_report", {method: "POST", body: String(milliseconds)});
const open = () => new Promise(done => {
  const started = performance.now(), frame = document.createElement("iframe");
  frame.style = "width: 1700px; height: 900px; border: 0";
  frame.src = "/PAGE";
  document.body.append(frame);
  const look = () => {
    const inside = frame.contentDocument;
    const charts = [...(inside?.querySelectorAll(
      '[data-testid="draggable-chart-cards-grid"] > *') ?? [])].filter(
      one => one.getBoundingClientRect().top < 900);
    if (inside && READY) done({frame, milliseconds: performance.now() - started});
    else setTimeout(look, 20);
  };
  look();
});
const wait = milliseconds => new Promise(done => setTimeout(done, milliseconds));
(async () => {
  for (let time = 0; time < OPENINGS; time++) {
    const {frame, milliseconds} = await open();
    await report(milliseconds);
    await wait(2000);
    frame.remove();
    await wait(1000);
  }
})();
</script></body>"""


class Proxy(BaseHTTPRequestHandler):
    """Serves the harness, and passes everything else on to MLflow."""

    protocol_version = "HTTP/1.1"
    port: int
    page: str
    answers: list[float]
    first_answered: Event
    all_answered: Event

    def do_GET(self) -> None:
        """Answer with the harness, or with what MLflow answers."""
        if self.path == "/_measure":
            self._answer(200, [("Content-Type", "text/html")], self.page.encode())
        else:
            self._pass_on(b"")

    def do_POST(self) -> None:
        """Take the report of the harness, or pass on."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/_report":
            self.answers.append(float(body))
            self._answer(200, [], b"")
            if len(self.answers) == 1:
                self.first_answered.set()
            if len(self.answers) == OPENINGS:
                self.all_answered.set()
        else:
            self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_S)
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        headers |= {"Host": f"127.0.0.1:{self.port}", "Origin": f"http://127.0.0.1:{self.port}"}
        connection.request(self.command, self.path, body, headers)
        found = connection.getresponse()
        content = found.read()
        dropped = ("content-length", "transfer-encoding", "connection", "x-frame-options")
        kept = [(k, v) for k, v in found.getheaders() if k.lower() not in dropped]
        self._answer(found.status, kept, content)
        connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def write_runs(folder: Path, *, runs: int, patterns: int, epochs: int) -> list[Run]:
    """Write runs of ten methods, each with results of every task under every pattern."""
    made = []
    for number in range(runs):
        method, seed = number % 10, number // 10
        name, started = f"method-{method}-{seed}", f"2026-03-{1 + seed:02}T10:00:00+00:00"
        path = write_run(
            folder / name,
            epochs=epochs,
            seed=seed,
            started=started,
            task=f"pretraining/method_{method}",
        )
        write_rows(path / "results.jsonl", list(_results(name, number, patterns)))
        made.append(Run(path))
    return made


def _results(run: str, number: int, patterns: int) -> Iterator[Result]:
    for task, metric in TASKS.items():
        for place in range(patterns):
            pattern = f"mcar-{place}" if place else "complete"
            value = 0.9 - 0.004 * place - 0.0003 * number
            about = {"run": run, "task": task, "metric": metric, "missingness": pattern}
            yield replace(RESULT, **about, value=value, low=value - 0.03, high=value + 0.03)


def processor_seconds(session: int) -> float:
    """Return the processor time of all processes of a session so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name in brackets: state, parent, group, session; user and system time.
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def seconds_until_ready(server: Server, page: str, ready: str) -> tuple[float, float, float]:
    """Open a page in a fresh browser, and again in the same one.

    Returns:
        The seconds until it is ready at first and again, or infinity, and the processor time of
        browser and server for the first.
    """
    harness = HARNESS.replace("PAGE", page).replace("READY", ready)
    harness = harness.replace("OPENINGS", str(OPENINGS))
    answers, first, both = list[float](), Event(), Event()
    about = {"port": server.port, "page": harness, "answers": answers}
    about |= {"first_answered": first, "all_answered": both}
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), type("Measured", (Proxy,), about))
    Thread(target=partial(proxy.serve_forever, poll_interval=0.05), daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--window-size=1700,900"]
        command += [f"--user-data-dir={profile}", "--disable-background-networking"]
        command += [f"http://127.0.0.1:{proxy.server_port}/_measure"]
        assert server.process is not None
        before = processor_seconds(server.process.pid)
        browser = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            first.wait(LONGEST_S)
            used = processor_seconds(server.process.pid) - before + processor_seconds(browser.pid)
            both.wait(LONGEST_S)
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
            proxy.shutdown()
            proxy.server_close()
    first_s, again_s = (answers + [float("inf")] * OPENINGS)[:OPENINGS]
    return first_s / 1000, again_s / 1000, used


def copy_runs(out: Path, uri: str, options: argparse.Namespace) -> None:
    """Write the runs and copy them to the database."""
    out.mkdir(parents=True)
    warnings.simplefilter("ignore", UncheckedFilesWarning)  # the runs are written by hand
    for run in write_runs(
        out / "runs", runs=options.runs, patterns=options.patterns, epochs=options.epochs
    ):
        assert sync_run(run, uri=uri).problem is None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="a new folder, or one of an earlier measurement"
    )
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--patterns", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the browser and the server
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    out: Path = options.out.resolve()
    uri = f"sqlite:///{out / 'mlflow.db'}"
    if not out.exists():
        copy_runs(out, uri, options)
    server = Server(out, backend=uri)
    server.start()
    page = runs_page(out / "mlflow.db")
    places = {"list of runs": page, "charts": f"{page}&compareRunsMode=CHART"}
    try:
        rows = {
            name: [seconds_until_ready(server, page, READY[name]) for _ in range(options.times)]
            for name, page in places.items()
        }
    finally:
        server.stop()
    log(options, rows)


def log(options: argparse.Namespace, rows: dict[str, list[tuple[float, float, float]]]) -> None:
    """Print the times, and append them to the log."""
    import mlflow

    about = {
        "mlflow": mlflow.__version__,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    about |= {"load": round(os.getloadavg()[0], 1), "runs": options.runs}
    about |= {"patterns": options.patterns, "epochs": options.epochs}
    if not RESULTS.exists():
        RESULTS.write_text(_HEAD, "utf-8")
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(f"\n{time.strftime('%Y-%m-%d')}, {json.dumps(about)}\n\n")
        file.write("| page | first, median, s | each | again, median, s | each | processor, s |\n")
        file.write("|---|--:|---|--:|---|--:|\n")
        for name, openings in rows.items():
            line = f"| {name} "
            *times, used = zip(*openings, strict=True)
            for some in times:
                each = ", ".join(f"{one:.1f}" for one in some)
                line += f"| {statistics.median(some):.1f} | {each} "
            line += f"| {statistics.median(used):.1f} |\n"
            print(line, end="", flush=True)
            file.write(line)


_HEAD = """# MLflow's pages of many runs, in a browser

Written by `.venv/bin/python benchmarks/dashboard.py --out FOLDER`: `mlflow server` with one worker
and headless Chromium on the same cores. `first` is an opening with an empty cache, `again` a second
one in the same browser. `load` is that of the machine at the end. The processor time is that of the
server and of all processes of the browser, its start included, until the first page is ready.
"""

if __name__ == "__main__":
    main()

"""`clinical-symile dashboard`: open MLflow's page on the runs of a folder."""

import argparse
import signal
import sys
import webbrowser
from pathlib import Path


def add_dashboard_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `dashboard`."""
    parser.add_argument(
        "folder", metavar="OUT", type=Path, help="folder of a benchmark, or one that holds runs"
    )
    parser.add_argument("--port", type=int, default=5000, help="port of the page (default: 5000)")
    parser.add_argument(
        "--no-browser", action="store_true", help="only print the address; do not open a browser"
    )


def run_dashboard(options: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    from clinical_symile.tracking.dashboard import show_dashboard

    def started(address: str) -> None:
        print(f"MLflow      {address}   (Ctrl-C ends it)", flush=True)
        if not options.no_browser and sys.stdout.isatty():
            webbrowser.open(address)

    # A closed session or `kill` ends MLflow, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        show_dashboard(options.folder, port=options.port, on_start=started)
    except KeyboardInterrupt:
        print()
    return 0

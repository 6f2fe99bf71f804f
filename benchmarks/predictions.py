"""Measure time and memory of `evaluate --predictions` by the number of rows.

Run with `.venv/bin/python benchmarks/predictions.py`, which writes
`benchmarks/results/predictions.md`.
Each size is one run of the command in a process of its own, from start to report: reading, metrics
with 1,000 resamples by subject, calibration, net benefit, the report and the MLflow copy.
Probabilities all differ, which is the slowest case; two rows of three share a subject.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

RESULTS = Path(__file__).parent / "results" / "predictions.md"
SIZES = (2_000, 20_000, 200_000)
HEAD = "| rows | subjects | wall, s | processor, s | peak memory, GB |\n|--:|--:|--:|--:|--:|\n"


def write_predictions(path: Path, rows: int) -> int:
    """Write made-up predictions, slightly too extreme; return the number of subjects."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=rows)
    subject = rng.integers(max(2, 6 * rows // 10), size=rows)
    table = pd.DataFrame(
        {
            "sample": np.arange(rows),
            "subject_id": subject,
            "probability": expit(1.2 * score - 1.8 + 0.5 * rng.normal(size=rows)),
            "label": (rng.random(rows) < expit(1.5 * score - 2)).astype(int),
        }
    )
    table.to_csv(path, index=False)
    return len(np.unique(subject))


def measure(rows: int) -> str:
    """Evaluate a file of so many rows in a process; return a line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        subjects = write_predictions(Path(folder) / "predictions.csv", rows)
        command = [sys.executable, "-m", "clinical_symile", "evaluate", "--predictions"]
        environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, f"{folder}/predictions.csv", "--out", f"{folder}/out"],
            stdout=subprocess.DEVNULL,
            env=environment,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"evaluate ended with status {os.waitstatus_to_exitcode(status)}")
    processor, gigabytes = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6
    return f"| {rows:,} | {subjects:,} | {seconds:.0f} | {processor:.0f} | {gigabytes:.2f} |\n"


def main() -> None:
    """Measure each size and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", metavar="N", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", metavar="FILE", type=Path, default=RESULTS)
    options = parser.parse_args()
    lines = []
    for rows in options.rows:
        lines.append(measure(rows))
        print(lines[-1], end="", flush=True)
    load = os.getloadavg()[0]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    where = (
        f"\nOn {os.cpu_count()} cores ({platform.machine()}), {threads} threads, load {load:.1f}.\n"
    )
    options.out.write_text(HEAD + "".join(lines) + where, encoding="utf-8")


if __name__ == "__main__":
    main()

"""`clinical-symile doctor`: check Python, packages, devices, disk, definitions and MLflow."""

import argparse
import os
import platform
import shutil
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clinical_symile.config.catalog import open_catalog
from clinical_symile.errors import DataError, DefinitionError

PACKAGES = ("torch", "torchvision", "monai", "lightning-fabric", "wfdb", "duckdb", "mlflow")
LOW_DISK_GB = 5
SERVER_TIMEOUT_S = 5


@dataclass(frozen=True)
class DoctorFinding:
    """One thing that was looked at.

    Attributes:
        well: False if something must be done.
        sentence: what was found, and what to do.
    """

    well: bool
    sentence: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.well else 'AMISS'} {self.sentence}"


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `doctor`."""
    parser.add_argument(
        "--store", metavar="STORE", type=Path, help="also read every file of this store"
    )


def run_doctor(options: argparse.Namespace) -> int:
    """Print every finding."""
    findings = check_machine(options.catalog, store=options.store)
    for finding in findings:
        print(finding)
    return 0 if all(finding.well for finding in findings) else 1


def check_machine(directories: Sequence[Path], *, store: Path | None = None) -> list[DoctorFinding]:
    """Look at Python, packages, devices, memory, disk, definitions and the tracking server.

    Args:
        directories: of the catalog, besides ours.
        store: a store whose every file is read and compared with its checksum.
    """
    return [
        DoctorFinding(True, f"Python {platform.python_version()}, {platform.platform(terse=True)}"),
        *(_package(name) for name in PACKAGES),
        *_devices(),
        _disk(),
        _definitions(directories),
        _tracking(),
        *(_store(store) if store else []),
    ]


def _package(name: str) -> DoctorFinding:
    try:
        return DoctorFinding(True, f"{name} {version(name)}")
    except PackageNotFoundError:
        return DoctorFinding(False, f"{name} is not installed. Run `pip install clinical-symile`.")


def _devices() -> list[DoctorFinding]:
    try:
        import torch
    except ImportError as error:
        return [DoctorFinding(False, f"PyTorch does not load: {error}. Install it again.")]
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    findings = [DoctorFinding(True, f"CPU: {cores} cores, PyTorch uses {torch.get_num_threads()}")]
    if not torch.cuda.is_available():
        return [*findings, DoctorFinding(True, "GPU: none; training runs on the CPU")]
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        memory = about.total_memory / 2**30
        findings.append(DoctorFinding(True, f"GPU {index}: {about.name}, {memory:.0f} GiB"))
    return findings


def _disk() -> DoctorFinding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < LOW_DISK_GB:
        return DoctorFinding(
            False,
            f"disk: {free:.1f} GB free in this folder; stores take up to 0.25 MB for each sample. "
            "Make room, or work elsewhere.",
        )
    return DoctorFinding(True, f"disk: {free:.0f} GB free in this folder")


def _definitions(directories: Sequence[Path]) -> DoctorFinding:
    try:
        catalog = open_catalog(directories)
    except DefinitionError as error:
        return DoctorFinding(False, f"definitions: {error}")
    return DoctorFinding(
        True,
        f"definitions: {len(catalog.cohorts)} cohorts, {len(catalog.tasks)} tasks, "
        f"{len(catalog.reports)} reports; `clinical-symile check` reads them",
    )


def _store(path: Path) -> list[DoctorFinding]:
    from clinical_symile.data.store import check_files  # here: pandas takes a while

    try:
        check_files(path)
    except DataError as error:
        return [DoctorFinding(False, f"store {problem.with_code()}") for problem in error.problems]
    return [DoctorFinding(True, f"store {path}: every file is as it was written")]


def _tracking() -> DoctorFinding:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return DoctorFinding(True, "MLflow: an SQLite database beside the runs")
    if not uri.startswith(("http://", "https://")):
        return DoctorFinding(True, "MLflow: MLFLOW_TRACKING_URI names a store that is not a server")
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_TIMEOUT_S):
            return DoctorFinding(True, "MLflow: the server of MLFLOW_TRACKING_URI answers")
    except OSError as error:
        return DoctorFinding(
            False,
            f"MLflow: the server of MLFLOW_TRACKING_URI does not answer ({error}). Start it, or "
            "unset the variable; runs are kept in their folders and mirrored when it is back.",
        )

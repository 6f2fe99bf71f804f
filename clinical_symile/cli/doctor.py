"""`clinical-symile doctor`: check Python, packages, devices, disk, definitions and MLflow."""

import argparse
import os
import platform
import shutil
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clinical_symile.config.catalog import open_catalog
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.tracking.tracking_uri import can_be_redacted, redact

PACKAGES = ("torch", "torchvision", "monai", "lightning-fabric", "wfdb", "duckdb", "mlflow")
LOW_DISK_GB = 5
SERVER_TIMEOUT_S = 5


@dataclass(frozen=True)
class DoctorFinding:
    """The outcome of one check.

    Attributes:
        well: False if something must be done.
        sentence: what was found; for a problem also what to do.
    """

    well: bool
    sentence: str

    def __str__(self) -> str:
        return f"{'ok     ' if self.well else 'PROBLEM'} {self.sentence}"


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `doctor`."""
    parser.add_argument(
        "--store",
        metavar="STORE",
        type=Path,
        help="also compare every file of this store with its checksum",
    )


def run_doctor(options: argparse.Namespace) -> int:
    """Print the outcome of every check; exit with 1 if there is a problem."""
    findings = check_machine(options.catalog, store=options.store)
    for finding in findings:
        print(finding)
    return 0 if all(finding.well for finding in findings) else 1


def check_machine(directories: Sequence[Path], *, store: Path | None = None) -> list[DoctorFinding]:
    """Check Python, packages, devices, disk space, definitions and the tracking server.

    Args:
        directories: folders with definitions of your own.
        store: a store whose files are compared with their checksums; None for none.
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
        return DoctorFinding(False, f"{name} is not installed. Install clinical-symile again.")


def _devices() -> list[DoctorFinding]:
    try:
        import torch
    except ImportError as error:
        return [DoctorFinding(False, f"PyTorch cannot be imported: {error}. Install it again.")]
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    findings = [
        DoctorFinding(True, f"CPU: {cores} cores; PyTorch uses {torch.get_num_threads()} threads")
    ]
    if not torch.cuda.is_available():
        return [*findings, DoctorFinding(True, "GPU: PyTorch finds none; training runs on the CPU")]
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
            f"disk: {free:.1f} GB are free in this folder; a store needs up to 0.25 MB per sample. "
            "Remove files, or work on another disk.",
        )
    return DoctorFinding(True, f"disk: {free:.0f} GB are free in this folder")


def _definitions(directories: Sequence[Path]) -> DoctorFinding:
    try:
        catalog = open_catalog(directories)
    except DefinitionError as error:
        return DoctorFinding(False, f"definitions: {error}")
    return DoctorFinding(
        True,
        f"definitions: {len(catalog.cohorts)} cohorts, {len(catalog.tasks)} tasks, "
        f"{len(catalog.reports)} reports found; `clinical-symile check` checks their content",
    )


def _store(path: Path) -> list[DoctorFinding]:
    from clinical_symile.data.store_manifest import check_files  # here: pandas takes a while

    try:
        check_files(path)
    except DataError as error:
        return [DoctorFinding(False, f"store {problem.with_code()}") for problem in error.problems]
    return [DoctorFinding(True, f"store {path}: all files match their checksums")]


def _tracking() -> DoctorFinding:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return DoctorFinding(
            True,
            "MLflow: MLFLOW_TRACKING_URI is not set; runs go to an SQLite database beside them",
        )
    if not uri.startswith(("http://", "https://")):
        return DoctorFinding(True, "MLflow: MLFLOW_TRACKING_URI names a local database or folder")
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=SERVER_TIMEOUT_S):
            return DoctorFinding(True, "MLflow: the server in MLFLOW_TRACKING_URI answers")
    except (OSError, ValueError, HTTPException) as error:
        reason = redact(str(error), uri) if can_be_redacted(uri) else type(error).__name__
        return DoctorFinding(
            False,
            f"MLflow: the server in MLFLOW_TRACKING_URI does not answer ({reason}). Start it, or "
            "unset the variable. Nothing is lost meanwhile: runs stay in their folders, and "
            "`clinical-symile sync` copies them.",
        )

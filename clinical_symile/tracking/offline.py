"""Keep a command from reaching other machines."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from clinical_symile.errors import ClinicalSymileError
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import (
    run_tracking_uri,
    tracking_uri,
    without_credentials,
)

# What libraries read: Hugging Face's do not look for newer files, MLflow sends no statistics.
OFFLINE_VARIABLES: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")
_HOSTED = ("databricks", "databricks-uc")  # need no address


def go_offline(run: Path | None = None) -> None:
    """Tell libraries to stay offline, for this process and those that it starts.

    Args:
        run: the folder of a run whose copy in MLflow may be updated.

    Raises:
        ClinicalSymileError: the copy of a run would be sent to another machine.
    """
    os.environ.update(OFFLINE_VARIABLES)
    folder = Path.cwd() if run is None else run
    uri = tracking_uri(folder) if run is None else run_tracking_uri(Run(run))
    if is_remote(uri):
        raise ClinicalSymileError(
            f"--offline: the tracking server {without_credentials(uri)} is on another machine; "
            "expected a database or a server on this one. Set MLFLOW_TRACKING_URI to "
            "sqlite:///mlflow.db, or leave --offline out.",
            code="CS-L005",
        )


def is_remote(uri: str) -> bool:
    """Return True for a tracking server that is not on this machine.

    >>> is_remote("https://mlflow.example"), is_remote("http://127.0.0.1:5000")
    (True, False)
    >>> is_remote("sqlite:///mlflow.db"), is_remote("runs/mlruns")
    (False, False)
    """
    if uri.partition(":")[0] in _HOSTED:
        return True
    host = urlsplit(uri).hostname
    return host is not None and not _LOOPBACK.fullmatch(host)

"""Say why a run could not be copied to MLflow, and which command copies it."""

import re
import shlex
from pathlib import Path

from clinical_symile.files import FolderBusyError
from clinical_symile.tracking.tracking_uri import (
    can_be_redacted,
    default_uri,
    redact,
    without_credentials,
)

_LONGEST = 300
_REFUSED = re.compile(r"\b(401|403)\b|authenti|permission denied", re.IGNORECASE)
_CHECK = "Check that MLflow can be reached"
_WITHOUT_USER = ("http:", "https:", "sqlite:", "file:")
_UNKNOWN_REVISION = "Can't locate revision"


class SyncError(Exception):
    """A known reason for which a run is not copied.

    Args:
        reason: what is wrong.
        action: what to do, as a command to the reader without a full stop.
    """

    def __init__(self, reason: str, action: str):
        super().__init__(reason)
        self.action = action


def problem_sentence(
    error: BaseException, *, run: Path, uri: str, folder: Path | None, what: str = "run"
) -> str:
    """Return why a run was not copied, and what to do; without credentials.

    Args:
        error: what MLflow or one of its drivers raised.
        run: the run's folder.
        uri: the tracking URI.
        folder: the benchmark's folder to name in the command; None for the run's.
        what: `run`, or `study` for a benchmark's folder.
    """
    sentence = (
        f"{what} '{run.resolve().name}' could not be synced to {without_credentials(uri)}: "
        f"{_reason(error, uri)}. Nothing is lost: everything is in {run}. "
        f"{_next_step(error, run=run, uri=uri, folder=folder)} [CS-L001]"
    )
    return redact(sentence, uri)


def files_problem_sentence(
    error: BaseException,
    *,
    run: Path,
    uri: str,
    place: str,
    folder: Path | None,
    what: str = "run",
) -> str:
    """Return why the files of a run were not copied though its numbers were.

    Args:
        error: what MLflow or one of its drivers raised.
        run: the run's folder.
        uri: the tracking URI.
        place: where MLflow keeps the run's files.
        folder: the benchmark's folder to name in the command; None for the run's.
        what: `run`, or `study` for a benchmark's folder.
    """
    step = _next_step(
        error,
        run=run,
        uri=uri,
        folder=folder,
        otherwise="Let the server serve artifacts, or choose a location that this machine can "
        "write",
    )
    sentence = (
        f"{what} '{run.resolve().name}' is in {without_credentials(uri)} with its parameters and "
        f"metrics, but its files could not be stored at {without_credentials(place)}: "
        f"{_reason(error, uri, place)}. "
        f"They are in the {what}'s folder. {step} [CS-L002]"
    )
    return redact(redact(sentence, place), uri)


def sync_command(run: Path, uri: str) -> str:
    """Return the command that copies a run or a benchmark's folder to the same place.

    Args:
        run: the folder.
        uri: where it is to be copied.
    """
    command = f"clinical-symile sync {shlex.quote(str(run))}"
    if uri == default_uri(run):
        return command
    return f"{command} --uri {shlex.quote(uri) if without_credentials(uri) == uri else 'URI'}"


def _reason(error: BaseException, *addresses: str) -> str:
    """Return the first line of an error; its kind alone if that might hold credentials."""
    kind = type(error).__name__
    if not isinstance(error, SyncError) and not all(map(can_be_redacted, addresses)):
        return f"{kind} (its text is left out, because it may hold parts of the credentials)"
    lines = str(error).strip().splitlines() or [kind]
    return redact(lines[0], addresses[0])[:_LONGEST].rstrip(".")


def _next_step(
    error: BaseException,
    *,
    run: Path,
    uri: str,
    folder: Path | None,
    otherwise: str | None = None,
) -> str:
    action = otherwise or _CHECK
    if otherwise is None and not uri.startswith(_WITHOUT_USER):
        action = f"{_CHECK}, and that MLFLOW_TRACKING_URI has the address with its credentials"
    if isinstance(error, SyncError):
        action = error.action
    elif isinstance(error, FolderBusyError):
        action = "Wait until it ends; a training syncs itself"
    elif isinstance(error, ImportError):
        action = f"Install {error.name or 'the missing package'}"
    elif _UNKNOWN_REVISION in str(error):
        action = "Update mlflow: a newer one made this database"
    elif _REFUSED.search(str(error)):
        action = (
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or give the address with "
            "its credentials by MLFLOW_TRACKING_URI"
        )
    command = sync_command(folder or run, uri)
    hint = " with the address and its credentials for URI" * command.endswith(" URI")
    return f"{action}, then run `{command}`{hint}."

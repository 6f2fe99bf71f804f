"""Store a run's files in MLflow, and move those that a user added to a new copy."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_symile.files import write_bytes
from clinical_symile.hashing import payload_digest
from clinical_symile.registry.names import path_in
from clinical_symile.tracking._mlflow_tables import TABLES_FOLDER, listed_tables
from clinical_symile.tracking.snapshot import SHAREABLE_FILES

if TYPE_CHECKING:
    from mlflow.entities import Run as Copy
    from mlflow.tracking import MlflowClient
else:  # MLflow takes seconds to load: only a sync loads it
    Copy = MlflowClient = Any

REPORT_PAGE = "report.html"
# MLflow does not show a tag that begins with `mlflow.`; this one is read by the next sync only.
_SENT = "mlflow.clinical_symile.mirrored"


def sent_state(copy: Copy) -> dict[str, str]:
    """Return the digests of what was sent, and the number of lines of the history."""
    return json.loads(copy.data.tags.get(_SENT, "{}"))


def sent_tag(state: Mapping[str, str]) -> dict[str, str]:
    """Return the tag that keeps what was sent."""
    return {_SENT: json.dumps(state)}


def send_changed_files(
    client: MlflowClient,
    copy: Copy,
    files: Mapping[str, bytes],
    tables: Mapping[str, bytes] | None = None,
    state: dict[str, str] | None = None,
) -> tuple[int, BaseException | None]:
    """Upload the files that changed since they were last sent, and the tables if one changed.

    Args:
        client: of the server or database.
        copy: the copy.
        files: content of each file by its name.
        tables: content of each table by its place. They have one entry among the digests, which
            are kept in a tag and so must be few.
        state: what was sent before; updated here. None for what the copy says.

    Returns:
        How many files were sent, and why others could not be stored.
    """
    tables, state = tables or {}, sent_state(copy) if state is None else state
    digests = {TABLES_FOLDER: payload_digest(*tables.values())} if tables else {}
    digests |= {name: payload_digest(content) for name, content in files.items()}
    number = 0
    for name in [name for name, digest in digests.items() if state.get(name) != digest]:
        group = tables if name == TABLES_FOLDER else {name: files[name]}
        try:
            _upload(client, copy, group)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of any of MLflow's stores and their drivers
            return number, error
        number += len(group)
        state[name] = digests[name]
        for key, value in sent_tag(state).items():
            client.set_tag(copy.info.run_id, key, value)
    return number, None


def _upload(client: MlflowClient, copy: Copy, files: Mapping[str, bytes]) -> None:
    """Store files of a run, each at its place."""
    for place, content in files.items():
        folder, _, name = place.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            local = path_in(Path(temporary), name)
            write_bytes(local, content)
            client.log_artifact(copy.info.run_id, str(local), folder or None)


def move_users_files(client: MlflowClient, copy: Copy, earlier: Copy) -> bool:
    """Copy the files that a user added; return False if MLflow cannot."""
    ours = {*SHAREABLE_FILES, *listed_tables(earlier.data.tags)}
    if REPORT_PAGE in sent_state(earlier):  # of a study, or of a run of version 0.2.3 and before
        ours.add(REPORT_PAGE)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for place in _places(client, earlier):
                if place not in ours:
                    local = client.download_artifacts(earlier.info.run_id, place, folder)
                    above = place.rpartition("/")[0]
                    client.log_artifact(copy.info.run_id, local, above or None)
    except Exception:  # of any of MLflow's stores
        return False
    return True


def _places(client: MlflowClient, copy: Copy, below: str | None = None) -> Iterator[str]:
    """Yield the place of each file of a copy."""
    for file in client.list_artifacts(copy.info.run_id, below):
        if file.is_dir:
            yield from _places(client, copy, file.path)
        else:
            yield file.path

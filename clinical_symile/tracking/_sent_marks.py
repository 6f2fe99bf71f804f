"""Tell what a sync sent to MLflow from what a user added there, by hidden tags of the copy."""

from collections.abc import Iterable, Mapping

from clinical_symile.hashing import payload_digest

NOTE_TAG = "mlflow.note.content"
# MLflow does not show a tag that begins with `mlflow.`. These hold a short digest of each name
# that a sync sent, and of the note. A tag holds so many of them.
_PREFIX, NOTE_SENT_TAG = "mlflow.clinical_symile.", "mlflow.clinical_symile.note"
METRIC_NAMES, PARAMETERS, TAGS = "names", "parameters", "tags"
_DIGITS, _MARKS_PER_TAG = 8, 500
# Copies of version 0.2.0 and earlier have no marks. There, these are a sync's, all parameters are,
# and no tag but those that a sync sends now.
_OUR_METRICS = ("classification/", "diagnostic/", "retrieval/")
_OUR_NOTE = "| task | modalities | metric |"


def sent_names(kind: str, tags: Mapping[str, str], names: Iterable[str]) -> set[str]:
    """Return the names that a sync sent; the others are the user's.

    Args:
        kind: `METRIC_NAMES`, `PARAMETERS` or `TAGS`.
        tags: of the copy.
        names: of the copy's metrics, parameters or tags.
    """
    if f"{_PREFIX}{kind}.0" not in tags:
        if kind == METRIC_NAMES:
            return {name for name in names if name.startswith(_OUR_METRICS)}
        return set(names) if kind == PARAMETERS else set()
    start = f"{_PREFIX}{kind}."
    marks = {mark for tag in tags if tag.startswith(start) for mark in tags[tag].split()}
    return {name for name in names if _mark(name) in marks}


def mark_tags(
    kind: str, sent: Iterable[str], *, tags: Mapping[str, str], there: Iterable[str]
) -> dict[str, str]:
    """Return the hidden tags that say what a sync sent.

    Args:
        kind: `METRIC_NAMES`, `PARAMETERS` or `TAGS`.
        sent: the names that are sent now.
        tags: of the copy as it is; empty for a new one.
        there: names of the copy's metrics, parameters or tags as it is.
    """
    earlier = sent_names(kind, tags, there) if tags else set()
    marks = sorted({_mark(name) for name in {*sent, *earlier}})
    return {
        f"{_PREFIX}{kind}.{number}": " ".join(marks[start : start + _MARKS_PER_TAG])
        for number, start in enumerate(range(0, max(len(marks), 1), _MARKS_PER_TAG))
    }


def note_tags(note: str) -> dict[str, str]:
    """Return the tags of a note that a sync sends."""
    return {NOTE_TAG: note, NOTE_SENT_TAG: payload_digest(note)}


def has_users_note(tags: Mapping[str, str]) -> bool:
    """Return True if the copy has a note that is not the one that the last sync wrote."""
    note = tags.get(NOTE_TAG, "")
    if NOTE_SENT_TAG in tags:
        return note != "" and payload_digest(note) != tags[NOTE_SENT_TAG]
    is_old_copy = f"{_PREFIX}{METRIC_NAMES}.0" not in tags
    return note != "" and not (is_old_copy and _OUR_NOTE in note)


def _mark(name: str) -> str:
    return payload_digest(name)[:_DIGITS]

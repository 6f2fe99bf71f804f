"""Check whether samples share a measurement or a file, or have nearly the same measurement."""

from collections.abc import Iterator, Sequence

import numpy as np

from clinical_symile.data.audit import near_duplicates
from clinical_symile.data.audit.finding import (
    AuditFinding,
    Severity,
    file_names,
    in_parts,
    present_rows,
    sample_ids,
    value_codes,
)
from clinical_symile.data.store import CohortStore

FEW_OBSERVED = 8  # analytes; vectors of fewer may agree by chance


def check_exact_duplicates(store: CohortStore) -> Iterator[AuditFinding]:
    """Yield findings on samples that share a measurement or a file."""
    for modality in store.modalities:
        array, rows = store.array(modality), present_rows(store, modality)
        what = "measurement"
        if array.ndim == 2:
            observed = np.concatenate(
                [(~np.isnan(array[part])).sum(axis=1) for part in in_parts(rows)] or [rows]
            )
            rows, what = rows[observed >= FEW_OBSERVED], f"{FEW_OBSERVED} or more values"
        yield from _repeated(
            store, modality, near_duplicates.exact_duplicates(array, rows), f"the same {what}"
        )
    for modality, names in file_names(store).items():
        places: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            if name:
                places.setdefault(name, []).append(row)
        same = [rows for rows in places.values() if len(rows) > 1]
        yield from _repeated(store, modality, same, "the same file")


def _repeated(
    store: CohortStore, modality: str, groups: Sequence[Sequence[int]], what: str
) -> Iterator[AuditFinding]:
    """Yield findings on samples with equal content, by how separate they should be."""
    subject, split = value_codes(store, "subject"), value_codes(store, "split")
    kinds: dict[tuple[Severity, str], list[int]] = {}
    for group in groups:
        if len({split[row] for row in group}) > 1:
            kind = Severity.ERROR, "of different splits: training has read held-out samples"
        elif len({subject[row] for row in group}) > 1:
            kind = Severity.WARNING, "of different subjects: it belongs to one of them at most"
        else:
            kind = Severity.NOTE, "of one subject: it counts more than once"
        kinds.setdefault(kind, []).extend(group)
    for (severity, why), rows in sorted(kinds.items(), key=lambda item: -item[0][0]):
        yield AuditFinding(
            check="same",
            severity=severity,
            sentence=f"{modality}: {len(rows)} samples share {what} with another {why}. Choose "
            "one in the query, or move them into one split.",
            samples=sample_ids(store, rows),
        )


def check_near_duplicates(store: CohortStore) -> Iterator[AuditFinding]:
    """Yield findings on nearly equal images and signals of different splits."""
    split = value_codes(store, "split")
    for modality in store.modalities:
        array, rows = store.array(modality), present_rows(store, modality)
        if not near_duplicates.supports_near_duplicates(array.shape[1:]):
            continue
        again = {row for same in near_duplicates.exact_duplicates(array, rows) for row in same[1:]}
        rows = np.array([row for row in rows if int(row) not in again], dtype=np.int64)
        pairs = near_duplicates.near_duplicate_pairs(array, rows, split[rows])
        if pairs:
            yield AuditFinding(
                check="alike",
                severity=Severity.ERROR,
                sentence=f"{modality}: {len(pairs)} pairs of different splits are nearly the same "
                f"(correlation of {near_duplicates.ALIKE} or more); expected none. Look at "
                "them, and move copies into one split.",
                samples=sample_ids(store, sorted({row for pair in pairs for row in pair})),
            )

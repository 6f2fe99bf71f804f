"""Audit a prepared store for errors that would make its results wrong."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
from jaxtyping import Int

from clinical_symile.data.audit import near_duplicates
from clinical_symile.data.audit.leakage import (
    FEWEST,
    availability_leaks,
    label_leaks,
    unchecked_outcomes,
)
from clinical_symile.data.external.store import is_prediction_store
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import MODALITIES

PART = 64  # measurements that are read at once
FEW_OBSERVED = 8  # analytes; vectors of fewer may agree by chance
AVAILABILITY_LOW = 0.55  # lower end of an AUROC that is worth a warning
EXTENSIONS = (".hea", ".dat", ".mat", ".dcm", ".png", ".jpg", ".jpeg", ".npy")


class Severity(IntEnum):
    """The severity of a finding."""

    FINE = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def status(self) -> int:
        """The exit status for this worst severity; 1 means that the audit could not run."""
        return self.value if self >= Severity.WARNING else 0


@dataclass(frozen=True, kw_only=True)
class AuditFinding:
    """The outcome of one check.

    Attributes:
        check: name of the check.
        severity: severity of the finding.
        sentence: the finding, with counts, and what to do; no id and no value of a subject.
        samples: the samples concerned.
    """

    check: str
    severity: Severity
    sentence: str
    samples: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.severity.name.lower():7} {self.check}: {self.sentence}"


def audit_store(store: CohortStore, *, pretraining: Path | None = None) -> list[AuditFinding]:
    """Run every check of a store.

    Memory is bounded by the tables of the store; measurements are read in parts.

    Args:
        store: the prepared cohort.
        pretraining: a text file of the recordings that an encoder was pretrained on: one name per
            line, with or without folders and extension.

    Raises:
        DataError: `pretraining` cannot be read, or the store does not name its files, or it was
            made from predictions.
    """
    if is_prediction_store(store):
        raise DataError(
            f"{store.path}: was made from a file of predictions, without recordings and "
            "training samples; expected a store that `prepare` made. Audit that one; `card` "
            "describes this one.",
            code="CS-D019",
        )
    findings: list[AuditFinding] = []
    for name, check in CHECKS.items():
        found = list(check(store))
        findings += found or [AuditFinding(check=name, severity=Severity.FINE, sentence=FINE[name])]
    if pretraining is not None:
        findings += _pretraining(store, pretraining)
    return findings


def _subjects(store: CohortStore) -> Iterator[AuditFinding]:
    subject, split = _codes(store, "subject"), _codes(store, "split")
    pairs = np.unique(np.stack([subject, split], axis=1), axis=0)
    several = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
    if len(several):
        rows = np.flatnonzero(np.isin(subject, several))
        yield AuditFinding(
            check="subjects",
            severity=Severity.ERROR,
            sentence=f"{len(several)} subjects are in several splits; expected each in one. Move "
            "a subject's samples together and prepare again.",
            samples=_ids(store, rows),
        )


def _same(store: CohortStore) -> Iterator[AuditFinding]:
    for modality in store.modalities:
        array, rows = store.array(modality), _present(store, modality)
        what = "measurement"
        if array.ndim == 2:
            observed = np.concatenate(
                [(~np.isnan(array[part])).sum(axis=1) for part in _parts(rows)] or [rows]
            )
            rows, what = rows[observed >= FEW_OBSERVED], f"{FEW_OBSERVED} or more values"
        yield from _repeated(
            store, modality, near_duplicates.exact_duplicates(array, rows), f"the same {what}"
        )
    for modality, names in _files(store).items():
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
    subject, split = _codes(store, "subject"), _codes(store, "split")
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
            samples=_ids(store, rows),
        )


def _alike(store: CohortStore) -> Iterator[AuditFinding]:
    split = _codes(store, "split")
    for modality in store.modalities:
        array, rows = store.array(modality), _present(store, modality)
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
                samples=_ids(store, sorted({row for pair in pairs for row in pair})),
            )


def _labels(store: CohortStore) -> Iterator[AuditFinding]:
    for leak in label_leaks(store):
        yield AuditFinding(
            check="labels",
            severity=Severity.ERROR if leak.certain else Severity.WARNING,
            sentence=f"outcome {leak.outcome} is predicted by {leak.column} alone: AUROC "
            f"{leak.auroc:.3f} [{leak.low:.3f}, {leak.high:.3f}] on {leak.samples} training "
            "samples. Is it how the outcome is defined, or measured after it? Take it out of the "
            "panel, or the outcome out of the tasks.",
        )
    for outcome in unchecked_outcomes(store):
        yield AuditFinding(
            check="labels",
            severity=Severity.NOTE,
            sentence=f"outcome {outcome}: fewer than {FEWEST} training samples of a class, so it "
            "is not known whether a single column predicts it.",
        )


def _availability(store: CohortStore) -> Iterator[AuditFinding]:
    for leak in availability_leaks(store):
        if leak.interval is None:
            yield AuditFinding(
                check="availability",
                severity=Severity.NOTE,
                sentence=f"outcome {leak.outcome}: {leak.why}, so it is not known whether {leak.of}"
                " predicts it.",
            )
            continue
        value, low, high, _ = leak.interval
        predicts = low > AVAILABILITY_LOW
        yield AuditFinding(
            check="availability",
            severity=Severity.WARNING if predicts else Severity.NOTE,
            sentence=f"outcome {leak.outcome} from {leak.of} alone: AUROC {value:.3f} "
            f"[{low:.3f}, {high:.3f}] on {leak.samples} samples of {leak.split}"
            + (
                ". A model may have learned who is examined; compare it with this value."
                if predicts
                else ""
            ),
        )


def _statistics(store: CohortStore) -> Iterator[AuditFinding]:
    train = (store.samples["split"] == "train").to_numpy()
    for modality in store.modalities:
        about = store.manifest["modalities"][modality]
        adapter = resolve(about["adapter"], MODALITIES)
        array, rows = store.array(modality), _present(store, modality)

        def fitted(taken: Int[np.ndarray, " row"], adapter=adapter, array=array) -> Any:
            return adapter.fit(array[part] for part in _parts(taken))

        if fitted(rows[train[rows]]) == about["statistics"]:
            continue
        every = fitted(rows) == about["statistics"]
        yield AuditFinding(
            check="statistics",
            severity=Severity.ERROR,
            sentence=f"{modality}: the statistics of the manifest are "
            f"{'those of all splits' if every else 'not those of the training samples'}; expected "
            "those of the training samples alone. Prepare again.",
        )


def _coverage(store: CohortStore) -> Iterator[AuditFinding]:
    for problem in store.manifest.get("coverage", ()):
        is_missing = problem["reason"] == "modality-missing"
        yield AuditFinding(
            check="coverage",
            severity=Severity.ERROR if is_missing else Severity.WARNING,
            sentence=problem["sentence"],
        )
    for place, modality in enumerate(store.modalities):
        listed = any(modality in key.split("+") for key in store.manifest.get("recorded", ()))
        if listed and not store.present[:, place].any():
            yield AuditFinding(
                check="coverage",
                severity=Severity.ERROR,
                sentence=f"modality {modality}: no sample has it, although the tables list it. See "
                "why its recordings were rejected.",
            )


def _ranges(store: CohortStore) -> Iterator[AuditFinding]:
    declared = store.manifest.get("ranges", {})
    if not declared:
        yield AuditFinding(
            check="ranges",
            severity=Severity.NOTE,
            sentence="the cohort declares none, so no column was checked. State the lowest and "
            "the highest plausible value of kept columns in 'ranges' of [samples].",
        )
    for column, (low, high) in declared.items():
        kept = store.samples[f"kept_{column}"]
        values = np.asarray(pd.to_numeric(kept, errors="coerce"), dtype=np.float64)
        missing = int(np.isnan(values).sum())
        beyond = np.flatnonzero((values < low) | (values > high))
        if len(beyond):
            yield AuditFinding(
                check="ranges",
                severity=Severity.WARNING,
                sentence=f"{column}: {len(beyond)} samples are not from {low:g} to {high:g}. "
                "Correct the query or the table.",
                samples=_ids(store, beyond),
            )
        if missing:
            yield AuditFinding(
                check="ranges",
                severity=Severity.NOTE,
                sentence=f"{column}: {missing} samples have no number.",
            )


def _pretraining(store: CohortStore, file: Path) -> Iterator[AuditFinding]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise DataError(
            f"{file}: cannot be read; expected the name of one recording per line.", code="CS-D020"
        ) from None
    known = {_stem(line) for line in lines if line.strip()}
    if not known:
        raise DataError(
            f"{file}: is empty; expected the name of one recording per line.", code="CS-D020"
        )
    files = _files(store)
    if not files:
        raise DataError(
            f"{store.path}: does not name the files it was made from, so nothing can be compared "
            f"with {file}. Prepare it again.",
            code="CS-D021",
        )
    scored = (store.samples["split"] != "train").to_numpy()
    for modality, names in files.items():
        is_listed = np.array([name != "" and _stem(name) in known for name in names], dtype=bool)
        rows = np.flatnonzero(is_listed & scored)
        yield AuditFinding(
            check="pretraining",
            severity=Severity.ERROR if len(rows) else Severity.FINE,
            sentence=f"{modality}: {len(rows)} recordings of tuning and held_out are in the list "
            f"of {len(known)}, {int((is_listed & ~scored).sum())} of train"
            + (". Score with an encoder that has not seen them." if len(rows) else ""),
            samples=_ids(store, rows),
        )


CHECKS: dict[str, Callable[[CohortStore], Iterator[AuditFinding]]] = {
    "subjects": _subjects,
    "same": _same,
    "alike": _alike,
    "labels": _labels,
    "availability": _availability,
    "statistics": _statistics,
    "coverage": _coverage,
    "ranges": _ranges,
}
FINE = {
    "subjects": "every subject is in one split",
    "same": "no two samples share a measurement or a file",
    "alike": "no image or signal of one split is nearly equal to one of another",
    "labels": "no single column of a panel predicts an outcome",
    "availability": "there is no outcome, or nothing is missing",
    "statistics": "normalization is fitted on training samples alone",
    "coverage": "every modality and analyte has values, in its unit",
    "ranges": "every kept column with a declared range is within it",
}


def _files(store: CohortStore) -> dict[str, list[str]]:
    """Return, for each modality read from files, the file of each sample; empty without one."""
    file = store.path / "files.parquet"
    if not file.is_file():
        return {}
    table = parquet.read_table(file)
    return {name: table[name].to_pylist() for name in table.column_names}


def _codes(store: CohortStore, column: str) -> Int[np.ndarray, " sample"]:
    """Return an integer code of a column's value for each sample."""
    return np.asarray(pd.factorize(store.samples[column])[0], dtype=np.int64)


def _present(store: CohortStore, modality: str) -> Int[np.ndarray, " row"]:
    return np.flatnonzero(store.present[:, store.modalities.index(modality)])


def _parts(rows: Int[np.ndarray, " row"]) -> Iterator[Int[np.ndarray, " part"]]:
    yield from (rows[first : first + PART] for first in range(0, len(rows), PART))


def _ids(store: CohortStore, rows: Any) -> tuple[Any, ...]:
    return tuple(store.samples["sample"].iloc[list(rows)])


def _stem(name: str) -> str:
    """Return a recording's own name: 'files/p10/s1/40.hea' and '40' are one."""
    last = name.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return last.rsplit(".", 1)[0] if last.lower().endswith(EXTENSIONS) else last

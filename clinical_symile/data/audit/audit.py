"""Audit a prepared store for errors that would make its results wrong."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from clinical_symile.config.tasks.encoders import EncoderConfig
from clinical_symile.data.audit.duplicates import check_exact_duplicates, check_near_duplicates
from clinical_symile.data.audit.finding import (
    AuditFinding,
    Severity,
    file_names,
    in_parts,
    present_rows,
    sample_ids,
    value_codes,
)
from clinical_symile.data.audit.known_sets import shared_sets
from clinical_symile.data.audit.leakage import (
    FEWEST,
    availability_leaks,
    label_leaks,
    unchecked_outcomes,
)
from clinical_symile.data.external.store import is_prediction_store
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.formatting import format_count, join_words
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import MODALITIES

AVAILABILITY_LOW = 0.55  # lower end of an AUROC that is worth a warning
EXTENSIONS = (".hea", ".dat", ".mat", ".dcm", ".png", ".jpg", ".jpeg", ".npy")


def audit_store(
    store: CohortStore,
    *,
    pretraining: Path | None = None,
    encoders: Mapping[str, EncoderConfig] | None = None,
) -> list[AuditFinding]:
    """Run every check of a store.

    Memory is bounded by the tables of the store; measurements are read in parts.

    Args:
        store: the prepared cohort.
        pretraining: a text file of the recordings that an encoder was pretrained on: one name per
            line, with or without folders and extension.
        encoders: the encoders of a task, by modality, whose training data are compared with the
            cohort.

    Raises:
        DataError: a list cannot be read, or the store does not name its files, or it was
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
    for modality, encoder in (encoders or {}).items():
        findings += _training_data(store, modality, encoder)
    return findings


def _training_data(
    store: CohortStore, modality: str, encoder: EncoderConfig
) -> Iterator[AuditFinding]:
    """Compare what the weights of an encoder were trained on with a store."""
    if encoder.training_list is not None:
        listed = _pretraining(store, Path(encoder.training_list))
        yield from (one for one in listed if one.sentence.startswith(f"{modality}:"))
    if encoder.training_data is None:
        return
    shared = shared_sets(encoder.training_data, store)
    severity, sentence = Severity.FINE, "its encoder was trained on no data set that this cohort is"
    if not encoder.training_data:
        severity, sentence = Severity.NOTE, "the training data of its encoder are unknown"
    if shared:
        severity = Severity.WARNING
        sentence = (
            f"its encoder was trained on {join_words(shared)}, which this cohort is from: it may "
            "have seen held-out subjects. Name its recordings in training_list, or evaluate on "
            "another cohort"
        )
    yield AuditFinding(
        check="training_data", severity=severity, sentence=f"{modality}: {sentence}."
    )


def _subjects(store: CohortStore) -> Iterator[AuditFinding]:
    subject, split = value_codes(store, "subject"), value_codes(store, "split")
    pairs = np.unique(np.stack([subject, split], axis=1), axis=0)
    several = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
    if len(several):
        rows = np.flatnonzero(np.isin(subject, several))
        yield AuditFinding(
            check="subjects",
            severity=Severity.ERROR,
            sentence=f"{len(several)} subjects are in several splits; expected each in one. Move "
            "a subject's samples together and prepare again.",
            samples=sample_ids(store, rows),
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
            sentence=f"outcome {leak.outcome}, predicted from {leak.of} alone: AUROC {value:.3f} "
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
        array, rows = store.array(modality), present_rows(store, modality)

        def fitted(taken: Int[np.ndarray, " row"], adapter=adapter, array=array) -> Any:
            return adapter.fit(array[part] for part in in_parts(taken))

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
                samples=sample_ids(store, beyond),
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
    files = file_names(store)
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
            sentence=f"{modality}: {format_count(len(rows))} recordings of tuning and held_out are "
            f"in the list of {format_count(len(known))}, "
            f"{format_count(int((is_listed & ~scored).sum()))} of train"
            + (". Score with an encoder that has not seen them." if len(rows) else ""),
            samples=sample_ids(store, rows),
        )


CHECKS: dict[str, Callable[[CohortStore], Iterator[AuditFinding]]] = {
    "subjects": _subjects,
    "same": check_exact_duplicates,
    "alike": check_near_duplicates,
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


def _stem(name: str) -> str:
    """Return a recording's own name: 'files/p10/s1/40.hea' and '40' are one."""
    last = name.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return last.rsplit(".", 1)[0] if last.lower().endswith(EXTENSIONS) else last

"""Count the samples that `prepare` stores if every file proves usable, without opening a file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from clinical_symile.config.cohort import Cohort
from clinical_symile.config.splits import SPLITS
from clinical_symile.data.ingest.decode import candidate_rows, read_measurement
from clinical_symile.data.ingest.row_file import RowFile
from clinical_symile.data.ingest.samples import SelectedSamples
from clinical_symile.data.ingest.store_writer import reasons_to_leave_out, sample_columns
from clinical_symile.modalities.base import Rejected, ignore_note, is_empty


def expect_samples(
    cohort: Cohort,
    adapters: Mapping[str, Any],
    selected: SelectedSamples,
    rows: RowFile,
    *,
    source: Path,
) -> SelectedSamples:
    """Leave out what `prepare` leaves out by the tables alone, with its reasons.

    These are samples of which too little remains after the rules of a modality for values in the
    row, such as a plausible range or accepted views, and samples without a required column.

    Args:
        cohort: the cohort to read.
        adapters: the adapters of its modalities, by name.
        selected: the counts of `read_samples`.
        rows: the samples that it wrote.
        source: folder of the raw files.
    """
    left_out = Counter(selected.left_out)
    samples: Counter[str] = Counter()
    subjects: dict[str, set[Any]] = {split: set() for split in SPLITS}
    for _, batch in rows.batches():
        candidate, tried = _candidates(cohort, adapters, batch, source)
        columns = sample_columns(cohort, batch, candidate)
        reasons = reasons_to_leave_out(cohort, columns, present=candidate >= 0, tried=tried)
        left_out.update(reasons[reasons != ""].tolist())
        kept = pa.array(np.flatnonzero(reasons == ""))
        splits = columns["split"].take(kept).to_pylist()
        samples.update(splits)
        for split, subject in zip(splits, columns["subject"].take(kept).to_pylist(), strict=True):
            subjects[split].add(subject)
    counts = {split: [samples[split], len(subjects[split])] for split in SPLITS if samples[split]}
    return replace(selected, left_out=dict(left_out), splits=counts)


def _candidates(
    cohort: Cohort, adapters: Mapping[str, Any], batch: pa.RecordBatch, source: Path
) -> tuple[Int[np.ndarray, "sample modality"], Bool[np.ndarray, " sample"]]:
    """Return the candidate that each modality would store, and True where one was refused."""
    recorded = np.array(batch.column("recorded").to_pylist(), dtype=bool)
    candidate = np.where(recorded.reshape(len(batch), len(adapters)), 0, -1)
    tried = np.zeros(len(batch), dtype=bool)
    for column, (name, adapter) in enumerate(adapters.items()):
        if not _judges_rows(adapter):
            continue
        places = np.flatnonzero(candidate[:, column] == 0)
        lines = batch.column("row").take(pa.array(places)).to_pylist()
        for place, line in zip(places, lines, strict=True):
            candidate[place, column], refused = _first_usable(
                adapter, candidate_rows(cohort, name, line), source
            )
            tried[place] |= refused
    return candidate, tried


def _judges_rows(adapter: Any) -> bool:
    """Return True if an adapter may refuse a recording without opening a file."""
    return hasattr(adapter, "check_row") or _is_in_row(adapter)


def _is_in_row(adapter: Any) -> bool:
    """Return True if an adapter says that its measurement is in the row."""
    return hasattr(adapter, "named_by") and not adapter.named_by


def _first_usable(
    adapter: Any, candidates: Sequence[Mapping[str, Any]], source: Path
) -> tuple[int, bool]:
    """Return the place of the first candidate that is not refused, or -1; and if one was."""
    refused = False
    for place, row in enumerate(candidates):
        try:
            if not _is_in_row(adapter):
                if any(is_empty(row[column]) for column in adapter.named_by):
                    continue
                adapter.check_row(row)
            elif read_measurement(adapter, row, source, ignore_note, allow_links=False) is None:
                continue
        except Rejected:
            refused = True
            continue
        return place, refused
    return -1, refused

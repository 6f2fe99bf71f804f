"""Write the raw files of a synthetic hospital in the format of MIMIC.

The tables have the columns of MIMIC-IV 2.2, MIMIC-CXR-JPG 2.0.0 and MIMIC-IV-ECG 1.0; X-rays are
JPEG files and ECGs WFDB records. Subjects, times and numbers are invented, with ids outside MIMIC's
ranges. `truth/factors.csv.gz` holds the true factors of each admission; no model reads it.
"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16
from PIL import Image

from clinical_symile.data.ingest.worker_pool import worker_processes
from clinical_symile.errors import DataError
from clinical_symile.synthetic.cxr import draw_xray
from clinical_symile.synthetic.ecg import RECORDER_LEADS, RECORDER_RATE_HZ, UNITS_PER_MV, draw_ecg
from clinical_symile.synthetic.tables import (
    Admission,
    TableRows,
    cxr_rows,
    ecg_rows,
    item_rows,
    lab_rows,
    merge_tables,
    patient_row,
    stay_rows,
    truth_row,
    write_tables,
)
from clinical_symile.synthetic.world import WORLD_MODALITIES, World

MAX_ADMISSIONS = 3
_MAX_SUBJECTS = 1_000_000 // MAX_ADMISSIONS

_CHUNK = 50
_JPEG_QUALITY = 90


def write_cohort(
    folder: Path,
    *,
    subjects: int,
    seed: int,
    redundant: int,
    unique: int,
    synergistic: int,
    synergy: float,
    flip: float,
    absent: float,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write all tables and recordings of the hospital.

    The same arguments give the same bytes, however many processes write them.

    Args:
        folder: folder to write; must not exist yet.
        subjects: number of subjects, each with one to three admissions.
        seed: seed of all random draws.
        redundant: number of factors that all modalities show; for this and the next, see `World`.
        unique: number of factors of each modality alone.
        synergistic: number of factors of ECG and labs that the X-ray combines.
        synergy: probability that the X-ray combines them by XOR.
        flip: probability that a modality shows a redundant factor wrongly.
        absent: probability that a modality is missing in an admission, independent of all else; at
            least one modality is present.
        progress: called with the number of subjects written and of all subjects.

    Raises:
        ValueError: an argument is out of range.
        DataError: the folder exists.
    """
    world = World(
        redundant=redundant, unique=unique, synergistic=synergistic, synergy=synergy, flip=flip
    )
    if not 1 <= subjects <= _MAX_SUBJECTS:
        raise ValueError(f"subjects is {subjects}; expected 1 to {_MAX_SUBJECTS}.")
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected a whole number from 0.")
    if not 0 <= absent < 1:
        raise ValueError(f"absent is {absent}; expected a probability below 1.")
    if folder.exists():
        raise DataError(
            f"{folder}: exists; expected a new folder. Remove it, or name another.", code="CS-D013"
        )
    folder.mkdir(parents=True)

    tables = item_rows()
    chunks = [range(start, min(start + _CHUNK, subjects)) for start in range(0, subjects, _CHUNK)]
    write_chunk = partial(_write_subjects, folder=folder, world=world, absent=absent, seed=seed)
    for chunk, rows in zip(chunks, _in_processes(write_chunk, chunks), strict=True):
        merge_tables(tables, rows)
        if progress is not None:
            progress(chunk.stop, subjects)
    write_tables(folder, tables)


def _in_processes(
    write_chunk: Callable[[range], TableRows], chunks: list[range]
) -> Iterator[TableRows]:
    """Yield the result of each chunk, in order; use one process for a few chunks."""
    processes = min(os.cpu_count() or 1, len(chunks) // 4)
    if processes < 2:
        yield from map(write_chunk, chunks)
        return
    with worker_processes(processes) as pool:
        yield from pool.map(write_chunk, chunks)


def _write_subjects(
    subjects: range, *, folder: Path, world: World, absent: float, seed: int
) -> TableRows:
    """Write the recordings of some subjects; return the rows of their tables."""
    tables: TableRows = {}
    for subject in subjects:
        # one stream per subject, so that the number of processes does not matter
        generator = np.random.default_rng([seed, subject])
        subject_id = 90_000_000 + subject
        admitted = datetime(2110, 1, 1) + timedelta(minutes=int(generator.integers(80 * 525_600)))
        merge_tables(
            tables,
            {"mimiciv/hosp/patients.csv.gz": [patient_row(subject_id, admitted, generator)]},
        )
        for number in range(generator.integers(1, MAX_ADMISSIONS + 1)):
            sign_bits, deteriorates = world.draw(generator)
            stay = subject * MAX_ADMISSIONS + number
            admission = Admission(subject_id, stay, admitted, sign_bits, deteriorates)
            merge_tables(
                tables, _write_admission(admission, folder, absent=absent, generator=generator)
            )
            admitted += timedelta(minutes=int(generator.integers(60 * 1440, 600 * 1440)))
    return tables


def _write_admission(
    admission: Admission, folder: Path, *, absent: float, generator: np.random.Generator
) -> TableRows:
    """Write one admission's X-ray and ECG; return the rows of all its tables."""
    tables = stay_rows(admission, generator)
    tables["truth/factors.csv.gz"] = [truth_row(admission)]
    # each modality has its own stream, so that its noise does not depend on which are present
    streams = dict(zip(WORLD_MODALITIES, generator.spawn(len(WORLD_MODALITIES)), strict=True))
    present = dict(zip(WORLD_MODALITIES, _present(absent, generator), strict=True))
    signs = dict(zip(WORLD_MODALITIES, admission.sign_bits.tolist(), strict=True))
    subject = admission.subject_id
    if present["cxr"]:
        stream = streams["cxr"]
        dicom_id = "-".join(f"{part:08x}" for part in stream.integers(2**32, size=5))
        file = Path(
            f"files/p{subject // 10**6}/p{subject}/s{admission.cxr_study_id}/{dicom_id}.jpg"
        )
        path = _created(folder / "mimic-cxr-jpg" / file)
        Image.fromarray(draw_xray(signs["cxr"], stream)).save(path, quality=_JPEG_QUALITY)
        taken = admission.admitted + timedelta(minutes=int(stream.integers(25 * 60, 71 * 60)))
        merge_tables(tables, cxr_rows(admission, dicom_id, taken, stream))
    if present["ecg"]:
        stream, study = streams["ecg"], admission.ecg_study_id
        record = f"files/p{subject // 10**4}/p{subject}/s{study}/{study}"
        write_record(_created(folder / "mimic-iv-ecg" / record), draw_ecg(signs["ecg"], stream))
        taken = admission.admitted + timedelta(minutes=int(stream.integers(-20 * 60, 20 * 60)))
        merge_tables(tables, ecg_rows(admission, record, taken))
    if present["labs"]:
        stream = streams["labs"]
        taken = admission.admitted + timedelta(minutes=int(stream.integers(-16 * 60, 16 * 60)))
        merge_tables(tables, lab_rows(admission, taken, stream))
    return tables


def write_record(path: Path, samples: Int16[np.ndarray, "time lead"]) -> None:
    """Write a WFDB record in format 16, like `wfdb.wrsamp`, which takes 60 ms for a record.

    Args:
        path: the record, without an extension.
        samples: values in the recorder's units, leads as in `RECORDER_LEADS`.
    """
    lines = [f"{path.name} {len(RECORDER_LEADS)} {RECORDER_RATE_HZ} {len(samples)}"]
    for lead, signal in zip(RECORDER_LEADS, samples.T, strict=True):
        checksum = int(signal.sum(dtype=np.int64)) % 65_536
        lines.append(
            f"{path.name}.dat 16 {UNITS_PER_MV}(0)/mV 16 0 {signal[0]} {checksum} 0 {lead}"
        )
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.with_suffix(".dat").write_bytes(samples.astype("<i2").tobytes())


def _present(absent: float, generator: np.random.Generator) -> list[bool]:
    """Draw which modalities are present; draw again if none is."""
    while True:
        present = generator.random(len(WORLD_MODALITIES)) >= absent
        if present.any():
            return present.tolist()


def _created(path: Path) -> Path:
    """Create the folder of a path, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path

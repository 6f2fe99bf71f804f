"""Build the tables of the synthetic hospital, with MIMIC's columns.

Only the columns that a cohort needs are filled; the others are empty, as they often are in MIMIC.
"""

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from clinical_symile.synthetic.cxr import IMAGE_SIZE_PX
from clinical_symile.synthetic.labs import SYNTHETIC_PANEL, draw_labs
from clinical_symile.synthetic.world import WORLD_MODALITIES, bits_to_integers


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
# the CheXpert finding of each of CXR_SIGNS
_FINDING_OF_SIGN = (
    "Cardiomegaly",
    "Lung Lesion",
    "Pleural Effusion",
    "Support Devices",
    "Lung Opacity",
    "Pleural Effusion",
)

TABLE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "mimiciv/hosp/patients.csv.gz": _names(
        "subject_id gender anchor_age anchor_year anchor_year_group dod"
    ),
    "mimiciv/hosp/admissions.csv.gz": _names(
        "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id "
        "admission_location discharge_location insurance language marital_status race edregtime "
        "edouttime hospital_expire_flag"
    ),
    "mimiciv/hosp/labevents.csv.gz": _names(
        "labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime "
        "value valuenum valueuom ref_range_lower ref_range_upper flag priority comments"
    ),
    "mimiciv/hosp/d_labitems.csv.gz": ("itemid", "label", "fluid", "category"),
    "mimiciv/icu/icustays.csv.gz": _names(
        "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los"
    ),
    "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz": _names(
        "dicom_id subject_id study_id PerformedProcedureStepDescription ViewPosition Rows Columns "
        "StudyDate StudyTime ProcedureCodeSequence_CodeMeaning ViewCodeSequence_CodeMeaning "
        "PatientOrientationCodeSequence_CodeMeaning"
    ),
    "mimic-cxr-jpg/mimic-cxr-2.0.0-chexpert.csv.gz": ("subject_id", "study_id", *_FINDINGS),
    "mimic-iv-ecg/record_list.csv": ("subject_id", "study_id", "file_name", "ecg_time", "path"),
    "truth/factors.csv.gz": ("hadm_id", *(f"shown_{name}" for name in WORLD_MODALITIES)),
}

TableRows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, repr=False)
class Admission:
    """One hospital stay of a synthetic subject.

    Attributes:
        subject_id: id of the subject.
        number: number of the stay among all stays, from which its ids are derived.
        admitted: time of admission.
        sign_bits: the bits that X-ray, ECG and labs show.
        deteriorates: True if the subject goes to intensive care after the third day.
    """

    subject_id: int
    number: int
    admitted: datetime
    sign_bits: Int[np.ndarray, "modality bit"]
    deteriorates: bool

    @property
    def hadm_id(self) -> int:
        """Id of the admission; MIMIC's begin with 2, and the following with 3, 4 and 5."""
        return 92_000_000 + self.number

    @property
    def stay_id(self) -> int:
        """Id of the stay in intensive care."""
        return 93_000_000 + self.number

    @property
    def ecg_study_id(self) -> int:
        """Id of the ECG study."""
        return 94_000_000 + self.number

    @property
    def cxr_study_id(self) -> int:
        """Id of the X-ray study."""
        return 95_000_000 + self.number


def patient_row(subject_id: int, first: datetime, generator: np.random.Generator) -> tuple:
    """Draw the row of `patients`."""
    group = ("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019")[generator.integers(4)]
    age = int(generator.integers(25, 90))
    return (subject_id, "FM"[generator.integers(2)], age, first.year, group, None)


def stay_rows(admission: Admission, generator: np.random.Generator) -> TableRows:
    """Draw rows of `admissions` and `icustays`; some subjects go to intensive care at once."""
    left = admission.admitted + timedelta(hours=generator.uniform(150, 260))
    kind = ("EW EMER.", "URGENT", "OBSERVATION ADMIT")[generator.integers(3)]
    stay = [None] * 9
    row = (admission.subject_id, admission.hadm_id, _time(admission.admitted), _time(left), None)
    tables: TableRows = {"mimiciv/hosp/admissions.csv.gz": [(*row, kind, *stay, 0)]}
    hours = []
    if generator.random() < 0.1:
        hours.append((0, generator.uniform(1, 12)))
    if admission.deteriorates:
        hours.append((1, generator.uniform(76, 120)))
    tables["mimiciv/icu/icustays.csv.gz"] = [
        _icu_row(admission, number, hour, generator) for number, hour in hours
    ]
    return tables


def cxr_rows(
    admission: Admission, dicom_id: str, taken: datetime, generator: np.random.Generator
) -> TableRows:
    """Draw the rows of the X-ray's metadata and findings; only positive findings are listed."""
    view = ("AP", "PA")[generator.integers(2)]
    whole_s = int(taken.strftime("%H%M%S"))
    milliseconds = int(generator.integers(1000))
    metadata = (
        dicom_id,
        admission.subject_id,
        admission.cxr_study_id,
        "CHEST (PORTABLE AP)" if view == "AP" else "CHEST (PA AND LAT)",
        view,
        IMAGE_SIZE_PX,
        IMAGE_SIZE_PX,
        taken.strftime("%Y%m%d"),
        # MIMIC's times are numbers: 08:17:00.5 is 81700.5
        f"{whole_s}.{milliseconds:03d}",
        None,
        "antero-posterior" if view == "AP" else "postero-anterior",
        "Erect",
    )
    signs = admission.sign_bits[WORLD_MODALITIES.index("cxr")]
    found = {finding for finding, sign in zip(_FINDING_OF_SIGN, signs, strict=False) if sign}
    values = [1.0 if name in (found or {"No Finding"}) else None for name in _FINDINGS]
    return {
        "mimic-cxr-jpg/mimic-cxr-2.0.0-metadata.csv.gz": [metadata],
        "mimic-cxr-jpg/mimic-cxr-2.0.0-chexpert.csv.gz": [
            (admission.subject_id, admission.cxr_study_id, *values)
        ],
    }


def ecg_rows(admission: Admission, record: str, taken: datetime) -> TableRows:
    """Return the row of an ECG in the list of records."""
    study = admission.ecg_study_id
    row = (admission.subject_id, study, study, _time(taken), record)
    return {"mimic-iv-ecg/record_list.csv": [row]}


def lab_rows(admission: Admission, taken: datetime, generator: np.random.Generator) -> TableRows:
    """Draw rows of `labevents`: first values, and repeats of some a few hours later."""
    signs = admission.sign_bits[WORLD_MODALITIES.index("labs")].tolist()
    values = draw_labs(signs, generator)
    later = draw_labs(signs, generator)
    repeated = generator.random(len(SYNTHETIC_PANEL)) < 0.15
    has_hadm_id = generator.random() < 0.9
    delay = timedelta(minutes=int(generator.integers(180, 420)))
    rows = []
    for analyte, again in zip(SYNTHETIC_PANEL, repeated, strict=True):
        draws = [(taken, values), (taken + delay, later)][: 1 + again]
        for time, drawn in draws:
            if analyte.itemid not in values or analyte.itemid not in drawn:
                continue
            value = drawn[analyte.itemid]
            rows.append(
                (
                    admission.number * 100 + len(rows),
                    admission.subject_id,
                    admission.hadm_id if has_hadm_id else None,
                    admission.number * 2 + (time > taken),
                    analyte.itemid,
                    None,
                    _time(time),
                    _time(time + timedelta(minutes=50)),
                    f"{value:.{analyte.decimals}f}",
                    value,
                    analyte.unit,
                    analyte.low,
                    analyte.high,
                    None if analyte.low <= value <= analyte.high else "abnormal",
                    "STAT",
                    None,
                )
            )
    return {"mimiciv/hosp/labevents.csv.gz": rows}


def truth_row(admission: Admission) -> tuple:
    """Return the bits that all modalities show, also missing ones."""
    return (admission.hadm_id, *bits_to_integers(admission.sign_bits).tolist())


def item_rows() -> TableRows:
    """Return the table of analytes."""
    rows = [
        (analyte.itemid, analyte.label, "Blood", "Chemistry")
        for analyte in sorted(SYNTHETIC_PANEL, key=lambda analyte: analyte.itemid)
    ]
    return {"mimiciv/hosp/d_labitems.csv.gz": rows}


def merge_tables(tables: TableRows, more: TableRows) -> None:
    """Append rows to their tables, in place."""
    for name, rows in more.items():
        tables.setdefault(name, []).extend(rows)


def write_tables(folder: Path, tables: TableRows) -> None:
    """Write every table of `TABLE_COLUMNS`; compress those named `.gz` without a time stamp."""
    for name, columns in TABLE_COLUMNS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows: Iterable[tuple] = tables.get(name, [])
        text = pd.DataFrame(rows, columns=pd.Index(columns), dtype=object).to_csv(index=False)
        data = text.encode()
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _icu_row(
    admission: Admission, number: int, hour: float, generator: np.random.Generator
) -> tuple:
    arrived = admission.admitted + timedelta(hours=hour)
    days = generator.uniform(0.5, 1.2)
    unit = ("Medical Intensive Care Unit (MICU)", "Coronary Care Unit (CCU)")[generator.integers(2)]
    left = arrived + timedelta(days=days)
    stay_id = admission.stay_id * 10 + number
    row = (admission.subject_id, admission.hadm_id, stay_id, unit, unit)
    return (*row, _time(arrived), _time(left), round(days, 4))


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")

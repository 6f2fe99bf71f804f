"""Files of other people's models: what they predicted, and what they embedded.

A file is CSV or Parquet. Predictions come in one of three forms, told by their columns:

- ours: `sample` and `probability`; perhaps `outcome`, `missingness`, `label`, `subject_id`;
- MEDS: `subject_id`, `prediction_time`, `boolean_value`, `predicted_boolean_probability`;
- CareBench: `predictions` and `labels`, or `pred_class_<n>` and `label_class_<n>`; perhaps
  `meta_<column>`. It has no ids: `sample` and `subject_id` may be added.

Embeddings have `sample`, `modality`, and either one column of lists or a column for each number.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.hashing import file_sha256
from clinical_symile.missingness.patterns import parse_pattern

# Ids are read as text: 007 is not 7.
IDS: dict[Any, Any] = dict.fromkeys(("sample", "subject_id", "query", "candidate"), str)
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, dtype=IDS),
    ".csv.gz": lambda path: pd.read_csv(path, dtype=IDS),
    ".parquet": pd.read_parquet,
}
TRUTH = {"True": 1.0, "true": 1.0, "False": 0.0, "false": 0.0}
NAMED = 3  # words that are no patterns, in one message
COLUMNS = ("sample", "subject", "outcome", "missingness", "label", "probability")
FORMS_WORDS = (
    "sample and probability; or those of MEDS, subject_id and predicted_boolean_probability; or "
    "those of CareBench, predictions and labels, or pred_class_0 … and label_class_0 …"
)


@dataclass(frozen=True)
class Predictions:
    """What a model predicted.

    Attributes:
        file: its name.
        sha256: of its bytes.
        form: `ours`, `meds` or `carebench`.
        table: one row for each sample, outcome and pattern, which may be empty: `COLUMNS`, of which
            all but `probability` may be missing, and what else is known of a sample as
            `kept_<column>`.
    """

    file: str
    sha256: str
    form: str
    table: pd.DataFrame

    def has(self, column: str) -> bool:
        """Whether the file said so."""
        return column in self.table.columns


@dataclass(frozen=True)
class ExternalEmbeddings:
    """What a model embedded.

    Attributes:
        file: its name.
        sha256: of its bytes.
        samples: whose vector it is.
        modalities: of what.
        z: the vectors.
    """

    file: str
    sha256: str
    samples: np.ndarray
    modalities: np.ndarray
    z: Float[np.ndarray, "row dim"]


def read_predictions(path: Path) -> Predictions:
    """Read a file of predictions.

    Raises:
        DataError: it cannot be read, has no known form, or holds what is no probability, label or
            pattern; with the number of rows of each.
    """
    raw = read_table(path)
    classes = [name for name in raw if str(name).startswith("pred_class_")]
    if classes and "labels" in raw:
        raise DataError(
            f"{path}: predicts {len(classes)} classes of one label; expected a probability for "
            "each label. One of several classes is not a task here: give each a label of its own."
        )
    found = [(name, form(raw)) for name, form in FORMS.items()]
    known = [(name, table) for name, table in found if table is not None]
    if not known:
        raise DataError(
            f"{path}: its columns are {', '.join(map(str, raw.columns))}; expected {FORMS_WORDS}. "
            "Rename them, or add what is missing."
        )
    form, table = known[0]
    problems = [
        f"{path}: {count} of {len(table)} predictions {what}. {do}".rstrip()
        for count, what, do in _faults(table)
        if count
    ]
    problems += [f"{path}: {problem}" for problem in _unknown_patterns(table)]
    if problems:
        raise DataError(*problems)
    return Predictions(path.name, file_sha256(path), form, table)


def read_embeddings(path: Path) -> ExternalEmbeddings:
    """Read a file of embeddings.

    Raises:
        DataError: it cannot be read, lacks columns, or holds vectors of several lengths, NaN, or
            two for one sample and modality.
    """
    raw = read_table(path)
    missing = [name for name in ("sample", "modality") if name not in raw]
    numbers = [name for name in raw.columns if name not in ("sample", "modality")]
    if missing or not numbers:
        raise DataError(
            f"{path}: has no column {', '.join(missing) or 'with numbers'}; expected sample, "
            "modality, and either one column of lists or a column for each number. Add it."
        )
    try:
        if len(numbers) == 1 and raw[numbers[0]].dtype == object:
            z = np.stack([np.asarray(vector, dtype=np.float32) for vector in raw[numbers[0]]])
        else:
            z = raw[numbers].to_numpy(dtype=np.float32)
    except (TypeError, ValueError):
        z = np.zeros((0, 0), dtype=np.float32)
    if z.ndim != 2 or len(z) != len(raw) or not z.size:
        raise DataError(
            f"{path}: its vectors are not numbers of one length; expected the same number of them "
            "in each row. Write them again."
        )
    twice = int(raw.duplicated(["sample", "modality"]).sum())
    holes = int((~np.isfinite(z)).any(axis=1).sum())
    problems = [
        f"{path}: {count} of {len(raw)} rows {what}."
        for count, what in (
            (holes, "have NaN or infinite numbers; leave absent modalities out instead"),
            (twice, "are of a sample and modality that stand there before; keep one of them"),
        )
        if count
    ]
    if problems:
        raise DataError(*problems)
    samples, modalities = raw["sample"].map(parse_key), raw["modality"].astype(str)
    return ExternalEmbeddings(
        path.name, file_sha256(path), samples.to_numpy(), modalities.to_numpy(), z
    )


def row_positions(keys: np.ndarray, samples: Iterable[Any]) -> np.ndarray:
    """The row of each key among the ids of a store's samples; -1 where there is none."""
    rows = {parse_key(sample): row for row, sample in enumerate(samples)}
    return np.array([rows.get(parse_key(key), -1) for key in keys], dtype=np.int64)


def unknown_samples(file: str, rows: np.ndarray, store: CohortStore, *, what: str) -> list[str]:
    """Return a problem if some rows of a file are of samples that the store lacks.

    Args:
        file: its name.
        rows: the row of the store for each row of the file; below 0 where there is none.
        store: holds the samples.
        what: the rows are, in the plural.
    """
    unknown = int((rows < 0).sum())
    if not unknown:
        return []
    return [
        f"{file}: {unknown} of {len(rows)} {what} are of samples that are not in the store of "
        f"cohort '{store.cohort}'; expected its sample ids. Remove the others."
    ]


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a file, with ids as text.

    Raises:
        DataError: it is not there, neither CSV nor Parquet, cannot be read, or is empty.
    """
    reader = next((read for end, read in READERS.items() if path.name.endswith(end)), None)
    if reader is None or not path.is_file():
        problem = "no such file" if not path.is_file() else "neither CSV nor Parquet by its name"
        raise DataError(
            f"{path}: {problem}; expected a file that ends in {', '.join(READERS)}. Nothing else "
            "is read: pickled files can run code."
        )
    try:
        table = reader(path)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}). Write it again."
        ) from None
    if table.empty:
        raise DataError(f"{path}: has no rows; expected some. Write it again.")
    return table


def _ours(raw: pd.DataFrame) -> pd.DataFrame | None:
    if not {"sample", "probability"} <= set(raw.columns):
        return None
    table = raw.rename(columns={"subject_id": "subject"})
    others = [name for name in table.columns if name not in COLUMNS]
    return _typed(table.rename(columns={name: f"kept_{name}" for name in others}))


def _meds(raw: pd.DataFrame) -> pd.DataFrame | None:
    if not {"subject_id", "predicted_boolean_probability"} <= set(raw.columns):
        return None
    names = {
        "subject_id": "subject",
        "boolean_value": "label",
        "predicted_boolean_probability": "probability",
    }
    table = raw.rename(columns=names)
    wanted = (*COLUMNS, "prediction_time")
    return _typed(table.drop(columns=[name for name in table if name not in wanted]))


def _carebench(raw: pd.DataFrame) -> pd.DataFrame | None:
    pairs = _pairs(list(raw.columns))
    if not pairs:
        return None
    names = {"sample": "sample", "subject_id": "subject"}
    ids = {to: raw[name] for name, to in names.items() if name in raw}
    kept = {f"kept_{c.removeprefix('meta_')}": raw[c] for c in raw if str(c).startswith("meta_")}
    tables = [
        pd.DataFrame(
            {
                **ids,
                **({"outcome": outcome} if outcome else {}),
                "label": raw[label],
                "probability": raw[probability],
                "place": np.arange(len(raw)),
                **kept,
            }
        )
        for outcome, probability, label in pairs
    ]
    return _typed(pd.concat(tables, ignore_index=True))


def _pairs(columns: Sequence[Any]) -> list[tuple[str, str, str]]:
    """The outcome, the column of probabilities and that of labels, for each outcome."""
    if {"predictions", "labels"} <= set(columns):
        return [("", "predictions", "labels")]
    numbers = [m[1] for name in columns if (m := re.fullmatch(r"pred_class_(\d+)", str(name)))]
    return [
        (f"class_{number}", f"pred_class_{number}", f"label_class_{number}")
        for number in numbers
        if f"label_class_{number}" in columns
    ]


FORMS = {"ours": _ours, "meds": _meds, "carebench": _carebench}


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Ids as text, numbers as numbers; what is no number becomes NaN, and is counted as such."""
    made: dict[str, Any] = {}
    for name, column in table.items():
        if name in ("sample", "subject"):
            made[str(name)] = [parse_key(value) for value in column]
        elif name == "missingness":
            made[str(name)] = ["" if _is_empty(value) else str(value) for value in column]
        elif name == "label":
            made[str(name)] = np.array([_label(value) for value in column])
        elif name == "probability":
            made[str(name)] = np.array([parse_number(value) for value in column])
        else:
            made[str(name)] = column.to_numpy()
    return pd.DataFrame(made)


def parse_number(value: Any) -> float:
    """What a cell of a table says as a number, yes being 1; NaN where it says none."""
    try:
        return TRUTH[value] if isinstance(value, str) and value in TRUTH else float(value)
    except (TypeError, ValueError):
        return float("nan")


def _label(value: Any) -> float:
    """What a cell says of an outcome; NaN where it is empty, infinity where it is no number."""
    if _is_empty(value):
        return math.nan
    number = parse_number(value)
    return math.inf if math.isnan(number) else number


def _is_empty(value: Any) -> bool:
    """Whether a cell of a table holds nothing: null, NaN, or blank text."""
    blank = isinstance(value, str) and not value.strip()
    return blank or bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _faults(table: pd.DataFrame) -> list[tuple[int, str, str]]:
    probability = table["probability"].to_numpy(dtype=np.float64)
    label = table["label"].to_numpy(dtype=np.float64) if "label" in table else np.zeros(0)
    ids = [name for name in ("sample", "subject") if name in table]
    no_id = np.array([any(pd.isna(value) for value in row) for row in table[ids].to_numpy()])
    one = ["sample"] if "sample" in table else ["subject", "prediction_time", "place"]
    unnamed = table.filter(items=["outcome"]).map(_is_empty).to_numpy(dtype=bool)
    keys = [name for name in (*one, "outcome", "missingness") if name in table]
    found = [
        (np.isnan(probability), "are NaN or no number", "Leave no sample out."),
        (
            (probability < 0) | (probability > 1),
            "lie outside 0 … 1",
            "Scores must be turned into probabilities first, log odds by the logistic function.",
        ),
        (
            ~np.isnan(label) & (label != 0) & (label != 1),
            "have a label that is neither 0 nor 1",
            "Write 0 or false, 1 or true, and nothing where it is not known.",
        ),
        (no_id, "have no id", "Give each one."),
        (unnamed, "do not say which outcome they are of", "Name it in each row."),
        (table.duplicated(keys).to_numpy(), "are of a sample that stands there before", ""),
    ]
    return [(int(np.count_nonzero(at)), what, do) for at, what, do in found]


def _unknown_patterns(table: pd.DataFrame) -> list[str]:
    """What is wrong with the first words that name no pattern of missingness."""
    problems = []
    for word, count in Counter(table.get("missingness", [])).items():
        try:
            parse_pattern(str(word) or "observed")
        except DefinitionError as error:
            problems.append(f"{count} of {len(table)} predictions are under an {error}")
    rest = len(problems) - NAMED
    return problems[:NAMED] + ([f"{rest} more words are no pattern either."] if rest > 0 else [])


def parse_key(value: Any) -> str | None:
    """An id as text, the same whether a table held it as a number or as text; None for none."""
    if _is_empty(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)

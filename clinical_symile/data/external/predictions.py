"""Read the predictions of an external model from a CSV or Parquet file.

The columns say which of three forms a file has:

- own: `sample` and `probability`; perhaps `outcome`, `missingness`, `label`, `subject_id`;
- MEDS: `subject_id`, `prediction_time`, `boolean_value`, `predicted_boolean_probability`;
- CareBench: `predictions` and `labels`, or `pred_class_<n>` and `label_class_<n>`; perhaps
  `meta_<column>`. It has no ids: `sample` and `subject_id` may be added.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clinical_symile.data.external.tables import (
    NAMED,
    is_blank,
    parse_key,
    parse_number,
    read_table,
    rounded_keys,
    table_sha256,
    unused_columns,
)
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.registry.names import check_name, check_names_differ, is_name

# Words that are no patterns, named in one message.
_NAMED_WORDS = 3
_COLUMNS = ("sample", "subject", "outcome", "missingness", "label", "probability")
# One of these is in the first line of every known form.
_KNOWN = ("sample", "probability", "subject_id", "predicted_boolean_probability", "predictions")
# Columns of MEDS that a table keeps, or that say what another one says.
_MEDS_OTHERS = ("prediction_time", "predicted_boolean_value")
_FORMS_TEXT = (
    "sample and probability; or those of MEDS, subject_id and predicted_boolean_probability; or "
    "those of CareBench, predictions and labels, or pred_class_0 … and label_class_0 …"
)


@dataclass(frozen=True, repr=False)
class Predictions:
    """Predictions by an external model.

    Attributes:
        file: its name.
        sha256: the digest of its bytes.
        form: `ours`, `meds` or `carebench`.
        table: one row for each sample, outcome and pattern. Columns: `probability`; perhaps
            `sample`, `subject`, `outcome`, `missingness` (may be empty) and `label`; and what else
            is known of a sample as `kept_<column>`.
        notes: a note that names the columns that no result uses.
    """

    file: str
    sha256: str
    form: str
    table: pd.DataFrame
    notes: tuple[str, ...] = ()

    def has(self, column: str) -> bool:
        """Return True if the file has a column."""
        return column in self.table.columns


def read_predictions(path: Path) -> Predictions:
    """Read a file of predictions.

    Raises:
        DataError: the file cannot be read, has no known form, or holds values that are no
            probability, label or pattern. Messages give numbers of rows.
    """
    raw = read_table(path, known=_KNOWN)
    classes = [name for name in raw if str(name).startswith("pred_class_")]
    if classes and "labels" in raw:
        raise DataError(
            f"{path}: predicts {len(classes)} classes of one label; expected a probability for "
            "each label. No task has several classes: give each class a label of its own.",
            code="CS-M003",
        )
    found = [(name, form(raw)) for name, form in _FORMS.items()]
    known = [(name, table) for name, table in found if table is not None]
    if not known:
        some = ", ".join(str(name)[:60] for name in raw.columns[:NAMED])
        rest = f" and {len(raw.columns) - NAMED} more" if len(raw.columns) > NAMED else ""
        raise DataError(
            f"{path}: its columns are {some}{rest}; expected {_FORMS_TEXT}. Rename them, or add "
            "what is missing.",
            code="CS-M002",
        )
    form, table = known[0]
    _check_columns(path, raw, form)
    problems = rounded_keys(path, raw, ["sample", "subject_id"])
    problems += [
        f"{path}: {count} of {len(table)} predictions {what}. {do}".rstrip()
        for count, what, do in _faults(table)
        if count
    ]
    problems += [f"{path}: {problem}" for problem in _unknown_patterns(table)]
    if problems:
        raise DataError(*problems, code="CS-M004")
    _check_names(path, table)
    notes = tuple(_unused(path.name, raw, form))
    return Predictions(path.name, table_sha256(path), form, table, notes)


def _check_names(path: Path, table: pd.DataFrame) -> None:
    """Refuse outcomes and patterns that cannot become a file, a run or a metric.

    Raises:
        DataError: a name has other characters, or two names differ in their form only.
    """
    problems: list[str] = []
    for what, column in (("outcomes", "outcome"), ("missingness patterns", "missingness")):
        words = [str(word) for word in table[column]] if column in table.columns else []
        names = [word for word in dict.fromkeys(words) if word]
        bad = [name for name in names if not is_name(name)]
        for name in bad[:_NAMED_WORDS]:
            try:
                check_name(name, what=column, where=str(path))
            except DataError as error:
                problems += error.problems
        if len(bad) > _NAMED_WORDS:
            problems.append(f"{path}: {len(bad) - _NAMED_WORDS} more {what} like it.")
        if not bad:
            check_names_differ(names, what=what, where=str(path))
    if problems:
        raise DataError(*problems, code="CS-R014")


def _check_columns(path: Path, raw: pd.DataFrame, form: str) -> None:
    """Refuse columns whose meaning is not certain.

    Raises:
        DataError: subjects are in a column of another name, a probability has no label of its
            number, or two forms are in one file.
    """
    names = [str(name) for name in raw.columns]
    problems = []
    if "subject" in names:
        problems.append(
            f"{path}: has a column subject; expected subject_id, which says which rows are "
            "resampled together. Rename it, or remove it."
        )
    forms = [name for name, key in _FORM_KEYS.items() if key in names]
    if len(forms) > 1:
        keys = " and ".join(_FORM_KEYS[name] for name in forms)
        problems.append(
            f"{path}: has probabilities in several columns, {keys}; expected one. Remove the "
            "others."
        )
    if form == "meds" and {"label", "boolean_value"} <= set(names):
        problems.append(
            f"{path}: has labels in two columns, label and boolean_value; expected one. Remove the "
            "other."
        )
    if form == "carebench":
        numbers = {
            start: {
                name.removeprefix(start) for name in names if re.fullmatch(start + r"\d+", name)
            }
            for start in ("pred_class_", "label_class_")
        }
        alone = numbers["pred_class_"] ^ numbers["label_class_"]
        if alone:
            problems.append(
                f"{path}: {len(alone)} classes have a probability or a label only; expected both. "
                "Add what is missing, or remove the columns."
            )
    if problems:
        raise DataError(*problems, code="CS-M002")


def _unused(file: str, raw: pd.DataFrame, form: str) -> list[str]:
    """Return notes that name the columns that no result uses."""
    names = [str(name) for name in raw.columns]
    if form == "ours":
        others = [name for name in names if name not in (*_COLUMNS, "subject_id")]
        return unused_columns(file, others, kept=True)
    if form == "meds":
        used = ("subject_id", "boolean_value", *_COLUMNS, *_MEDS_OTHERS)
        others = [n for n in names if n not in (*used, "predicted_boolean_probability")]
        return unused_columns(file, others)
    columns = {column for _, *pair in _pairs(names) for column in pair}
    ids = {"sample", "subject_id"}
    meta = [name for name in names if name.startswith("meta_")]
    others = [name for name in names if name not in {*columns, *ids, *meta}]
    return unused_columns(file, others)


def _ours(raw: pd.DataFrame) -> pd.DataFrame | None:
    """Return the table of a file in our own form; None for other forms."""
    if not {"sample", "probability"} <= set(raw.columns):
        return None
    table = raw.rename(columns={"subject_id": "subject"})
    others = [name for name in table.columns if name not in _COLUMNS]
    return _typed(table.rename(columns={name: f"kept_{name}" for name in others}))


def _meds(raw: pd.DataFrame) -> pd.DataFrame | None:
    """Return the table of a file as MEDS models write it; None for other forms."""
    if not {"subject_id", "predicted_boolean_probability"} <= set(raw.columns):
        return None
    names = {
        "subject_id": "subject",
        "boolean_value": "label",
        "predicted_boolean_probability": "probability",
    }
    table = raw.rename(columns=names)
    wanted = (*_COLUMNS, "prediction_time")
    return _typed(table.drop(columns=[name for name in table if name not in wanted]))


def _carebench(raw: pd.DataFrame) -> pd.DataFrame | None:
    """Return the table of a file as CareBench writes it; None for other forms."""
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
    """Return the name, the column of probabilities and that of labels of each outcome."""
    if {"predictions", "labels"} <= set(columns):
        return [("", "predictions", "labels")]
    numbers = [m[1] for name in columns if (m := re.fullmatch(r"pred_class_(\d+)", str(name)))]
    return [
        (f"class_{number}", f"pred_class_{number}", f"label_class_{number}")
        for number in numbers
        if f"label_class_{number}" in columns
    ]


_FORM_KEYS = {
    "ours": "probability",
    "meds": "predicted_boolean_probability",
    "carebench": "predictions",
}
_FORMS = {"ours": _ours, "meds": _meds, "carebench": _carebench}


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Convert ids to text and numbers to numbers; a cell that is no number becomes NaN."""
    made: dict[str, Any] = {}
    for name, column in table.items():
        values = column.to_numpy(dtype=object)  # pandas' strings are slow one by one
        if name in ("sample", "subject"):
            made[str(name)] = [parse_key(value) for value in values]
        elif name == "missingness":
            made[str(name)] = ["" if is_blank(value) else str(value) for value in values]
        elif name == "label":
            made[str(name)] = np.array([_label(value) for value in values])
        elif name == "probability":
            made[str(name)] = np.array([parse_number(value) for value in values])
        else:
            made[str(name)] = column.to_numpy()
    return pd.DataFrame(made)


def _label(value: Any) -> float:
    """Return a cell as a label; NaN if it is empty, infinity if it is no number."""
    if is_blank(value):
        return math.nan
    number = parse_number(value)
    return math.inf if math.isnan(number) else number


def _faults(table: pd.DataFrame) -> list[tuple[int, str, str]]:
    """Return, for each kind of fault, the number of rows, what is wrong, and what to do."""
    probability = table["probability"].to_numpy(dtype=np.float64)
    label = table["label"].to_numpy(dtype=np.float64) if "label" in table else np.zeros(0)
    ids = [name for name in ("sample", "subject") if name in table]
    no_id = np.asarray(table[ids].isna(), dtype=bool).any(axis=1)
    one = ["sample"] if "sample" in table else ["subject", "prediction_time", "place"]
    unnamed = table.filter(items=["outcome"]).map(is_blank).to_numpy(dtype=bool)
    keys = [name for name in (*one, "outcome", "missingness") if name in table]
    found = [
        (np.isnan(probability), "are NaN or no number", "Write a probability in each row."),
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
        (
            table.duplicated(keys).to_numpy(),
            "repeat a sample of an earlier row",
            "Keep one of them.",
        ),
    ]
    return [(int(np.count_nonzero(at)), what, do) for at, what, do in found]


def _unknown_patterns(table: pd.DataFrame) -> list[str]:
    """Return a problem for each of the first words that name no missingness pattern."""
    problems = []
    for word, count in Counter(table.get("missingness", [])).items():
        try:
            parse_pattern(str(word) or "observed")
        except DefinitionError as error:
            problems.append(f"{count} of {len(table)} predictions are under an {error}")
    rest = len(problems) - _NAMED_WORDS
    return problems[:_NAMED_WORDS] + (
        [f"{rest} more words are no pattern either."] if rest > 0 else []
    )

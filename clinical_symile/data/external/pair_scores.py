"""Read the scores that an external model gave to queries and candidates.

A file has one row for each query and candidate. Its columns are `query` and `candidate`, which hold
ids of samples, and `score`, higher is better. A column `missingness` may name the pattern that a
score was computed under, such as `without-ecg`; it says which modalities the query had. Under a
random pattern, each query has the modalities of one such pattern, so its scores are read there.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clinical_symile.data.external.tables import (
    parse_key,
    parse_number,
    read_table,
    rounded_keys,
    table_sha256,
    unused_columns,
)
from clinical_symile.errors import DataError

_COLUMNS = ("query", "candidate", "score")


@dataclass(frozen=True, repr=False)
class PairScores:
    """Scores of queries and candidates by an external model.

    Attributes:
        file: its name.
        sha256: the digest of its bytes.
        table: `query`, `candidate`, `score` and `missingness`, which may be empty.
        notes: a note that names the columns that are not used.
    """

    file: str
    sha256: str
    table: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_pair_scores(path: Path) -> PairScores:
    """Read a file of scores.

    Raises:
        DataError: the file cannot be read, lacks columns, or holds values that are not scores or
            two scores of one pair. Messages give numbers of rows.
    """
    raw = read_table(path, known=_COLUMNS)
    missing = [name for name in _COLUMNS if name not in raw]
    if missing:
        raise DataError(
            f"{path}: has no column {', '.join(missing)}; expected query, candidate and score, and "
            "perhaps missingness. Rename or add it.",
            code="CS-M002",
        )
    given = raw["missingness"].fillna("").astype(str) if "missingness" in raw else ""
    table = pd.DataFrame(
        {
            "query": [parse_key(value) for value in raw["query"]],
            "candidate": [parse_key(value) for value in raw["candidate"]],
            "score": np.array([parse_number(value) for value in raw["score"]]),
            "missingness": given,
        }
    )
    score = table["score"].to_numpy()
    faults = (
        (np.isnan(score), "are NaN or no number; expected finite numbers"),
        (np.isinf(score), "are infinite; leave out pairs that have no score"),
        (
            table[["query", "candidate"]].isna().any(axis=1),
            "have no id of query or candidate; give both",
        ),
        (
            table.duplicated(["query", "candidate", "missingness"]),
            "repeat a pair of an earlier row; keep one of them",
        ),
    )
    problems = rounded_keys(path, raw, ["query", "candidate"])
    problems += [
        f"{path}: {int(np.count_nonzero(at))} of {len(table)} scores {what}."
        for at, what in faults
        if np.count_nonzero(at)
    ]
    if problems:
        raise DataError(*problems, code="CS-M004")
    others = [name for name in raw.columns if name not in (*_COLUMNS, "missingness")]
    notes = tuple(unused_columns(path.name, others))
    return PairScores(path.name, table_sha256(path), table, notes)

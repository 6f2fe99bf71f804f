import re
from collections.abc import Callable

import numpy as np
import pytest

from clinical_symile.data.external.embeddings import read_embeddings
from clinical_symile.errors import DataError


def test_vectors_are_columns_or_lists(write: Callable) -> None:
    ids = {"sample": [1, 1], "modality": ["cxr", "ecg"]}
    lists = read_embeddings(write({**ids, "embedding": [[1.0, 2.0], [3.0, 4.0]]}, "a.parquet"))
    columns = read_embeddings(write({**ids, "e0": [1.0, 3.0], "e1": [2.0, 4.0]}))
    for read in (lists, columns):
        assert read.z.tolist() == [[1, 2], [3, 4]]
        assert read.samples.tolist() == ["1", "1"]
        assert read.modalities.tolist() == ["cxr", "ecg"]


def test_log_variances_are_columns_or_lists_beside_the_vectors(write: Callable) -> None:
    ids = {"sample": [1, 1], "modality": ["cxr", "ecg"]}
    lists = {"embedding": [[1.0, 2.0], [3.0, 4.0]], "log_variance": [[5.0, 6.0], [7.0, 8.0]]}
    columns = {"e0": [1.0, 3.0], "e1": [2.0, 4.0]}
    columns |= {"log_variance1": [5.0, 7.0], "log_variance2": [6.0, 8.0]}
    for read in (
        read_embeddings(write({**ids, **lists}, "a.parquet")),
        read_embeddings(write({**ids, **columns})),
    ):
        assert read.z.tolist() == [[1, 2], [3, 4]]
        assert read.log_variance is not None
        assert read.log_variance.tolist() == [[5, 6], [7, 8]]
        assert read.notes == ()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"sample": [1], "modality": ["cxr"], "e0": [1.0], "e1": [1.0], "log_variance0": [1.0]},
            "1 log variances for vectors of 2 numbers; expected as many",
        ),
        (
            {"sample": [1], "modality": ["cxr"], "e0": [1.0], "log_variance0": [np.inf]},
            "1 of 1 rows have NaN",
        ),
        ({"sample": [1], "modality": ["cxr"], "log_variance0": [1.0]}, "has no column with"),
        (
            {"sample": [1], "modality": ["cxr"], "e0": [1.0], "log_variance3": [1.0]},
            "the columns 'log_variance…' are not numbered from 0 or 1",
        ),
        ({"modality": ["cxr"], "e0": [1.0]}, "has no column sample"),
        ({"sample": [1], "modality": ["cxr"]}, "has no column with numbers"),
        ({"sample": [1, 2], "modality": ["cxr"] * 2, "e": [[1.0], [1.0, 2.0]]}, "of one length"),
        ({"sample": [1], "modality": ["cxr"], "e0": ["a"]}, "not numbers of one length"),
        ({"sample": [1], "modality": ["cxr"], "e0": [np.nan]}, "1 of 1 rows have NaN"),
        ({"sample": [1, 1], "modality": ["cxr"] * 2, "e0": [1.0, 2.0]}, "1 of 2 rows repeat a"),
    ],
)
def test_vectors_that_cannot_be_used_are_told_with_counts(
    columns: dict, message: str, write: Callable
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_embeddings(write(columns, "a.parquet"))

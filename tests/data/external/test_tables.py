import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as parquet
import pytest

from clinical_symile.data.external.embeddings import read_embeddings
from clinical_symile.data.external.pair_scores import read_pair_scores
from clinical_symile.data.external.predictions import read_predictions
from clinical_symile.data.external.tables import file_stem, row_positions
from clinical_symile.errors import DataError
from tests.data.external.conftest import MEDS, OURS, PHENOTYPES

IDS = {"sample": [1, 2], "modality": ["cxr", "ecg"]}


@pytest.mark.parametrize("read", [read_predictions, read_embeddings, read_pair_scores])
@pytest.mark.parametrize(
    "text",
    [
        "SECRET7,0.25,1\nSECRET8,0.5,0\n",
        "SECRET7;0,25;1\nSECRET8;0,5;0\n",
        "SECRET7\t0.25\t1\nSECRET8\t0.5\t0\n",
        "SECRET7,true\nSECRET8,false\n",
        "SECRET7,0.25,0.25\nSECRET8,0.5,0\n",
        "1977-04-01,0.25\n1978-01-01,0.5\n",
    ],
)
def test_a_file_without_names_of_columns_is_refused_without_printing_its_first_row(
    read: Callable, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read(path)
    message = "\n".join(caught.value.problems)
    assert not any(part in message for part in ("SECRET", "0.25", "0,25", "1977"))
    assert "first line" in message


def test_a_table_with_names_of_other_columns_is_named_by_them(write: Callable) -> None:
    with pytest.raises(DataError, match="its columns are id, score; expected"):
        read_predictions(write({"id": [1], "score": [0.5]}))


def test_ids_that_a_table_program_wrote_as_fractions_are_whole(write: Callable) -> None:
    for ids in ([7.0, 8.0, 9.0], ["7", "8.0", "9"]):
        for name in ("a.csv", "a.parquet"):
            table = read_predictions(write({**OURS, "sample": ids}, name)).table
            assert table["sample"].tolist() == ["7", "8", "9"]
    assert read_embeddings(
        write({**IDS, "sample": [1.0, 2.0], "e0": [1.0, 2.0]})
    ).samples.tolist() == [
        "1",
        "2",
    ]
    assert row_positions(pd.Series(["7.0", "8", "x"]).to_numpy(), [8, 7.0]).tolist() == [1, 0, -1]


@pytest.mark.parametrize("ids", [[7.5, 8.0, 9.0], [1.25e17, 8.0, 9.0]])
def test_ids_that_lost_digits_are_refused(ids: list, write: Callable) -> None:
    with pytest.raises(DataError, match="1 of 3 ids in column sample are rounded numbers"):
        read_predictions(write({**OURS, "sample": ids}, "a.parquet"))


def test_ids_in_scientific_form_are_refused(write: Callable) -> None:
    with pytest.raises(DataError, match="3 of 3 ids in column sample are rounded numbers"):
        read_predictions(write({**OURS, "sample": ["1.2e+17", "1.3e+17", "1.4E+17"]}))


def test_two_ids_of_one_number_are_refused_in_a_file_and_in_a_store(write: Callable) -> None:
    with pytest.raises(DataError, match="1 of 3 predictions repeat a sample"):
        read_predictions(write({**OURS, "sample": ["7", "7.0", "8"]}))
    with pytest.raises(DataError, match="1 sample ids of the store are the same number"):
        row_positions(pd.Series(["7"]).to_numpy(), ["7", "7.0"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample,probability,probability\n1,0.5,0.6\n", "its first line repeats 1 names"),
        ("sample,probability\n0,7,0.5\n1,8,0.6\n", "rows have more cells than its first line"),
    ],
)
def test_a_table_whose_cells_have_no_certain_column_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_predictions(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**OURS, "subject": [1, 2, 3]}, "has a column subject; expected subject_id"),
        ({**OURS, "predicted_boolean_probability": 0.5}, "has probabilities in several columns"),
        ({**MEDS, "label": 1}, "has labels in two columns"),
        ({**PHENOTYPES, "pred_class_2": 0.5}, "1 classes have a probability or a label only"),
    ],
)
def test_columns_that_could_be_meant_but_are_not_read_are_refused(
    columns: dict, message: str, write: Callable
) -> None:
    with pytest.raises(DataError, match=message):
        read_predictions(write(columns, "a.parquet"))


def test_columns_that_no_result_uses_are_named(write: Callable) -> None:
    kept = read_predictions(write({**OURS, "age": 7, "row": [1, 2, 3]}))
    assert kept.notes == (
        "file.csv: the columns 'age', 'row' are kept with the samples; no result uses them.",
    )
    meds = read_predictions(write({**MEDS, "fold": 1}))
    assert meds.notes == ("file.csv: the columns 'fold' are not used.",)
    carebench = read_predictions(write({**PHENOTYPES, "pred_ehr": 0.5}))
    assert carebench.notes == ("file.csv: the columns 'pred_ehr' are not used.",)
    pairs = {"query": [1], "candidate": [2], "score": [0.5], "label": [1]}
    assert read_pair_scores(write(pairs)).notes == ("file.csv: the columns 'label' are not used.",)


@pytest.mark.parametrize(
    ("extra", "used"),
    [
        ({"e1": [3.0, 4.0], "e0": [1.0, 2.0], "label": [0, 1]}, [[1, 3], [2, 4]]),
        ({"1": [1.0, 2.0], "2": [3.0, 4.0], "index": [0, 1]}, [[1, 3], [2, 4]]),
        ({"emb_0": [1.0, 2.0], "emb_1": [3.0, 4.0], "label1": [0, 1]}, [[1, 3], [2, 4]]),
    ],
)
def test_only_columns_numbered_alike_make_the_vector(
    extra: dict, used: list, write: Callable
) -> None:
    read = read_embeddings(write({**IDS, **extra}))
    assert read.z.tolist() == used
    assert len(read.notes) == 1


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"e0": [1.0] * 2, "e1": [1.0] * 2, "f0": [1.0] * 2, "f1": [1.0] * 2}, "several sets"),
        ({"e0": [1.0] * 2, "e2": [1.0] * 2}, "not numbered from 0 or 1 without a gap"),
        ({"e1": [1.0] * 2, "e01": [1.0] * 2}, "not numbered from 0 or 1 without a gap"),
        ({"label": [0, 1], "age": [50, 60]}, "has no column with numbers"),
        ({"a": [[1.0], [2.0]], "b": [[1.0], [2.0]]}, "several sets"),
    ],
)
def test_a_vector_whose_columns_are_not_certain_is_refused(
    extra: dict, message: str, write: Callable
) -> None:
    with pytest.raises(DataError, match=message):
        read_embeddings(write({**IDS, **extra}, "a.parquet"))


def test_shards_with_other_columns_are_refused(tmp_path: Path) -> None:
    pd.DataFrame(OURS).to_parquet(tmp_path / "0.parquet")
    pd.DataFrame({**OURS, "label": 1}).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(DataError, match="1 of its 2 Parquet files have other columns"):
        read_predictions(tmp_path)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.csv", "a"),
        ("a.b.csv.gz", "a.b"),
        ("a.parquet", "a"),
        ("folder", "folder"),
        (".csv", ""),
        ("..csv", "."),
    ],
)
def test_a_run_is_named_by_its_file_without_the_ending(name: str, stem: str) -> None:
    assert file_stem(Path(name)) == stem


def test_a_message_on_a_modality_names_few_words(write: Callable) -> None:
    columns = {"sample": range(5), "modality": [f"m{n}" for n in range(5)], "e0": 1.0}
    read = read_embeddings(write(columns))
    assert len(set(read.modalities)) == 5
    assert re.fullmatch(r"[0-9a-f]{64}", read.sha256)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_predictions_of_any_encoding_are_the_same(tmp_path: Path, name: str, encoding: str) -> None:
    text = "predictions,labels,meta_Größe,sample\n0.1,0,Müller,é1\n0.9,1,Müller,é2\n"
    content = text.encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    table = read_predictions(tmp_path / name).table
    assert table["sample"].tolist() == ["é1", "é2"]
    assert table["kept_Größe"].tolist() == ["Müller"] * 2


def test_parquet_whose_notes_by_pandas_are_damaged_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "scores.parquet"
    pd.DataFrame({"query": ["1"], "candidate": ["2"], "score": [0.5]}).to_parquet(file)
    table = parquet.read_table(file)
    notes = (table.schema.metadata or {})[b"pandas"]
    for old, new in ((b'"pandas_type"', b'"pandas_typ0"'), (b'"columns"', b'"column0"')):
        changed = table.replace_schema_metadata({b"pandas": notes.replace(old, new)})
        parquet.write_table(changed, file)
        with pytest.raises(DataError, match=r"scores\.parquet: cannot be read"):
            read_pair_scores(file)

"""The files of external models are evaluated from Python as by the command line."""

from pathlib import Path
from typing import Any

import pytest

from clinical_symile.api.external import evaluate_file
from clinical_symile.errors import DataError


@pytest.mark.parametrize("kind", ["predictions", "embeddings", "scores"])
@pytest.mark.parametrize("name", ["oracle.csv", "prevalence.parquet", "mlruns.csv.gz"])
def test_a_file_with_the_name_of_a_reference_is_to_be_renamed_or_named(
    kind: str, name: str, tmp_path: Path
) -> None:
    file, stem = tmp_path / name, name.partition(".")[0]
    objective = "clip" if kind == "embeddings" else None
    given: dict[str, Any] = {kind: file}
    with pytest.raises(DataError) as caught:
        evaluate_file(**given, out=tmp_path / "out", store="store", objective=objective)
    said = str(caught.value)
    assert said.startswith(f"{file}: '{stem}' is the name of ")
    assert "Give one with --name, or rename the file." in said
    assert "folder." not in said
    assert not (tmp_path / "out").exists()


def test_exactly_one_file_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 files; expected predictions, embeddings or scores"):
        evaluate_file(out=tmp_path)
    with pytest.raises(ValueError, match="2 files; expected"):
        evaluate_file(predictions="a.csv", scores="b.csv", out=tmp_path)
    with pytest.raises(ValueError, match="embeddings need an objective"):
        evaluate_file(embeddings="a.csv", out=tmp_path)

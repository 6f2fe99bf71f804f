"""The situations of `../shared/cases/models`, by their own files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.cli.main import main
from clinical_symile.data.store import CohortStore
from clinical_symile.tracking.results import Result, is_withheld
from clinical_symile.tracking.run import Run

pytestmark = pytest.mark.usefixtures("few_resamples", "no_analyses", "no_mlflow_copies")


@pytest.fixture
def cases(shared: Path) -> Path:
    return shared / "cases" / "models"


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """A function that runs `evaluate`, and returns its status and all that it printed."""

    def evaluate(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments)])
        shown = capsys.readouterr()
        return int(str(ended.value.code)), " ".join((shown.out + shown.err).split())

    return evaluate


def _results(folder: Path, name: str) -> dict[tuple[str, str, str], Result]:
    rows = Run(folder / "runs" / name).results
    return {(row.task, row.missingness, row.metric): row for row in rows}


def _numbers(folder: Path, name: str) -> dict[tuple[str, str, str], tuple[float, float, float]]:
    return {key: (r.value, r.low, r.high) for key, r in _results(folder, name).items()}  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(
    "stray",
    [
        "label",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("subject_id", "Unnamed: 0")),
    ],
)
def test_01_a_column_beside_the_vector_is_named_and_changes_no_number(
    stray: str, evaluate: Callable, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    samples, rng = synthetic_store.samples, np.random.default_rng(0)
    columns, rows = np.nonzero(synthetic_store.present.T)
    table = pd.DataFrame(rng.normal(size=(len(rows), 16)), columns=[f"e{k}" for k in range(16)])
    table.insert(0, "modality", np.array(synthetic_store.modalities)[columns])
    table.insert(0, "sample", samples["sample"].to_numpy()[rows])
    table.to_csv(tmp_path / "plain.csv", index=False)
    label = samples["outcome_deterioration"].fillna(0).astype(int)
    values = {"label": label, "subject_id": samples["subject"], "Unnamed: 0": samples.index}
    beside = table.assign(**{stray: values[stray].to_numpy()[rows]})
    beside.to_csv(tmp_path / "beside.csv", index=False)
    for name in ("plain", "beside"):
        status, shown = evaluate(
            *("--embeddings", tmp_path / f"{name}.csv", "--store", synthetic_store.path),
            *("--objective", "clip", "--out", tmp_path / name),
            *("--tasks", "classification/deterioration,retrieval/cxr_given_ecg_labs"),
        )
        assert status == 0
        assert (f"beside.csv: the columns '{stray}' are not used." in shown) == (name == "beside")
    plain = _numbers(tmp_path / "plain", "plain")
    assert plain == _numbers(tmp_path / "beside", "beside")
    assert max(value for (_, _, metric), (value, *_) in plain.items() if metric == "auroc") < 0.95


def test_03_a_file_of_the_same_name_is_refused_and_gets_another_by_name(
    evaluate: Callable, cases: Path, tmp_path: Path
) -> None:
    first, second = (cases / "03_same_file_name_replaces" / one / "predictions.csv" for one in "AB")
    out = tmp_path / "same"
    assert evaluate("--predictions", first, "--out", out)[0] == 0
    before = _numbers(out, "predictions")
    status, shown = evaluate("--predictions", second, "--out", out)
    assert status == 1
    assert "a run of predictions 'predictions.csv' has this name" in shown
    assert "Give another one with --name" in shown
    assert _numbers(out, "predictions") == before
    assert evaluate("--predictions", second, "--out", out, "--name", "second")[0] == 0
    key = ("classification/outcome", "observed", "auroc")
    values = [_numbers(out, name)[key][0] for name in ("predictions", "second")]
    assert values == [pytest.approx(0.865, abs=5e-4), pytest.approx(0.589, abs=5e-4)]
    # The same file again changes nothing.
    assert evaluate("--predictions", first, "--out", out)[0] == 0
    assert _numbers(out, "predictions") == before


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("n1.csv", "it has <10 samples of <10 subjects"),
        ("n2.csv", "it has <10 samples of <10 subjects"),
        ("one_subject.parquet", "it has 120 samples of <10 subjects"),
    ],
)
def test_05_too_few_rows_are_refused_with_the_reason_and_leave_room_for_the_next_file(
    file: str, reason: str, evaluate: Callable, cases: Path, tmp_path: Path
) -> None:
    few = cases / "05_too_few_says_train_first" / file
    status, shown = evaluate("--predictions", few, "--out", tmp_path / "o")
    assert status == 1
    assert f"{reason}: an interval over subjects needs at least 2" in shown
    assert "rain" not in shown
    enough = cases / "03_same_file_name_replaces" / "A" / "predictions.csv"
    assert evaluate("--predictions", enough, "--out", tmp_path / "o", "--name", few.stem)[0] == 0


def test_06_an_outcome_that_nobody_has_does_not_silence_the_others(
    evaluate: Callable, cases: Path, tmp_path: Path
) -> None:
    file = cases / "06_one_outcome_of_several_without_positives" / "carebench_multi_oneclass.csv"
    status, shown = evaluate("--predictions", file, "--out", tmp_path, "--name", "several")
    assert status == 0
    assert "class_1: AUROC needs both classes" in shown
    assert "The mean auroc leaves this outcome out." in shown
    assert "withheld" not in shown
    rows = {metric: row for (_, _, metric), row in _results(tmp_path, "several").items()}
    assert not is_withheld(rows["auroc"])
    assert not is_withheld(rows["auroc/class_0"])
    assert is_withheld(rows["brier"])  # it is over all outcomes, and one has no positives
    found = {metric: row.value for metric, row in rows.items()}
    table = pd.read_csv(file)
    for metric in ("auroc", "auprc", "brier"):
        scored = [n for n in range(3) if metric == "brier" or n != 1]
        assert {f"{metric}/class_{n}" for n in range(3) if f"{metric}/class_{n}" in found} == {
            f"{metric}/class_{n}" for n in scored
        }
        mean = np.mean([found[f"{metric}/class_{n}"] for n in scored])
        assert found[metric] == pytest.approx(mean)
    for n in (0, 2):
        risk, label = table[f"pred_class_{n}"].to_numpy(), table[f"label_class_{n}"].to_numpy()
        pairs = np.sign(risk[label == 1][:, None] - risk[label == 0][None, :])
        assert found[f"auroc/class_{n}"] == pytest.approx((1 + pairs.mean()) / 2)


@pytest.mark.parametrize("folder", ["d.parquet", "d"])
def test_08_a_folder_of_parquet_shards_is_read_as_one_table(
    folder: str, evaluate: Callable, cases: Path, tmp_path: Path
) -> None:
    whole = cases / "08_folder_of_parquet_no_such_file" / "meds_ok.parquet"
    table = pd.read_parquet(whole)
    shards = tmp_path / folder
    (shards / "label=1").mkdir(parents=True)
    table.iloc[:50].to_parquet(shards / "0.parquet", index=False)
    table.iloc[50:].to_parquet(shards / "label=1" / "1.parquet", index=False)
    table.iloc[:0].to_parquet(shards / "2.parquet", index=False)
    (shards / "_SUCCESS").touch()
    shutil.copy(whole, tmp_path / "whole.parquet")
    assert evaluate("--predictions", tmp_path / "whole.parquet", "--out", tmp_path / "a")[0] == 0
    assert evaluate("--predictions", shards, "--out", tmp_path / "b")[0] == 0
    assert _numbers(tmp_path / "a", "whole") == _numbers(tmp_path / "b", "d")
    (tmp_path / "empty").mkdir()
    status, shown = evaluate("--predictions", tmp_path / "empty", "--out", tmp_path / "c")
    assert status == 1
    assert "is a folder without Parquet files" in shown

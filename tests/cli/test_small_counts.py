"""No verb prints a count of people below ten, or numbers that it follows from."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.hospital import Hospital

Run = Callable[..., tuple[int, str, str]]
# A small number in a cell of a table, after a colon or before what it counts.
SMALL = re.compile(
    r"│ *[1-9] *(?=│)|: [1-9] \("
    r"|\b[1-9] (?:\w+ )?(?:samples?|subjects?|rows?|values?|recordings?)\b"
)


def no_small_count(text: str) -> None:
    """Check that a text counts nobody below ten, but in what it asks for."""
    found = [
        one
        for one in SMALL.finditer(text)
        if not re.search(r"(least|most|than|expected) $", text[: one.start()])
    ]
    assert found == []


def test_preparing_and_auditing_a_small_hospital(
    run: Run, prepare: list[str | Path], hospital: Hospital, tmp_path: Path
) -> None:
    (hospital.source / "xray/100.jpg").write_bytes(b"no image")
    (hospital.source / "ecg/101.dat").write_bytes(b"")
    dry = [word for word in prepare if word not in ("--out", hospital.out)]
    catalog = ["--catalog", tmp_path]
    check = [*catalog, "check", "--cohort", "small", "--source", hospital.source]
    for command in (
        [*dry, "--dry-run"],
        prepare,
        prepare,
        check,
        [*catalog, "audit", hospital.out],
        [*catalog, "card", hospital.out, "--out", tmp_path / "card.html"],
        [*catalog, "list", "cohorts"],
    ):
        _, shown, said = run(*command)
        assert shown or said
        no_small_count(shown + said)
    assert "<10" in run(*prepare)[1]


def _write(hospital: Hospital, train: int, held_out: int) -> None:
    """Repeat the complete admissions: some in train, some held out, nine in tuning."""
    whole = hospital.admissions.query("admission in [100, 101, 105, 106, 107]")
    total = train + held_out + 12
    table = pd.concat([whole] * (total // len(whole) + 1)).head(total).reset_index(drop=True)
    table["admission"] = table["person"] = range(1000, 1000 + total)
    table["split"] = ["train"] * train + ["held_out"] * held_out + ["tuning"] * 12
    hospital.write(table)


def test_totals_and_parts_tell_no_small_count(
    run: Run, prepare: list[str | Path], hospital: Hospital
) -> None:
    _write(hospital, train=30, held_out=11)
    table = hospital.admissions
    table.loc[[0, 1, 2], "ecg"] = None  # three without an ECG
    table.loc[[30, 31], ["xray", "ecg", "crea", "k"]] = None  # two with nothing
    hospital.write(table)
    dry = [word for word in prepare if word not in ("--out", hospital.out)]
    _, shown, _ = run(*dry, "--dry-run")
    # 53 rows, 51 read, 2 left out, 3 without an ECG, 9 held out.
    assert "53 rows in the tables, >43 would be read" in shown
    assert "left out: <10 (nothing-recorded)" in shown
    assert "held_out: <10 samples of <10 subjects" in shown
    _, stored, _ = run(*prepare)
    assert ">43 samples" in stored
    for text in (shown, stored):
        numbers = {int(n) for n in re.findall(r"(?<![<>≥\w.])\d+(?![\w.])", text)}
        assert numbers.isdisjoint({51, 2, 3, 9})
    shown = stored
    cells = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in shown.splitlines()
        if line.startswith("│")
    ]
    by_split = {row[0]: row[1:] for row in cells}
    assert by_split["train"] == ["30", "30", "30", ">20", "30"]
    assert set(by_split["held_out"]) == {"<10"}
    assert by_split["tuning"][0] == "12"  # the 11 others are held out or left out
    assert json.loads((hospital.out / "manifest.json").read_text())["left_out"] == {
        "nothing-recorded": 2
    }


def test_evaluating_comparing_and_reporting(
    run: Run, benchmark_folder: Path, tmp_path: Path
) -> None:
    store = ["--store", benchmark_folder / "store"]
    runs = [benchmark_folder / "runs" / name for name in ("symile-0", "clip-0")]
    patterns = "complete,observed,without-ecg,mcar-30,mnar-30"
    for command in (
        ["evaluate", runs[0], *store, "--missingness", patterns],
        ["compare", *runs, *store, "--out", tmp_path / "compared"],
        ["report", "benchmark", "--out", benchmark_folder],
    ):
        status, shown, said = run(*command)
        assert status == 0, said
        no_small_count(shown + said)
        sizes = _sizes(shown)
        apart = {abs(one - other) for one in sizes for other in sizes}
        assert not apart & set(range(1, 10)), "a small count follows by subtraction"


def _sizes(shown: str) -> set[int]:
    """The exact numbers of samples in a table of results."""
    lines = [line for line in shown.splitlines() if line[:1] in "│┃"]
    heads = [
        place for line in lines for place, cell in enumerate(line.split("┃")) if cell.strip() == "n"
    ]
    if not heads:
        return set()
    cells = [line.split("│")[heads[0]].strip() for line in lines if line.startswith("│")]
    return {int(cell) for cell in cells if cell.isdigit()}


@pytest.mark.parametrize("few", [3, 9])
def test_predictions_on_few_people(run: Run, tmp_path: Path, few: int) -> None:
    table = pd.DataFrame(
        {
            "subject_id": range(few),
            "prediction_time": "2020-01-01",
            "boolean_value": [n % 2 == 1 for n in range(few)],
            "predicted_boolean_probability": [0.3 + 0.4 * (n % 2) for n in range(few)],
        }
    )
    table.to_csv(tmp_path / "p.csv", index=False)
    _, shown, said = run("evaluate", "--predictions", tmp_path / "p.csv", "--out", tmp_path / "o")
    no_small_count(shown + said)

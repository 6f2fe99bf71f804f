import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from clinical_symile.errors import DataError
from clinical_symile.tracking.results import (
    Comparison,
    Result,
    SkippedResult,
    is_significant,
    is_withheld,
    read_rows,
    write_rows,
)

RESULT = Result(
    run="symile-0",
    cohort="synthetic",
    task="retrieval/cxr_given_ecg_labs",
    split="held_out",
    missingness="mcar-30",
    metric="recall_at_1",
    value=0.1 + 0.2,
    low=1 / 3,
    high=2 / 3,
    interval="bca",
    chance=None,
    n_samples=120,
    n_subjects=60,
    hidden={"ecg": 0.0, "labs": 0.0},
    mask="0123",
    seed=0,
    digest="0123456789abcdef",
)
COMPARISON = Comparison(
    run="symile-0",
    baseline="clip-0",
    cohort="synthetic",
    task="retrieval/cxr_given_ecg_labs",
    split="held_out",
    missingness="complete",
    metric="recall_at_1",
    difference=-0.125,
    low=-0.25,
    high=1e-300,
    n_samples=120,
    n_subjects=60,
    digest="0123456789abcdef",
)
UNSCORED = SkippedResult(
    run="clip-0",
    cohort="st_élsewhere",
    task="classification/cardiomegaly",
    missingness="complete",
    reason="a probe cannot be fitted:\nno sample.",
    digest="0123456789abcdef",
)


@pytest.mark.parametrize("row", [RESULT, COMPARISON, UNSCORED], ids=lambda row: type(row).__name__)
def test_rows_are_read_as_they_were_written(
    row: Result | Comparison | SkippedResult, tmp_path: Path
) -> None:
    rows = [row, replace(row, run="another")]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl", type(row)) == rows
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2


def test_no_rows_are_a_file_without_lines(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", [])
    assert read_rows(tmp_path / "rows.jsonl", Result) == []


def test_a_file_that_is_not_whole_never_takes_the_name(tmp_path: Path) -> None:
    def stopped() -> Iterator[Result]:
        yield RESULT
        raise KeyboardInterrupt

    path = tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_rows(path, stopped())
    assert not path.exists()
    write_rows(path, [RESULT])
    with pytest.raises(KeyboardInterrupt):
        write_rows(path, stopped())
    assert read_rows(path, Result) == [RESULT]


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file; expected results\. Run `clinical-symile"):
        read_rows(tmp_path / "results.jsonl", Result)


def test_every_kind_of_line_that_is_no_such_row_is_told_once(tmp_path: Path) -> None:
    whole = json.dumps(asdict(RESULT))
    without = json.dumps({k: v for k, v in asdict(RESULT).items() if k != "low"})
    more = json.dumps({**asdict(RESULT), "colour": "red"})
    lines = [whole, without, whole[:40], "[]", whole, more, without]
    (tmp_path / "results.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / "results.jsonl", Result)
    first, second, third = caught.value.problems
    assert "line 2: a result of another version: it lacks low. Remove results.jsonl and" in first
    assert "line 3: not a result; expected the fields run, cohort" in second
    assert "line 6: a result of another version: it has colour." in third


def test_a_difference_is_settled_by_its_interval_and_after_adjusting() -> None:
    def row(low: float, p_holm: float | None) -> Comparison:
        return Comparison(
            run="a-0",
            baseline="b-0",
            cohort="synthetic",
            task="retrieval/cxr_given_ecg_labs",
            split="held_out",
            missingness="complete",
            metric="recall_at_1",
            difference=0.1,
            low=low,
            high=0.2,
            n_samples=9,
            n_subjects=9,
            digest="same",
            p_holm=p_holm,
        )

    cases = [(0.01, None, True), (-0.01, None, False), (0.01, 0.04, True), (0.01, 0.06, False)]
    for low, p_holm, settled in [*cases, (-0.01, 0.04, False)]:
        assert is_significant(row(low, p_holm)) == settled


def test_a_result_on_fewer_than_ten_is_withheld() -> None:
    assert not is_withheld(RESULT)
    for few in ({"n_samples": 9}, {"n_subjects": 9}, {"n_smallest_class": 9}):
        assert is_withheld(replace(RESULT, **few))
    assert not is_withheld(replace(RESULT, n_smallest_class=10))

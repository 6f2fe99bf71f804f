from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from clinical_symile.missingness.patterns import every_pattern, parse_pattern
from clinical_symile.reporting.first_screen import MISMATCH_FINDINGS
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.result_lookup import ResultTable
from clinical_symile.reporting.sections.modality_mismatch import (
    MODALITY_MISMATCH,
    mismatch_matrices,
    relation,
)
from clinical_symile.tracking.results import Result, SkippedResult
from tests.helpers.report_data import MODALITIES, OUTCOME, TASKS, made_cohort

EVERY = every_pattern(MODALITIES)
SETS = {name: tuple(parse_pattern(name).visible_modalities(MODALITIES)) for name in EVERY}


def _run(pattern: str, seed: int, objective: str = "outcome") -> dict[str, Any]:
    metric = "auroc" if objective == "outcome" else "mean_reciprocal_rank"
    return {
        "name": f"{objective}_{pattern}-{seed}",
        "task": f"pretraining/{objective}_{pattern}",
        "seed": seed,
        "definition": {
            "objective": {"name": objective},
            "missingness": pattern,
            "modalities": list(MODALITIES),
            "selection": {"metric": metric},
        },
    }


def _value(trained: str, met: str, seed: int = 0) -> float:
    """0.9 where the sets are the same, 0.1 less for each modality that differs."""
    return 0.9 - 0.1 * len({*SETS[trained]} ^ {*SETS[met]}) + 0.02 * seed


def _result(run: str, met: str, value: float) -> Result:
    return Result(
        run=run,
        cohort="synthetic",
        task=OUTCOME,
        split="held_out",
        missingness=met,
        metric="auroc",
        value=value,
        low=value - 0.03,
        high=value + 0.03,
        interval="bca",
        chance=0.5,
        n_samples=512,
        n_subjects=400,
        hidden={},
        mask="0123",
        seed=0,
        digest="0123456789abcdef",
    )


def _skipped(run: str, met: str) -> SkippedResult:
    about = {"run": run, "cohort": "synthetic", "task": OUTCOME, "missingness": met}
    return SkippedResult(**about, reason="learned nothing.", digest="0" * 16, code="CS-S020")


def _data(seeds: tuple[int, ...] = (0,), trained: list[str] = EVERY, **names: str) -> ReportData:
    runs = [_run(pattern, seed, **names) for pattern in trained for seed in seeds]
    results, unscored = [], []
    for run in runs:
        pattern = run["definition"]["missingness"]
        for met in EVERY:
            if relation(SETS[pattern], SETS[met]) == "transferred":
                unscored.append(_skipped(run["name"], met))
            else:
                value = _value(pattern, met, run["seed"])
                results.append(_result(run["name"], met, value))
    tasks = {OUTCOME: TASKS[OUTCOME]}
    return ReportData(
        results=results, tasks=tasks, runs=runs, unscored=unscored, cohort=made_cohort()
    )


def _content(section: Any, data: ReportData) -> Any:
    return section.draw(**{need: getattr(data, need) for need in section.needs})


def test_the_49_cells_are_7_matched_12_of_each_kind_and_6_exchanged() -> None:
    counts = Counter(relation(row, column) for row in SETS.values() for column in SETS.values())
    assert counts == {
        "the same": 7,
        "missing": 12,
        "added": 12,
        "transferred": 12,
        "exchanged": 6,
    }


@pytest.mark.parametrize("size", [1, 2, 3])
def test_relations_are_those_of_sets(size: int) -> None:
    for row in combinations(MODALITIES, size):
        for column in SETS.values():
            kind, shared = relation(row, column), {*row} & {*column}
            assert (kind == "transferred") == (not shared)
            assert (kind == "the same") == (shared == {*row} == {*column})
            assert (kind == "missing") == (shared == {*column} and len(row) > len(column))
            assert (kind == "added") == (shared == {*row} and len(row) < len(column))


def test_means_worst_cases_and_drops_are_those_worked_by_hand() -> None:
    # A cell with k modalities that differ has 0.9 - 0.1 k. Of the 12 cells where some are missing,
    # 3 + 6 differ by one and 3 by two: mean 0.9 - 0.1 (9 + 6) / 12 = 0.775, worst 0.7; all
    # diagonals are 0.9, so the mean drop is 0.125 / 0.9 = 13.9 % and the largest 0.2 / 0.9.
    content = _content(MODALITY_MISMATCH, _data())
    heat, summary = content.panels
    body = {row[0]: row[1:] for row in summary.body}
    assert body["the same"][:3] == ["7 of 7", "0.900", "0.900"]
    assert body["missing"] == [
        "12 of 12",
        "0.775",
        "0.700",
        "chest X-ray, ECG and labs; met with chest X-ray",
        "13.9 %",
        "22.2 %",
    ]
    assert body["added"][:3] == ["12 of 12", "0.775", "0.700"]
    assert body["exchanged"][:3] == ["6 of 6", "0.700", "0.700"]
    assert body["transferred"][:2] == ["0 of 12", "not possible"]
    cells = {row[0]: row[1:] for row in heat.body}
    assert cells["ECG"][SETS_IN_ORDER.index(("cxr",))] == "not possible"
    assert cells["ECG"][SETS_IN_ORDER.index(("ecg",))].startswith("0.900 (0.870")


SETS_IN_ORDER = list(SETS.values())


def test_the_diagonal_is_each_runs_own_result_and_seeds_are_averaged() -> None:
    data = _data()
    [matrix] = mismatch_matrices(ResultTable(data.results), data.runs, (), tasks=data.tasks)
    for pattern, modalities in SETS.items():
        own = data.scores.get(f"outcome_{pattern}-0", OUTCOME, pattern, "auroc")
        assert own is not None
        assert matrix.value(modalities, modalities) == own.value
        assert matrix.drop(modalities, modalities) == 0
    seeded = _data(seeds=(0, 1))
    [matrix] = mismatch_matrices(ResultTable(seeded.results), seeded.runs, (), tasks=data.tasks)
    assert matrix.value(("cxr",), ("cxr", "ecg")) == pytest.approx(0.81)
    panel = _content(MODALITY_MISMATCH, seeded).panels[0]
    assert panel.body[0][1] == "0.910 (mean of 2 seeds)"


def test_what_cannot_be_trained_is_said_with_the_reason() -> None:
    pairs = [name for name in EVERY if len(SETS[name]) > 1]
    caption = _content(MODALITY_MISMATCH, _data(trained=pairs, objective="clip")).caption
    assert "CLIP cannot be trained with chest X-ray; ECG; labs alone" in caption
    assert "no run" not in caption
    supervised = _content(MODALITY_MISMATCH, _data(trained=pairs)).caption
    assert "has no run trained with chest X-ray; ECG; labs here" in supervised


def test_runs_that_learn_from_a_drawn_pattern_or_differ_otherwise_share_no_matrix() -> None:
    data = _data(trained=["complete", "without-ecg"])
    other = [dict(run) for run in data.runs]
    other[1]["definition"] = {**other[1]["definition"], "dim": 8}
    assert not mismatch_matrices(data.scores, other, (), tasks=data.tasks)
    drawn = [dict(run) for run in data.runs]
    drawn[1]["definition"] = {**drawn[1]["definition"], "missingness": "mcar-30"}
    assert not mismatch_matrices(data.scores, drawn, (), tasks=data.tasks)
    assert (
        MODALITY_MISMATCH.draw(scores=data.scores, runs=drawn, unscored=(), tasks=data.tasks)
        is None
    )


def test_the_first_screen_states_means_and_worst_cases() -> None:
    content = _content(MISMATCH_FINDINGS, _data())
    [sentence] = content.values["sentences"]
    assert "AUROC is 0.90 on average with the modalities of training; 0.78 on average where" in (
        sentence.replace("\N{NO-BREAK SPACE}", " ")
    )
    assert "worst 0.70 (trained with chest X-ray, ECG and labs; met with chest X-ray)" in sentence
    assert sentence.endswith("and transfer to other modalities is not possible.")
    withheld = replace(_data(), unscored=())  # no result, but for another reason
    [sentence] = _content(MISMATCH_FINDINGS, withheld).values["sentences"]
    assert "not possible" not in sentence
    assert content.panels[0].picture.name == "answer"
    assert content.legend is None

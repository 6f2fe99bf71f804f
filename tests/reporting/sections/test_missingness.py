from dataclasses import replace
from typing import Any

import pytest

from clinical_symile.reporting.result_lookup import ResultTable, Series
from clinical_symile.reporting.sections.missingness import (
    degradation_panels,
    draw_degradation,
    retained_share_panels,
    trained_with_panels,
)
from clinical_symile.tracking.results import Comparison
from tests.helpers.figures import svg_of
from tests.helpers.one_risk_task import ABOUT, PATTERNS, RESULT, TASKS, falling_scores

SERIES = [
    Series("a-0", "masked cube", "masked cube", 0, 0),
    Series("b-0", "learned", "learned", 1, 0),
]


@pytest.fixture
def scores() -> ResultTable:
    return falling_scores()


def test_degradation_goes_from_nothing_missing_to_the_highest_rate_of_a_mechanism(scores):
    by_chance, severe = degradation_panels(scores, tasks=TASKS, series=SERIES)
    assert by_chance.head == ["run", "0 % missing", "10 % missing", "50 % missing"]
    assert severe.head == ["run", "0 % missing", "50 % missing"]
    assert by_chance.body[0] == [
        "masked cube",
        "0.800 (0.750 to 0.850)",
        "0.700 (0.750 to 0.850)",
        "0.650 (0.750 to 0.850)",
    ]
    assert by_chance.body[-1] == ["oracle", "0.800", "0.700", "0.650"]
    assert "% of each modality missing" in svg_of(by_chance)
    assert ">AUROC<" in svg_of(by_chance)
    assert by_chance.across


def test_degradation_within_a_modality_has_a_panel_for_each_kind_of_part():
    patterns = (
        *("complete", "ecg-segment-5s", "ecg-segment-0.5s", "cxr-region-25", "cxr-region-50"),
        "labs-mcar-50",
    )
    scores = ResultTable(
        replace(RESULT, run=run, missingness=pattern, value=0.8 - 0.1 * place)
        for run in ("a-0", "b-0")
        for place, pattern in enumerate(patterns)
    )
    segment, region = degradation_panels(scores, tasks=TASKS, series=SERIES)
    assert segment.title == "Predict died from chest X-ray and ECG (ECG: a segment lost): AUROC"
    assert segment.head == ["run", "0 s missing", "0.5 s missing", "5 s missing"]
    assert [cell[:5] for cell in segment.body[0][1:]] == ["0.800", "0.600", "0.700"]
    assert "seconds of the signal missing" in svg_of(segment)
    assert region.head == ["run", "0 % missing", "25 % missing", "50 % missing"]
    assert "% of the image covered" in svg_of(region)
    names = {panel.picture.name for panel in (segment, region) if panel.picture is not None}
    assert len(names) == 2


def test_degradation_says_which_end_of_severity_is_worse(scores):
    def caption(numbers: dict[str, float | None]) -> str:
        rows = [
            replace(row, mask_statistics=numbers if row.missingness == "mnar-50" else {})
            for row in scores.of(task=next(iter(TASKS)))
        ]
        content = draw_degradation(
            scores=ResultTable(rows), tasks=TASKS, series=SERIES, methods=SERIES, has_oracle=False
        )
        assert content is not None
        return str(content.caption)

    slopes: dict[str, float | None] = {"slope/cxr": 1.5, "slope/ecg": 1.5}
    assert caption(slopes).endswith("Which end is worse is arbitrary.")
    declared: dict[str, float | None] = slopes | {"severity/ecg/died": 0.6}
    assert "at which, in the train split, died is more common" in caption(declared)
    assert caption(declared).endswith(
        "For modalities without such an outcome the end is arbitrary."
    )
    assert "arbitrary" not in caption(declared | {"severity/cxr/died": 0.6})


def apart(pattern: str, **changes: Any) -> Comparison:
    """That the first run is better than the second under a pattern, beyond doubt."""
    told: dict[str, Any] = {"difference": 0.1, "low": 0.05, "high": 0.15, "p_holm": 0.001}
    about: dict[str, Any] = {"run": "a-0", "baseline": "b-0", "split": "held_out"}
    sizes: dict[str, Any] = {"n_samples": 100, "n_subjects": 90}
    about |= {**ABOUT, **sizes, **told, "missingness": pattern, "metric": "auroc"}
    return Comparison(**{**about, **changes})


def test_the_matrix_has_a_column_for_each_run_and_a_row_for_each_pattern(scores):
    comparisons = [apart("complete"), apart("site", p_holm=0.2)]
    (panel,) = trained_with_panels(scores, comparisons, tasks=TASKS, series=SERIES)
    assert panel.head == ["evaluated with", "masked cube", "learned", "best, or not told from it"]
    assert [row[0] for row in panel.body][:2] == ["nothing missing", "without ECG"]
    assert len(panel.body) == len(PATTERNS)
    assert svg_of(panel).count("0.80") == 1


def test_in_each_row_stand_out_the_best_and_what_is_not_told_from_it(scores):
    comparisons = [apart("complete"), apart("site", p_holm=0.2)]
    (panel,) = trained_with_panels(scores, comparisons, tasks=TASKS, series=SERIES)
    first = {row[0]: row[-1] for row in panel.body}
    assert first["nothing missing"] == "masked cube"
    assert first["as available at the site"] == "masked cube and learned"
    assert svg_of(panel).count("font-weight: 700") == 1 + 2 * (len(PATTERNS) - 1)


def test_what_was_not_scored_is_said_and_left_blank():
    few = ResultTable([RESULT, replace(RESULT, run="b-0", missingness="mcar-50")])
    (panel,) = trained_with_panels(few, [], tasks=TASKS, series=SERIES)
    assert panel.body[0][2] == "not scored"
    assert panel.body[1][1] == "not scored"


def test_the_retained_share_is_measured_above_chance(scores):
    (panel,) = retained_share_panels(scores, tasks=TASKS, series=SERIES)
    rows = {row[0]: row[1:] for row in panel.body}
    # mcar-50: (0.65 - 0.5) / (0.8 - 0.5) and (0.55 - 0.5) / (0.7 - 0.5).
    assert rows["50 % missing at random"] == ["50 %", "25 %", "50 %"]
    no_chance = ResultTable([replace(RESULT, chance=None)])
    assert retained_share_panels(no_chance, tasks=TASKS, series=SERIES) == []

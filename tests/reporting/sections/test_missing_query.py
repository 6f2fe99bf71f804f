from dataclasses import replace

from clinical_symile.reporting.sections.missing_query import draw_missing_query, rule_panels
from clinical_symile.tracking.results import Result
from tests.helpers.figures import svg_of
from tests.helpers.report_data import FIRST, TASKS, made_data

VALUES = {"marginalize": 0.179, "mean_bank": 0.15, "drop": 0.087}


def _rows(run: str = "symile-0") -> list[Result]:
    data = made_data()
    row = data.scores.get(run, FIRST, "without-ecg", "recall_at_1")
    assert row is not None
    return [
        replace(row, missing_query=rule, value=value, low=value - 0.01, high=value + 0.01)
        for rule, value in VALUES.items()
    ]


def test_each_rule_has_a_column_with_its_interval_beside_oracle_and_chance() -> None:
    data = made_data()
    (panel,) = rule_panels(_rows(), data.scores, tasks=TASKS, series=data.series)
    head, body = panel.table
    row = {
        name: cell.replace("\N{NO-BREAK SPACE}", " ") for name, cell in zip(head, body, strict=True)
    }
    assert row["mean over a bank"] == "17.9 % (16.9 to 18.9 %)"
    assert row["mean vector"] == "15.0 % (14.0 to 16.0 %)"
    assert row["factor left out"] == "8.7 % (7.7 to 9.7 %)"
    assert row["chance"] == "10.0 %"
    assert panel.picture is not None
    assert svg_of(panel.picture)


def test_rows_of_several_runs_name_their_run() -> None:
    data = made_data(seeds=(0, 1))
    rows = [*_rows(), *(replace(row, run="symile-1") for row in _rows())]
    (panel,) = rule_panels(rows, data.scores, tasks=TASKS, series=data.series)
    assert len({line[1] for line in panel.table[1:]}) == 2


def test_the_section_says_that_only_the_scoring_differs() -> None:
    data = made_data()
    content = draw_missing_query(
        results_by_rule=_rows(),
        scores=data.scores,
        tasks=TASKS,
        series=data.series,
        has_oracle=True,
    )
    assert content is not None
    assert "only the scoring differs" in content.text


def test_without_a_product_score_there_is_no_section() -> None:
    data = made_data()
    assert (
        draw_missing_query(
            results_by_rule=(),
            scores=data.scores,
            tasks=TASKS,
            series=data.series,
            has_oracle=True,
        )
        is None
    )

from dataclasses import replace

from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.performance import (
    draw_classification,
    draw_retrieval,
    primary_metric_panels,
)
from tests.helpers.figures import svg_of
from tests.helpers.report_data import FIRST, OUTCOME, made_data


def inputs(data: ReportData) -> dict:
    names = ("scores", "tasks", "series", "methods", "baselines", "has_oracle")
    return {name: getattr(data, name) for name in names}


def test_each_run_is_a_row_with_its_value_beside_the_oracle_and_chance():
    data = made_data()
    content = draw_retrieval(**inputs(data))
    assert content is not None
    (panel,) = content.panels
    assert panel.head == ["metric", "Symile", "CLIP", "oracle", "chance"]
    assert [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in panel.body[0]] == [
        "recall@1",
        "71.0 % (68.0 to 74.0 %)",
        "36.0 % (33.0 to 39.0 %)",
        "76.0 %",
        "10.0 %",
    ]
    assert content.legend is not None
    assert content.legend.best.startswith("oracle")
    assert ">Symile<" in svg_of(panel)


def test_each_pattern_is_a_row_with_its_samples():
    data = made_data(tasks=(FIRST,))
    panels = primary_metric_panels(
        data.scores, data.tasks, data.series, kind="retrieval", complete=False
    )
    assert [row[0] for row in panels[0].body][:2] == ["nothing missing", "without ECG"]
    assert {row[-1] for row in panels[0].body} == {"512"}


def test_a_kind_without_tasks_is_left_out():
    data = made_data(tasks=(FIRST,))
    assert draw_classification(**inputs(data)) is None
    assert draw_retrieval(**inputs(made_data(tasks=(OUTCOME,)))) is None


def test_a_run_whose_training_read_the_outcome_is_marked_where_it_is_judged_by_it():
    plain = draw_classification(**inputs(made_data()))
    assert plain is not None
    assert "The run itself never used the outcome. " in plain.text
    data = made_data()
    marked = [
        replace(row, saw_label=row.run == "clip-0" and row.task == OUTCOME) for row in data.results
    ]
    content = draw_classification(**inputs(made_data(results=marked)))
    assert content is not None
    assert "training read its labels" in content.text
    assert "CLIP (" in content.text
    assert "Symile (" not in content.text

from dataclasses import replace

from clinical_symile.reporting.first_screen import FINDING_SENTENCES
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.base import Content
from tests.helpers.report_data import FIRST, OUTCOME, TASKS, made_data


def drawn(data: ReportData) -> Content:
    made = FINDING_SENTENCES.draw(**{need: getattr(data, need) for need in FINDING_SENTENCES.needs})
    assert made is not None
    return made


def test_the_figure_is_of_the_task_of_the_first_answer():
    data = made_data()
    data = replace(data, tasks={name: TASKS[name] for name in (OUTCOME, FIRST)})
    for task, title in ((FIRST, "Find the chest X-ray"), (OUTCOME, "Predict deterioration")):
        rows = [
            row if row.task == task else replace(row, difference=0.0, low=-0.04, high=0.04)
            for row in data.comparisons
        ]
        content = drawn(replace(data, comparisons=rows))
        (panel,) = content.panels
        assert panel.title.startswith(title)
        assert panel.picture is not None
        assert panel.picture.name == "answer"


def test_there_are_at_most_three_answers_and_the_rest_is_below_them():
    content = drawn(made_data())
    assert 1 <= len(content.values["sentences"]) <= 3
    assert len(content.values["details"]) == 4  # level and largest loss, of two kinds of task

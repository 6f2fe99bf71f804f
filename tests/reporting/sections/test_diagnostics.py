from dataclasses import replace
from typing import Any

from clinical_symile.reporting.render import draw_sections
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.diagnostics import DIAGNOSTIC_RESULTS
from tests.helpers.report_data import made_data

TASK: dict[str, Any] = {
    "kind": "diagnostic",
    "primary": "gap",
    "inputs": ["cxr", "ecg"],
    "metrics": ["gap", "recall_at_1"],
    "diagnostic": {"name": "gap", "candidates": 10},
}
NAME = "diagnostic/gap"


def _data(**changes: Any) -> ReportData:
    """A report with a diagnostic of two runs beside its other tasks."""
    data = made_data()
    row = next(one for one in data.results if one.run == "symile-0")
    rows = [
        replace(row, task=NAME, run=run, missingness="complete", metric=metric, value=value)
        for run, value in (("symile-0", 0.25), ("clip-0", 0.5))
        for metric in ("gap", "gap/cxr-ecg")
    ]
    return replace(
        data, results=[*data.results, *rows], tasks={**data.tasks, NAME: {**TASK, **changes}}
    )


def _content(data: ReportData) -> Any:
    return DIAGNOSTIC_RESULTS.draw(
        **{need: data.section_input(need) for need in DIAGNOSTIC_RESULTS.needs}
    )


def test_each_run_has_a_line_and_each_part_is_below() -> None:
    content = _content(_data())
    (panel,), (parts,) = content.panels, content.more
    assert panel.title == "Modality gap of chest X-ray and ECG, nothing missing"
    assert panel.head == ["run", "gap"]
    assert {row[0]: row[1].split(" ")[0] for row in panel.body} == {
        "Symile": "0.250",
        "CLIP": "0.500",
    }
    assert [row[0] for row in parts.body] == ["gap, cxr-ecg"]
    assert "Gap: Distance of the mean vectors of two modalities." in content.text


def test_a_diagnostic_of_a_plug_in_that_is_gone_is_shown_without_explanations() -> None:
    content = _content(_data(diagnostic={"name": "gone.away:Mine"}))
    assert content.panels[0].title.startswith("Mine of")
    assert content.text == ""


def test_without_diagnostics_there_is_no_section() -> None:
    assert _content(made_data()) is None


def test_no_other_section_sees_a_diagnostic() -> None:
    data = _data()
    assert NAME in data.tasks
    assert NAME not in data.section_input("tasks")
    assert not [row for row in data.section_input("results") if row.task == NAME]
    names = ("findings", "retrieval", "classification", "degradation", "provenance", "geometry")
    for one, other in zip(
        draw_sections(names, data), draw_sections(names, made_data()), strict=True
    ):
        assert one == other

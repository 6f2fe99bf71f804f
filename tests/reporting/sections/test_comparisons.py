from dataclasses import replace

from clinical_symile.reporting.sections.comparisons import difference_panels, draw_differences
from tests.helpers.figures import svg_of
from tests.helpers.report_data import FIRST, made_data

MINUS = "\N{MINUS SIGN}"


def test_a_difference_has_its_interval_p_values_and_the_better_side():
    data = made_data(tasks=(FIRST,))
    rows = [replace(data.comparisons[0], p_value=0.0004, p_holm=0.002)]
    (panel,) = difference_panels(rows, tasks=data.tasks, series=data.series)
    assert panel.title.endswith("Symile or CLIP?")
    label = f"Symile {MINUS} CLIP"
    cells = ["nothing missing", label, "+35.0", "+31.0 to +39.0", "<0.001", "0.002", "512"]
    assert panel.body == [cells]
    assert "← CLIP is better" in svg_of(panel)


def test_baselines_are_compared_below_the_runs():
    data = made_data(tasks=(FIRST,))
    far = replace(data.comparisons[0], baseline="prevalence")
    results = [*data.results, replace(data.results[0], run="prevalence")]
    data = replace(data, comparisons=[*data.comparisons, far], results=results)
    content = draw_differences(
        comparisons=data.comparisons,
        tasks=data.tasks,
        series=data.series,
        baselines={"prevalence": "The same risk for everybody."},
    )
    assert content is not None
    assert [panel.title[-16:] for panel in content.more] == ["e or prevalence?"]
    assert all("prevalence" not in panel.title for panel in content.panels)


def test_without_comparisons_nothing_is_drawn():
    data = made_data()
    found = draw_differences(comparisons=[], tasks=data.tasks, series=data.series, baselines={})
    assert found is None

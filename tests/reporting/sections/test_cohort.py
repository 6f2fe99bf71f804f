from clinical_symile.reporting.sections.cohort import draw_cohort, presence_panel, splits_panel
from tests.helpers.figures import svg_of
from tests.helpers.report_data import made_cohort


def test_combinations_of_modalities_are_counted_over_all_splits():
    panel = presence_panel(made_cohort())
    # 80 % of 4,000 samples are complete; 6 lack the labs, and the next smallest is withheld too.
    counts = {row[0]: row[1] for row in panel.body}
    assert counts["chest X-ray, ECG and labs"] == "3\N{NARROW NO-BREAK SPACE}200"
    assert counts["chest X-ray and ECG"] == "<10"
    assert counts["chest X-ray and labs"] == "≥10"
    assert "<10" not in panel.title
    assert "3\N{NARROW NO-BREAK SPACE}200" in svg_of(panel)


def test_a_split_has_its_samples_and_subjects():
    panel = splits_panel(made_cohort())
    assert panel.head[:3] == ["split", "samples", "subjects"]
    assert panel.body[2][:3] == ["held out", "1\N{NARROW NO-BREAK SPACE}000", "750"]
    assert panel.body[2][-1] == ">990"  # 993 of 1,000 have labs


def test_without_a_manifest_there_is_no_section():
    assert draw_cohort(cohort={}) is None

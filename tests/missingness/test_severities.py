"""Patterns of one kind are ordered by how much they hide."""

from clinical_symile.missingness.severities import mechanism_rates, part_curves


def test_rates_rise_from_complete_whatever_the_order():
    names = ["mcar-50", "mnar-30", "complete", "mcar-10", "mcar-ecg-50", "ecg-leads-mcar-30"]
    assert mechanism_rates(names, "mcar") == {0: "complete", 10: "mcar-10", 50: "mcar-50"}


def test_curves_within_a_modality_are_told_apart_by_all_but_the_severity():
    names = [
        *("ecg-segment-10s", "complete", "ecg-segment-2.5s", "ecg-segment-3s", "mcar-30"),
        *("ecg-leads-mcar-60", "ecg-leads-mcar-9", "ecg-leads-mar-age-30", "labs-mcar-50"),
        *("ecg-noise-20db", "ecg-noise-0db", "cxr-noise-9", "cxr-noise-30"),
        *("labs-mnar-20", "labs-mnar-50", "cxr-region-50", "cxr-region-5", "ecg-leads-mar-sex-30"),
    ]
    curves = {curve.name: curve for curve in part_curves(names)}
    assert list(curves) == [
        *("ecg-segment", "ecg-leads-mcar", "ecg-noise", "cxr-noise", "labs-mnar", "cxr-region"),
    ]
    assert curves["ecg-noise"].patterns == {
        0: "complete",
        10: "ecg-noise-20db",
        100: "ecg-noise-0db",
    }
    assert [*curves["cxr-noise"].patterns] == [0, 9, 30]
    assert [*curves["ecg-segment"].patterns] == [0, 2.5, 3, 10]
    assert [*curves["ecg-leads-mcar"].patterns.values()] == [
        *("complete", "ecg-leads-mcar-9", "ecg-leads-mcar-60"),
    ]
    assert {curve.name: (curve.part, curve.unit) for curve in curves.values()} == {
        "ecg-segment": ("segment", "s"),
        "ecg-leads-mcar": ("leads", "%"),
        "ecg-noise": ("noise-db", "%"),
        "cxr-noise": ("noise", "%"),
        "labs-mnar": ("", "%"),
        "cxr-region": ("region", "%"),
    }


def test_a_curve_needs_no_complete_pattern():
    (curve,) = part_curves(["cxr-region-5", "cxr-region-50"])
    assert [*curve.patterns] == [5, 50]

import numpy as np
import pytest

from clinical_symile.modalities.panel_matching import match_panels


def test_values_come_in_the_wanted_order_and_unit_with_nan_for_what_is_lacking():
    wanted = {"glucose": "mg/dL", "sodium": "meq/L", "crp": "mg/L"}
    match = match_panels(wanted, {"crp": "mg/dL", "other": "1", "glucose": "g/L"})
    stored = np.array([[1.5, 7, 0.97], [np.nan, 7, 1.03]], dtype=np.float32)
    expected = np.array([[97, np.nan, 15], [103, np.nan, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(match.apply(stored), expected)
    assert match.lacking == ("sodium",)
    assert match.unused == ("other",)
    assert match.converted == (("glucose", "g/L", "mg/dL"), ("crp", "mg/dL", "mg/L"))


def test_converted_values_equal_those_that_were_stored_in_the_wanted_unit(
    rng: np.random.Generator,
):
    for decimals, factor, units in ((0, 100, ("g/L", "mg/dL")), (1, 0.1, ("g/L", "g/dL"))):
        exact = np.round(rng.uniform(0.1, 900, 5000), decimals)
        stored = (exact / factor).astype(np.float32)[:, None]
        match = match_panels({"x": units[1]}, {"x": units[0]})
        np.testing.assert_array_equal(match.apply(stored)[:, 0], exact.astype(np.float32))


def test_units_of_the_same_panel_change_nothing(rng: np.random.Generator):
    stored = rng.normal(size=(20, 2)).astype(np.float32)
    panel = {"a": "mg/dL", "b": "meq/L"}
    np.testing.assert_array_equal(match_panels(panel, panel).apply(stored), stored)


def test_units_that_need_a_molar_mass_are_refused_together():
    with pytest.raises(ValueError, match=r"a: .*; b: ") as caught:
        match_panels({"a": "mg/dL", "b": "mmol/L"}, {"a": "umol/L", "b": "meq/L"})
    assert "c:" not in str(caught.value)

"""Panels are filled in where values were not measured or are withheld, and nowhere else."""

from collections.abc import Sequence

import numpy as np

from clinical_symile.data.completed import complete_panels, is_panel, panel_values
from clinical_symile.data.parts import hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.missingness.patterns import parse_pattern


def test_labs_are_a_panel_and_other_modalities_are_none(synthetic_store: CohortStore) -> None:
    found = {name: is_panel(synthetic_store, name) for name in synthetic_store.modalities}
    assert found == {"cxr": False, "ecg": False, "labs": True}


def test_withheld_values_are_filled_in_without_being_read(synthetic_store: CohortStore) -> None:
    hidden = hide_parts(parse_pattern("labs-mcar-50"), synthetic_store, seed=0)
    column = synthetic_store.modalities.index("labs")
    rows = np.flatnonzero(synthetic_store.present[:, column])
    read = []

    def fill_in(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
        assert list(names) == synthetic_store.samples["sample"].iloc[rows].astype(str).tolist()
        read.append(values)
        return np.where(np.isnan(values), 7.0, values)

    made = complete_panels(hidden, {"labs": fill_in})
    values = panel_values(hidden, "labs", rows)
    np.testing.assert_array_equal(read[0], values)
    assert np.isnan(values).mean() > np.isnan(synthetic_store.array("labs")[rows]).mean() + 0.3
    expected = np.where(np.isnan(values), np.float32(7), values)
    np.testing.assert_array_equal(made.array("labs")[rows], expected)
    assert (made.inputs("labs", rows)[:, 1] == 1).all()  # all count as measured
    lacking = np.flatnonzero(~synthetic_store.present[:, column])
    assert not made.inputs("labs", lacking).any()
    assert not made.withheld
    assert list(hidden.withheld) == ["labs"]


def test_noise_is_on_measured_values_alone(synthetic_store: CohortStore) -> None:
    noisy = hide_parts(parse_pattern("labs-noise-50"), synthetic_store, seed=0)
    rows = np.flatnonzero(noisy.present[:, noisy.modalities.index("labs")])
    stored = synthetic_store.array("labs")[rows]
    measured = ~np.isnan(stored)
    assert not measured.all()
    values = panel_values(noisy, "labs", rows)
    assert (values[measured] != stored[measured]).mean() > 0.99
    made = complete_panels(
        noisy, {"labs": lambda values, names: np.where(np.isnan(values), 7.0, values)}
    )
    assert (made.array("labs")[rows][~measured] == 7).all()
    # Encoders read each measured value with its noise once, and no noise on what was filled in.
    whole, before = made.inputs("labs", rows), noisy.inputs("labs", rows)
    np.testing.assert_array_equal(whole[:, 0][measured], before[:, 0][measured])
    plain = complete_panels(
        synthetic_store, {"labs": lambda values, names: np.where(np.isnan(values), 7.0, values)}
    )
    np.testing.assert_array_equal(
        whole[:, 0][~measured], plain.inputs("labs", rows)[:, 0][~measured]
    )

from dataclasses import replace

import numpy as np
import pytest

from clinical_symile.data.severity import severity
from tests.helpers.panels import MODALITIES


def test_severity_rests_on_the_measurement_alone_and_finds_where_people_differ(panels):
    found = severity(panels, "ecg", "held_out")
    values = np.asarray(panels.array("ecg"))[panels.rows("held_out")].mean(axis=1)
    assert np.corrcoef(found, values)[0, 1] > 0.9
    scrambled = panels.samples.assign(outcome_died=0.0, kept_age=0.0)
    again = severity(replace(panels, samples=scrambled), "ecg", "held_out")
    np.testing.assert_array_equal(found, again)


def test_images_and_signals_have_a_severity_too(synthetic_store):
    for name in MODALITIES:
        found = severity(synthetic_store, name, "held_out")
        there = synthetic_store.present[synthetic_store.rows("held_out")]
        there = there[:, MODALITIES.index(name)]
        assert (found[~there] == 0).all()
        assert found[there].std() == pytest.approx(1)

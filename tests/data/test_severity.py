from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from clinical_symile.data.severity import severity, severity_direction
from clinical_symile.errors import CannotScore
from tests.helpers.panels import MODALITIES


def test_severity_rests_on_the_measurement_alone_and_finds_where_people_differ(panels):
    found = severity(panels, "ecg", "held_out")
    values = np.asarray(panels.array("ecg"))[panels.rows("held_out")].mean(axis=1)
    assert np.corrcoef(found, values)[0, 1] > 0.9
    scrambled = panels.samples.assign(outcome_died=0.0, kept_age=0.0)
    again = severity(replace(panels, samples=scrambled), "ecg", "held_out")
    np.testing.assert_array_equal(found, again)


def _declared(store, outcome, **columns):
    """The store with a worse end of the ECG's severity by an outcome, and other columns."""
    manifest = {**store.manifest, "worse_with": {"ecg": outcome}}
    return replace(store, manifest=manifest, samples=store.samples.assign(**columns))


def test_the_declared_outcome_is_more_common_at_the_high_end(panels):
    plain = severity(panels, "ecg", "held_out")
    died = panels.samples["outcome_died"]
    with_deaths = _declared(panels, "died")
    with_survival = _declared(panels, "alive", outcome_alive=1 - died)
    # Age moves every value upwards, and the old die: the undirected score is already right.
    np.testing.assert_array_equal(severity(with_deaths, "ecg", "held_out"), plain)
    np.testing.assert_allclose(severity(with_survival, "ecg", "held_out"), -plain, atol=1e-12)
    np.testing.assert_array_equal(
        severity(with_survival, "labs", "held_out"), severity(panels, "labs", "held_out")
    )
    for store, outcome in ((with_deaths, "died"), (with_survival, "alive")):
        rows = store.rows("train")
        known = store.present[rows, 1]
        label, score = store.outcome(outcome)[rows][known], severity(store, "ecg", "train")[known]
        above = mannwhitneyu(score[label == 1], score[label == 0]).statistic
        area = above / ((label == 1).sum() * (label == 0).sum())
        found = severity_direction(store, "ecg")
        assert found is not None
        assert (found.outcome, found.sign) == (outcome, 1 if outcome == "died" else -1)
        assert area > 0.55
        assert found.auroc == pytest.approx(area, abs=0.03)  # it rests on 4,096 of these samples
    assert severity_direction(panels, "ecg") is None


@pytest.mark.parametrize(("outcome", "worse"), [("died", 1), ("alive", -1)])
def test_the_worse_end_is_hidden_more_often(panels, draw, outcome, worse):
    alive = 1 - panels.samples["outcome_died"]
    mask = draw("mnar-30", store=_declared(panels, outcome, outcome_alive=alive))
    value = np.asarray(panels.array("ecg"))[mask.rows].mean(axis=1)
    hidden = ~mask.available[:, 1]
    assert np.sign(value[hidden].mean() - value[~hidden].mean()) == worse


def test_few_samples_of_a_class_withhold_the_area_and_none_of_one_is_an_error(panels):
    rows = panels.rows("train")
    rows = rows[panels.present[rows, 1]]
    values = np.asarray(panels.array("ecg"))[:, 0]
    rare = np.zeros(len(panels.samples))
    rare[rows[np.argsort(values[rows])[-9:]]] = 1
    rare[np.setdiff1d(np.arange(len(rare)), rows[np.argsort(values[rows])[-2009:]])] = np.nan
    found = severity_direction(_declared(panels, "rare", outcome_rare=rare), "ecg")
    assert found is not None
    assert (found.sign, found.auroc) == (1, None)
    with pytest.raises(CannotScore, match="do not have 'rare' with both answers"):
        severity(_declared(panels, "rare", outcome_rare=0.0), "ecg", "held_out")


def test_the_worse_end_of_the_synthetic_hospital_is_that_of_deterioration(synthetic_store):
    for name in MODALITIES:
        found = severity_direction(synthetic_store, name)
        assert found is not None
        assert found.outcome == "deterioration"


def test_images_and_signals_have_a_severity_too(synthetic_store):
    for name in MODALITIES:
        found = severity(synthetic_store, name, "held_out")
        there = synthetic_store.present[synthetic_store.rows("held_out")]
        there = there[:, MODALITIES.index(name)]
        assert (found[~there] == 0).all()
        assert found[there].std() == pytest.approx(1)

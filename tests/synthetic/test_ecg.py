"""Synthetic ECGs obey the rules of a recorder."""

import numpy as np

from clinical_symile.synthetic import ecg as synthetic_ecg


def test_the_limb_leads_obey_einthoven_and_goldberger(rng):
    samples = synthetic_ecg.draw_ecg([0, 1, 0, 1, 0, 1], rng).astype(float)
    lead = dict(zip(synthetic_ecg.RECORDER_LEADS, samples.T, strict=True))
    rounding = 1.01
    assert np.abs(lead["I"] + lead["III"] - lead["II"]).max() <= 1.5 * rounding
    assert np.abs(lead["aVR"] + (lead["I"] + lead["II"]) / 2).max() <= rounding
    assert np.abs(lead["aVL"] - (lead["I"] - lead["III"]) / 2).max() <= rounding
    assert np.abs(lead["aVF"] - (lead["II"] + lead["III"]) / 2).max() <= rounding

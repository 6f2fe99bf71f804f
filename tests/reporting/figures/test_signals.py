import base64

import numpy as np

from clinical_symile.reporting.figures.signals import electrocardiogram, image_address, presence


def test_all_twelve_leads_are_labelled():
    leads = np.random.default_rng(0).normal(0, 0.2, (12, 5000))
    svg = electrocardiogram(leads, sampling_rate_hz=500.0, name="a", title="t").__html__()
    for lead in ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"):
        assert f">{lead}<" in svg


def test_an_image_is_a_small_png():
    address = image_address(np.zeros((640, 640), dtype=np.uint8))
    start = "data:image/png;base64,"
    assert address.startswith(start)
    assert base64.b64decode(address.removeprefix(start)).startswith(b"\x89PNG")


def test_a_withheld_count_has_no_bar_but_its_text():
    rows = [([True, True], 100, "100"), ([True, False], 0, "<10")]
    svg = presence(rows, modalities=["ECG", "labs"], name="a", title="t").__html__()
    assert ">100<" in svg
    assert ">&lt;10<" in svg

"""Signs of the synthetic recordings can be read from them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clinical_symile.synthetic import cxr as synthetic_xray
from clinical_symile.synthetic import ecg as synthetic_ecg
from clinical_symile.synthetic import generate as synthetic
from clinical_symile.synthetic import labs as synthetic_labs
from clinical_symile.synthetic.world import WORLD_MODALITIES

PARAMETERS = {
    "seed": 0,
    "redundant": 1,
    "unique": 1,
    "synergistic": 3,
    "synergy": 1.0,
    "flip": 0.05,
    "absent": 0.2,
}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "source"
    synthetic.write_cohort(folder, subjects=24, **PARAMETERS)
    return folder


def test_a_sign_beyond_those_shown_is_not_there(rng):
    normal = [synthetic_labs.draw_labs([1], rng)[51222] for _ in range(50)]
    assert min(normal) > 10.5


def features_of_xray(bits, rng):
    return synthetic_xray.draw_xray(bits, rng).reshape(8, 16, 8, 16).mean(axis=(1, 3)).ravel()


def features_of_ecg(bits, rng):
    samples = synthetic_ecg.draw_ecg(bits, rng).astype(float)
    steepness = np.abs(np.diff(samples, axis=0)).mean(axis=0)
    return np.concatenate([samples.mean(axis=0), np.log(samples.std(axis=0)), np.log(steepness)])


def features_of_labs(bits, rng):
    values = synthetic_labs.draw_labs(bits, rng)
    usual = {analyte.itemid: analyte.mean for analyte in synthetic_labs.SYNTHETIC_PANEL}
    shifted = {analyte.itemid: analyte.shift for analyte in synthetic_labs.SYNTHETIC_PANEL}
    log_scale = {analyte.itemid for analyte in synthetic_labs.SYNTHETIC_PANEL if analyte.ratio}
    return np.array(
        [
            0.0
            if item not in values
            else np.log(values[item] / mean) / (shifted[item] or 1)
            if item in log_scale
            else (values[item] - mean) / (shifted[item] or 1)
            for item, mean in usual.items()
        ]
    )


@pytest.mark.parametrize(
    ("features", "signs"),
    [
        (features_of_xray, synthetic_xray.CXR_SIGNS),
        (features_of_ecg, synthetic_ecg.ECG_SIGNS),
        (features_of_labs, synthetic_labs.LAB_SIGNS),
    ],
    ids=WORLD_MODALITIES,
)
def test_every_sign_can_be_read(features, signs, rng):
    bits = rng.integers(0, 2, (400, len(signs)))
    drawn = np.stack([features(row.tolist(), rng) for row in bits])
    for sign, name in enumerate(signs):
        reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        reader.fit(drawn[:280], bits[:280, sign])
        assert reader.score(drawn[280:], bits[280:, sign]) >= 0.97, name


def test_an_xray_is_a_grey_jpeg(hospital):
    path = next(hospital.rglob("*.jpg"))
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("JPEG", "L")
        assert image.size == (synthetic_xray.IMAGE_SIZE_PX, synthetic_xray.IMAGE_SIZE_PX)

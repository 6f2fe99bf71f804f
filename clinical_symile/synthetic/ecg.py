"""Draw a synthetic 12-lead ECG with given signs.

Each beat is a sum of Gaussian waves. Two limb leads and the chest leads are drawn. The other limb
leads follow from the two by Einthoven's and Goldberger's equations, as in a real recorder.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int16

ECG_SIGNS = (
    "high chest-lead voltage",
    "anterior ST elevation",
    "wide QRS",
    "lateral T inversion",
    "tachycardia",
    "left axis",
)

RECORDER_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
RECORDER_RATE_HZ = 500
_DURATION_S = 10
UNITS_PER_MV = 200

_TIME_S = np.arange(RECORDER_RATE_HZ * _DURATION_S, dtype=np.float32) / RECORDER_RATE_HZ

# mV in I, II, V1 ... V6; of the R wave in I and II for an axis along the lead
_P = np.array([0.08, 0.13, 0.05, 0.07, 0.07, 0.07, 0.07, 0.07])
_R = np.array([1.00, 1.00, 0.20, 0.40, 0.70, 1.00, 1.00, 0.80])
_S = np.array([-0.12, -0.15, -0.75, -1.00, -0.75, -0.40, -0.20, -0.10])
_T = np.array([0.20, 0.28, 0.05, 0.28, 0.35, 0.35, 0.30, 0.25])
_ST_ELEVATION = np.array([0.0, 0.0, 0.28, 0.42, 0.42, 0.32, 0.08, 0.0])
_T_INVERSION = np.array([-2.2, -1.8, 1.0, 1.0, 0.2, -1.8, -2.2, -2.2])
_CHEST = np.array([0, 0, 1, 1, 1, 1, 1, 1], dtype=bool)


def draw_ecg(
    sign_bits: Sequence[int], generator: np.random.Generator
) -> Int16[np.ndarray, "time lead"]:
    """Draw ten seconds in units of 1 / `UNITS_PER_MV` mV, leads as in `RECORDER_LEADS`.

    Args:
        sign_bits: 1 for each sign of `ECG_SIGNS` to draw, in that order; a shorter list ends
            in zeros.
        generator: random generator of everything but the signs.
    """
    voltage, st_elevation, wide, t_inversion, tachycardia, left_axis = (
        *sign_bits,
        *[0] * (len(ECG_SIGNS) - len(sign_bits)),
    )
    rate_per_min = generator.normal(115, 4) if tachycardia else generator.normal(66, 4)
    beats_s = _beats(60 / rate_per_min, generator)
    stretch = np.sqrt(60 / rate_per_min)
    widening = (2.3 if wide else 1.0) * (1 + generator.normal(0, 0.04))
    axis = np.deg2rad((-50 if left_axis else 50) + generator.normal(0, 5))

    qrs = np.where(_CHEST & bool(voltage), 2.1, 1.0) * (1 + generator.normal(0, 0.05, 8))
    frontal = np.array([np.cos(axis), np.cos(axis - np.pi / 3), *np.ones(6)])
    t_wave = _T * (_T_INVERSION if t_inversion else 1) * (1 + generator.normal(0, 0.08, 8))
    # wave: delay after the R peak (s), width (s), mV per lead
    waves = (
        (-0.16, 0.022, _P * (1 + generator.normal(0, 0.1, 8))),
        (0.0, 0.011 * widening, _R * frontal * qrs),
        (0.032 * widening, 0.011 * widening, _S * qrs),
        (0.17 * stretch, 0.045 * stretch, _ST_ELEVATION * st_elevation),
        (0.30 * stretch, 0.045 * stretch, t_wave),
    )
    shapes = np.stack([_wave(beats_s + delay_s, width_s) for delay_s, width_s, _ in waves], axis=1)
    leads_mv = np.stack([lead_mv for *_, lead_mv in waves]).astype(np.float32)
    drawn = shapes @ leads_mv + _disturbance(generator)
    return np.round(UNITS_PER_MV * _twelve_leads(drawn)).astype(np.int16)


def _beats(interval_s: float, generator: np.random.Generator) -> Float[np.ndarray, " beat"]:
    """Return the times of the R peaks, from before the recording to after it."""
    count = int((_DURATION_S + 2) / interval_s) + 3
    intervals = interval_s * (1 + generator.normal(0, 0.025, count))
    return np.cumsum(intervals) - 1 - generator.uniform(0, interval_s)


def _wave(centres_s: Float[np.ndarray, " beat"], width_s: float) -> Float[np.ndarray, " time"]:
    """Return one Gaussian per beat; each time point depends on the nearest beat only."""
    nearest = np.searchsorted((centres_s[1:] + centres_s[:-1]) / 2, _TIME_S)
    distance = (_TIME_S - centres_s[nearest].astype(np.float32)) / np.float32(width_s)
    return np.exp(-0.5 * distance**2)


def _disturbance(generator: np.random.Generator) -> Float[np.ndarray, "time drawn"]:
    """Draw baseline wander from breathing, mains hum, and muscle noise."""
    rhythms_hz = (generator.uniform(0.15, 0.35), 60)
    rhythms = [
        np.sin(2 * np.pi * rate * _TIME_S + generator.uniform(0, 2 * np.pi)) for rate in rhythms_hz
    ]
    sizes_mv = generator.normal(0, [[0.04], [0.004]], (2, 8)).astype(np.float32)
    noise = generator.standard_normal((len(_TIME_S), 8), dtype=np.float32)
    return np.stack(rhythms, axis=1) @ sizes_mv + generator.uniform(0.008, 0.02) * noise


def _twelve_leads(drawn: Float[np.ndarray, "time drawn"]) -> Float[np.ndarray, "time lead"]:
    """Compute all leads from I, II and V1 to V6."""
    i, ii = drawn[:, 0], drawn[:, 1]
    limb = np.stack([i, ii, ii - i, -(i + ii) / 2, ii - i / 2, i - ii / 2], axis=1)
    return np.concatenate([limb, drawn[:, 2:]], axis=1)

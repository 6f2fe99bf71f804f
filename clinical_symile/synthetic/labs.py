"""Draw a synthetic panel of blood labs with given signs.

Each sign shifts three analytes. A model receives percentiles, which hide the gap between a normal
and an abnormal value. A single analyte near its cut-off would therefore not show the sign. The
other analytes do not depend on any sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LAB_SIGNS = (
    "raised cardiac markers",
    "hyponatraemia",
    "hyperkalaemia",
    "renal failure",
    "leukocytosis",
    "anaemia",
)


@dataclass(frozen=True)
class DrawnAnalyte:
    """The distribution of one analyte without its sign.

    Attributes:
        itemid: code in `d_labitems`.
        label: name in `d_labitems`.
        unit: unit of the values.
        mean: mean of the values; the geometric mean if `ratio` is True.
        sd: standard deviation of the values; of their logarithm if `ratio` is True.
        decimals: number of decimals that are reported.
        low: lower end of the reference range.
        high: upper end of the reference range.
        sign: index in `LAB_SIGNS` of the sign that shifts it; None if no sign does.
        shift: change of the mean by the sign; of the mean logarithm if `ratio` is True.
        ratio: True if the distribution is log-normal.
    """

    itemid: int
    label: str
    unit: str
    mean: float
    sd: float
    decimals: int
    low: float
    high: float
    sign: int | None = None
    shift: float = 0.0
    ratio: bool = False


SYNTHETIC_PANEL = (
    DrawnAnalyte(50963, "NTproBNP", "pg/mL", 110.0, 0.55, 0, 0.0, 450.0, 0, 3.3, ratio=True),
    DrawnAnalyte(51003, "Troponin T", "ng/mL", 0.008, 0.35, 4, 0.0, 0.01, 0, 2.1, ratio=True),
    DrawnAnalyte(
        50911, "Creatine Kinase, MB Isoenzyme", "ng/mL", 2.5, 0.3, 1, 0.0, 10.0, 0, 1.9, ratio=True
    ),
    DrawnAnalyte(51301, "White Blood Cells", "K/uL", 7.2, 0.16, 1, 4.0, 10.0, 4, 0.96, ratio=True),
    DrawnAnalyte(50889, "C-Reactive Protein", "mg/L", 3.0, 0.5, 1, 0.0, 5.0, 4, 3.0, ratio=True),
    DrawnAnalyte(
        52075, "Absolute Neutrophil Count", "K/uL", 4.2, 0.2, 2, 1.6, 6.1, 4, 1.2, ratio=True
    ),
    DrawnAnalyte(50983, "Sodium", "mEq/L", 140.0, 1.7, 0, 133.0, 145.0, 1, -10.5),
    DrawnAnalyte(50964, "Osmolality, Measured", "mOsm/kg", 289.0, 3.5, 0, 275.0, 310.0, 1, -23.0),
    DrawnAnalyte(50902, "Chloride", "mEq/L", 103.0, 2.0, 0, 96.0, 108.0, 1, -12.5),
    DrawnAnalyte(50971, "Potassium", "mEq/L", 4.1, 0.28, 1, 3.3, 5.1, 2, 1.75),
    DrawnAnalyte(50822, "Potassium, Whole Blood", "mEq/L", 4.0, 0.30, 1, 3.3, 5.1, 2, 1.85),
    DrawnAnalyte(52610, "Potassium", "mEq/L", 4.1, 0.30, 1, 3.5, 5.4, 2, 1.85),
    DrawnAnalyte(50912, "Creatinine", "mg/dL", 0.85, 0.17, 2, 0.4, 1.2, 3, 1.1, ratio=True),
    DrawnAnalyte(51006, "Urea Nitrogen", "mg/dL", 14.0, 0.2, 1, 6.0, 20.0, 3, 1.25, ratio=True),
    DrawnAnalyte(51007, "Uric Acid", "mg/dL", 4.6, 0.13, 1, 2.4, 7.0, 3, 0.8, ratio=True),
    DrawnAnalyte(51222, "Hemoglobin", "g/dL", 13.9, 0.8, 1, 11.2, 15.7, 5, -5.2),
    DrawnAnalyte(51221, "Hematocrit", "%", 41.5, 2.3, 1, 34.0, 45.0, 5, -15.0),
    DrawnAnalyte(51279, "Red Blood Cells", "m/uL", 4.7, 0.25, 2, 3.9, 5.2, 5, -1.6),
    DrawnAnalyte(50882, "Bicarbonate", "mEq/L", 25.0, 3.0, 0, 22.0, 32.0),
    DrawnAnalyte(50931, "Glucose", "mg/dL", 115.0, 0.28, 0, 70.0, 105.0, ratio=True),
    DrawnAnalyte(50893, "Calcium, Total", "mg/dL", 9.0, 0.5, 1, 8.4, 10.3),
    DrawnAnalyte(50960, "Magnesium", "mg/dL", 2.0, 0.22, 1, 1.6, 2.6),
    DrawnAnalyte(50970, "Phosphate", "mg/dL", 3.5, 0.7, 1, 2.7, 4.5),
    DrawnAnalyte(51265, "Platelet Count", "K/uL", 230.0, 0.3, 0, 150.0, 440.0, ratio=True),
    DrawnAnalyte(
        50861, "Alanine Aminotransferase (ALT)", "IU/L", 24.0, 0.5, 0, 0.0, 40.0, ratio=True
    ),
)

_NUISANCE_OBSERVED = 0.75


def draw_labs(sign_bits: Sequence[int], generator: np.random.Generator) -> dict[int, float]:
    """Draw one admission's first values by `itemid`, of the observed analytes.

    The analytes of signs are always observed. The others are observed independently of all else.

    Args:
        sign_bits: 1 for each sign of `LAB_SIGNS` to draw, in that order; a shorter list ends
            in zeros.
        generator: random generator of everything but the signs.
    """
    observed = generator.random(len(SYNTHETIC_PANEL)) < [
        _NUISANCE_OBSERVED if analyte.sign is None else 1.0 for analyte in SYNTHETIC_PANEL
    ]
    noise = generator.standard_normal(len(SYNTHETIC_PANEL))
    values = {}
    for analyte, is_observed, deviation in zip(SYNTHETIC_PANEL, observed, noise, strict=True):
        if is_observed:
            sign = analyte.sign
            shift = analyte.shift if sign is not None and sum(sign_bits[sign : sign + 1]) else 0.0
            values[analyte.itemid] = _value(analyte, shift, deviation)
    return values


def _value(analyte: DrawnAnalyte, shift: float, deviation: float) -> float:
    if analyte.ratio:
        value = analyte.mean * np.exp(shift + analyte.sd * deviation)
    else:
        value = analyte.mean + shift + analyte.sd * deviation
    return round(float(value), analyte.decimals)

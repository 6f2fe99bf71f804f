"""Draw a made-up panel of blood labs that shows given signs.

Each sign shifts three analytes, since a model sees percentiles: there the gap between a normal and
an abnormal value vanishes, and one analyte near its cut-off would leave the sign unread. All other
analytes are nuisance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SIGNS = (
    "raised cardiac markers",
    "hyponatraemia",
    "hyperkalaemia",
    "renal failure",
    "leukocytosis",
    "anaemia",
)


@dataclass(frozen=True)
class Analyte:
    """How one analyte is distributed where its sign is absent.

    Attributes:
        itemid: its code in `d_labitems`.
        label: its name there.
        unit: of its values.
        mean: of the values; the geometric mean where `ratio` is set.
        sd: of the values; of their logarithm where `ratio` is set.
        decimals: how many are reported.
        low: lower end of the reference range.
        high: its upper end.
        sign: the place in `SIGNS` of the sign that shifts it; None where nothing does.
        shift: what the sign adds to the mean (to the mean logarithm where `ratio` is set).
        ratio: whether the distribution is log-normal.
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


PANEL = (
    Analyte(50963, "NTproBNP", "pg/mL", 110.0, 0.55, 0, 0.0, 450.0, 0, 3.3, ratio=True),
    Analyte(51003, "Troponin T", "ng/mL", 0.008, 0.35, 4, 0.0, 0.01, 0, 2.1, ratio=True),
    Analyte(
        50911, "Creatine Kinase, MB Isoenzyme", "ng/mL", 2.5, 0.3, 1, 0.0, 10.0, 0, 1.9, ratio=True
    ),
    Analyte(51301, "White Blood Cells", "K/uL", 7.2, 0.16, 1, 4.0, 10.0, 4, 0.96, ratio=True),
    Analyte(50889, "C-Reactive Protein", "mg/L", 3.0, 0.5, 1, 0.0, 5.0, 4, 3.0, ratio=True),
    Analyte(52075, "Absolute Neutrophil Count", "K/uL", 4.2, 0.2, 2, 1.6, 6.1, 4, 1.2, ratio=True),
    Analyte(50983, "Sodium", "mEq/L", 140.0, 1.7, 0, 133.0, 145.0, 1, -10.5),
    Analyte(50964, "Osmolality, Measured", "mOsm/kg", 289.0, 3.5, 0, 275.0, 310.0, 1, -23.0),
    Analyte(50902, "Chloride", "mEq/L", 103.0, 2.0, 0, 96.0, 108.0, 1, -12.5),
    Analyte(50971, "Potassium", "mEq/L", 4.1, 0.28, 1, 3.3, 5.1, 2, 1.75),
    Analyte(50822, "Potassium, Whole Blood", "mEq/L", 4.0, 0.30, 1, 3.3, 5.1, 2, 1.85),
    Analyte(52610, "Potassium", "mEq/L", 4.1, 0.30, 1, 3.5, 5.4, 2, 1.85),
    Analyte(50912, "Creatinine", "mg/dL", 0.85, 0.17, 2, 0.4, 1.2, 3, 1.1, ratio=True),
    Analyte(51006, "Urea Nitrogen", "mg/dL", 14.0, 0.2, 1, 6.0, 20.0, 3, 1.25, ratio=True),
    Analyte(51007, "Uric Acid", "mg/dL", 4.6, 0.13, 1, 2.4, 7.0, 3, 0.8, ratio=True),
    Analyte(51222, "Hemoglobin", "g/dL", 13.9, 0.8, 1, 11.2, 15.7, 5, -5.2),
    Analyte(51221, "Hematocrit", "%", 41.5, 2.3, 1, 34.0, 45.0, 5, -15.0),
    Analyte(51279, "Red Blood Cells", "m/uL", 4.7, 0.25, 2, 3.9, 5.2, 5, -1.6),
    Analyte(50882, "Bicarbonate", "mEq/L", 25.0, 3.0, 0, 22.0, 32.0),
    Analyte(50931, "Glucose", "mg/dL", 115.0, 0.28, 0, 70.0, 105.0, ratio=True),
    Analyte(50893, "Calcium, Total", "mg/dL", 9.0, 0.5, 1, 8.4, 10.3),
    Analyte(50960, "Magnesium", "mg/dL", 2.0, 0.22, 1, 1.6, 2.6),
    Analyte(50970, "Phosphate", "mg/dL", 3.5, 0.7, 1, 2.7, 4.5),
    Analyte(51265, "Platelet Count", "K/uL", 230.0, 0.3, 0, 150.0, 440.0, ratio=True),
    Analyte(50861, "Alanine Aminotransferase (ALT)", "IU/L", 24.0, 0.5, 0, 0.0, 40.0, ratio=True),
)

_NUISANCE_MEASURED = 0.75


def draw_labs(shown: Sequence[int], generator: np.random.Generator) -> dict[int, float]:
    """One admission's first values by `itemid`; an analyte that was not measured is not in it.

    The analytes of signs always are; of the others, which are is independent of everything.

    Args:
        shown: 1 where the sign of that place in `SIGNS` is there; missing places are 0.
        generator: of everything that the signs do not say.
    """
    measured = generator.random(len(PANEL)) < [
        _NUISANCE_MEASURED if analyte.sign is None else 1.0 for analyte in PANEL
    ]
    noise = generator.standard_normal(len(PANEL))
    values = {}
    for analyte, is_measured, deviation in zip(PANEL, measured, noise, strict=True):
        if is_measured:
            sign = analyte.sign
            shift = analyte.shift if sign is not None and sum(shown[sign : sign + 1]) else 0.0
            values[analyte.itemid] = _value(analyte, shift, deviation)
    return values


def _value(analyte: Analyte, shift: float, deviation: float) -> float:
    if analyte.ratio:
        value = analyte.mean * np.exp(shift + analyte.sd * deviation)
    else:
        value = analyte.mean + shift + analyte.sd * deviation
    return round(float(value), analyte.decimals)

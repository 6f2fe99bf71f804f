"""Hold an open ECG recording: leads by name, in millivolts."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from clinical_symile.modalities.base import Rejected

_MILLIVOLTS_PER_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
MAX_SAMPLING_RATE_HZ = 100_000  # more is no rate of an ECG

# Weights of I and II for the limb leads that many carts do not store (Einthoven, Goldberger).
_FROM_I_AND_II = {"iii": (-1.0, 1.0), "avr": (-0.5, -0.5), "avl": (1.0, -0.5), "avf": (-0.5, 1.0)}

# "Lead" in the languages in which carts name leads, and the Latin American names of I, II and III.
_LEAD_WORDS = (
    "leads?|ableitung|abl\\.|derivaci[oó]n|deriva[cç][aã]o|d[eé]rivation|derivazione|"
    "avledning|afleiding"
)
_LATIN_NAMES = {"di": "i", "dii": "ii", "diii": "iii", "d1": "i", "d2": "ii", "d3": "iii"}


@dataclass(frozen=True, eq=False)
class Waveform:
    """An open recording.

    Attributes:
        names: names of its leads, as spelled by `lead_name`.
        units: unit of each lead.
        sampling_rate_hz: sampling rate of all leads.
        times: number of time points.
        load: returns the values of all leads in a range of time points, in their units, with NaN
            in gaps.
        load_leads: returns the same of some leads, given by index, as [lead, time]; None for files
            whose leads are only read together.
        notes: words on what is odd about the file.
    """

    names: Sequence[str]
    units: Sequence[str]
    sampling_rate_hz: float
    times: int
    load: Callable[[int, int], Float[np.ndarray, "time lead"]]
    notes: Sequence[str] = ()
    load_leads: Callable[[Sequence[int], int, int], Float[np.ndarray, "lead time"]] | None = None

    def __post_init__(self) -> None:
        rate = self.sampling_rate_hz
        if not (math.isfinite(rate) and 0 < rate <= MAX_SAMPLING_RATE_HZ):
            raise Rejected(
                "sampling-rate",
                f"the file states {rate:g} Hz; expected a positive number up to "
                f"{MAX_SAMPLING_RATE_HZ} Hz",
            )

    def order(self, leads: Sequence[str]) -> list[int]:
        """Return the index of each of `leads`.

        Raises:
            Rejected: `leads-missing` or `leads-repeated`.
        """
        counts, wanted = Counter(self.names), [lead.lower() for lead in leads]
        missing = [lead for lead, name in zip(leads, wanted, strict=True) if name not in counts]
        if missing:
            raise Rejected(
                "leads-missing", f"no {', '.join(missing)}; expected the {len(leads)} leads"
            )
        repeated = [lead for lead, name in zip(leads, wanted, strict=True) if counts[name] > 1]
        if repeated:
            raise Rejected("leads-repeated", f"{', '.join(repeated)} more than once; expected once")
        return [self.names.index(name) for name in wanted]

    def millivolts(
        self, leads: Sequence[str], first: int, last: int
    ) -> Float[np.ndarray, "lead time"]:
        """Return some leads in millivolts, from time point `first` to before `last`.

        Raises:
            Rejected: `unit`, `leads-missing`, `leads-repeated` or `not-readable`.
        """
        order = self.order(leads)
        units = [self.units[place] for place in order]
        factors = {unit: _MILLIVOLTS_PER_UNIT.get(unit.strip().lower()) for unit in set(units)}
        unknown = sorted({unit.strip() for unit, factor in factors.items() if factor is None})
        if unknown:
            raise Rejected("unit", f"'{', '.join(unknown)}'; expected V, mV, uV or nV")
        if self.load_leads is not None:
            signal = self.load_leads(order, first, last)
        else:
            signal = self.load(first, last).T[order]  # a copy, so that it can be scaled in place
        signal = np.ascontiguousarray(signal, dtype=np.float64)
        if any(factor != 1 for factor in factors.values()):
            signal *= np.array([factors[unit] for unit in units], dtype=np.float64)[:, None]
        return signal

    def needs_derived_leads(self) -> bool:
        """Return True if I and II are there, and none of the four leads that follow from them."""
        found = set(self.names)
        return {"i", "ii"} <= found and not found & set(_FROM_I_AND_II)

    def with_derived_leads(self) -> "Waveform":
        """Return the recording with III, aVR, aVL and aVF computed from I and II, in mV."""

        def load(first: int, last: int) -> Float[np.ndarray, "time lead"]:
            limb = self.millivolts(("I", "II"), first, last)
            derived = np.array(list(_FROM_I_AND_II.values())) @ limb
            return np.hstack([self.load(first, last), derived.T])

        return replace(
            self,
            names=[*self.names, *_FROM_I_AND_II],
            units=[*self.units, *["mV"] * len(_FROM_I_AND_II)],
            load=load,
            load_leads=None,
        )


@lru_cache(maxsize=1024)
def lead_name(text: str) -> str:
    """Return a lead's name in one spelling.

    Examples:
        >>> lead_name("MDC_ECG_LEAD_AVR"), lead_name(" ECG_V1 ")
        ('avr', 'v1')
        >>> lead_name("Lead I (Einthoven)")
        'i'
        >>> lead_name("Ableitung aVL"), lead_name("DII")
        ('avl', 'ii')
    """
    name = re.sub(r"\(.*?\)", "", text).strip().lower()
    name = re.sub(rf"^(mdc[ _])?(ecg[ _])?((?:{_LEAD_WORDS})[ _:-]*)?", "", name).strip()
    return _LATIN_NAMES.get(name, name)

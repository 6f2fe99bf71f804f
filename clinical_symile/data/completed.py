"""Panels of single values, such as labs, with what was not measured filled in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from clinical_symile.data.masks import sample_names
from clinical_symile.data.store import CohortStore

# Fills in the values of samples, NaN where unknown, whose names it is given.
Complete = Callable[[np.ndarray, Sequence[str]], np.ndarray]


def is_panel(store: CohortStore, modality: str) -> bool:
    """Return True for a modality of single values, each of which may be missing."""
    return store.array(modality).ndim == 2 and store.unmeasured(modality) is not None


def panel_values(
    store: CohortStore, modality: str, rows: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "row analyte"]:
    """Return the values that encoders may read, with noise, NaN where not measured or withheld."""
    values = np.asarray(store.array(modality)[rows], dtype=np.float64)
    if modality in store.noise:
        values = store.noise[modality].added_to(values, rows)
    if modality in store.withheld:
        hidden = store.withheld[modality].of(rows, values.shape[1:])
        values = np.where(hidden, np.nan, values)
    return values


def complete_panels(store: CohortStore, complete: Mapping[str, Complete]) -> CohortStore:
    """Return a store whose encoders read panels with what was not measured filled in.

    What is withheld is filled in too, without reading it. Noise is on measured values alone. A
    sample without the modality stays without it.

    Args:
        store: a prepared cohort.
        complete: for some panels, a function that fills in the values of samples.
    """
    converted, withheld, noise = dict(store.converted), dict(store.withheld), dict(store.noise)
    for name, fill_in in complete.items():
        rows = np.flatnonzero(store.present[:, store.modalities.index(name)])
        values = np.array(store.array(name), dtype=np.float32)
        values[rows] = fill_in(panel_values(store, name, rows), sample_names(store, rows))
        converted[name] = values
        withheld.pop(name, None)
        noise.pop(name, None)
    return replace(store, converted=converted, withheld=withheld, noise=noise)

"""Find leaks of modality adapters: inputs that depend on hidden parts of a measurement."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clinical_symile.data.parts import hide_parts
from clinical_symile.evaluation.leak_checks.fixtures import TOY_SPLITS, ToyStore
from clinical_symile.missingness.patterns import parse_pattern

_NAME = "toy"
_LENGTHS = {"analyte": 5, "lead": 12, "channel": 1, "row": 16, "column": 12}
_DURATION_S = 2
# By the axis that it needs: a pattern that hides some of a measurement.
_PATTERNS = {
    "analyte": f"{_NAME}-mcar-50",
    "lead": f"{_NAME}-leads-mcar-50",
    "time": f"{_NAME}-segment-0.5s",
    "row": f"{_NAME}-region-25",
}
_LARGE = 1e6


def modality_leaks(component: Any) -> Iterator[str]:
    """Yield a sentence for each leak of a modality adapter, under patterns within the modality.

    An adapter without named axes has no parts that a pattern could hide.

    Args:
        component: an adapter, or its class.
    """
    axes = getattr(component, "axes", ())
    if not axes:
        return
    store = _toy_store(component, axes)
    stored = store.arrays[_NAME]
    rows = np.arange(len(stored))
    for pattern in (parse_pattern(_PATTERNS[axis]) for axis in axes if axis in _PATTERNS):
        hiding = hide_parts(pattern, store, seed=0)
        hidden = np.broadcast_to(hiding.withheld[_NAME].of(rows, stored.shape[1:]), stored.shape)
        expected = hiding.inputs(_NAME, rows)
        if not np.isfinite(expected).all():
            yield f"the input is not finite where '{pattern.name}' hides something."
        others = {
            "the largest numbers": np.full_like(stored, _largest(stored.dtype)),
            "values of other subjects": np.roll(stored, 1, axis=0),
        }
        for content, values in others.items():
            filled = {_NAME: np.where(hidden, values, stored).astype(stored.dtype)}
            found = replace(hiding, arrays=filled).inputs(_NAME, rows)
            if not np.array_equal(found, expected, equal_nan=True):
                yield f"the input changes when what '{pattern.name}' hides holds {content}."


def _toy_store(component: Any, axes: tuple[str, ...]) -> ToyStore:
    """Return a store of one modality whose statistics do not depend on what is hidden."""
    made = component if isinstance(component, type) else type(component)
    lengths = {**_LENGTHS, "time": int(getattr(component, "sampling_rate_hz", 0) * _DURATION_S)}
    shape = tuple(lengths.get(axis, 1) for axis in axes)
    rng = np.random.default_rng(0)
    values = rng.integers(1, 200, (len(TOY_SPLITS), *shape)).astype(component.dtype)
    about = {
        "adapter": f"{made.__module__}:{made.__qualname__}",
        "shape": list(shape),
        "parts": [f"part-{number}" for number in range(shape[0])],
        "statistics": component.fit([values]),
    }
    names = [str(row) for row in range(len(values))]
    return ToyStore(
        path=Path("leak-check"),
        manifest={"cohort": "leak-check", "digest": "", "modalities": {_NAME: about}},
        samples=pd.DataFrame({"sample": names, "subject": names, "split": TOY_SPLITS}),
        modalities=(_NAME,),
        present=np.ones((len(values), 1), dtype=bool),
        candidates=None,
        arrays={_NAME: values},
    )


def _largest(dtype: np.dtype) -> float:
    """Return a number that no measurement has."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else _LARGE

"""Convert stored 8-bit grey levels into an encoder's input; shared by the X-ray adapters."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

MAX_GRAY_LEVEL = 255


def no_statistics(parts: Iterable[np.ndarray]) -> dict[str, Any]:
    """Return no statistics: grey levels are scaled by their range."""
    return {}


def scale_gray_levels(
    measurements: UInt8[np.ndarray, "sample 1 h w"],
    statistics: Mapping[str, Any],
    generator: np.random.Generator | None = None,
) -> Float[np.ndarray, "sample 1 h w"]:
    """Scale grey levels to 0 to 1."""
    return measurements.astype(np.float32) / highest_level(statistics)


def highest_level(statistics: Mapping[str, Any]) -> np.float32:
    """Return the highest grey level."""
    return np.float32(MAX_GRAY_LEVEL)

"""Add the noise of a pattern to measurements: to signals, images and values of a panel.

The noise is white and Gaussian. It depends on the seed, the modality and the sample's name alone,
and is multiplied by the pattern's level: a higher level adds more of the same noise, so that curves
over levels are paired.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, Shaped

from clinical_symile.hashing import digest_of


@dataclass(frozen=True, eq=False, repr=False)
class Noise:
    """The noise that encoders read on top of the measurements of one modality.

    Attributes:
        modality: the modality.
        names: the sample of each row of the store.
        seed: the seed of the noise.
        level: its standard deviation, as a share of `scale`.
        scale: in stored units, for each number or for all; None for the standard deviation of each
            recorded lead, over its time.
    """

    modality: str
    names: tuple[str, ...]
    seed: int
    level: float
    scale: Float[np.ndarray, "..."] | None

    def added_to(
        self, values: Shaped[np.ndarray, "row ..."], rows: Int[np.ndarray, " row"]
    ) -> Shaped[np.ndarray, "row ..."]:
        """Return measurements with noise, rounded and clipped to the numbers of their type.

        A lead that does not change gets none, since its signal has no power. A value that was not
        measured (NaN) stays so.

        Args:
            values: stored measurements.
            rows: their rows of the store.
        """
        noisy = np.empty_like(values)
        for place, row in enumerate(rows):
            recorded = values[place].astype(np.float64)
            spread = recorded.std(axis=-1, keepdims=True) if self.scale is None else self.scale
            found = recorded + self.level * spread * self._draw(int(row), recorded.shape)
            if values.dtype.kind in "iu":
                limits = np.iinfo(values.dtype)
                found = np.clip(np.rint(found), limits.min, limits.max)
            noisy[place] = found
        return noisy

    def _draw(self, row: int, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
        """Return the standard normal numbers of a sample."""
        words = f"{self.seed}/{self.modality}@noise/{self.names[row]}".encode()
        key = int.from_bytes(hashlib.blake2b(words, digest_size=16).digest(), "big")
        return np.random.default_rng(key).standard_normal(shape)


@dataclass(frozen=True, repr=False)
class NoiseMask:
    """The samples of a split that a pattern adds noise to; it hides nothing.

    Attributes:
        pattern: the name of the pattern.
        samples: the samples' names; all have the modality.
        rows: the samples, as rows of the store.
        noise: the noise.
    """

    pattern: str
    samples: tuple[str, ...]
    rows: Int[np.ndarray, " sample"]
    noise: Noise

    def __repr__(self) -> str:
        return f"NoiseMask({self.pattern!r}, {len(self.rows)} samples of {self.noise.modality})"

    def hidden_rate_among(self, rows: Int[np.ndarray, " selected"]) -> dict[str, float]:
        """Return the hidden share of the modality's measurements: none."""
        return {self.noise.modality: 0.0}

    @cached_property
    def digest(self) -> str:
        """A digest that is equal exactly if the same noise is added to the same samples."""
        scale = np.zeros(0) if self.noise.scale is None else self.noise.scale
        return digest_of(
            f"{self.noise.modality} noise {self.noise.level!r} {self.noise.seed}",
            "\n".join(sorted(self.samples)),
            np.asarray(scale, dtype="<f8").tobytes(),
        )

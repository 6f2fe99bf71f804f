"""Draw the factors of synthetic admissions, and compute their joint distribution exactly.

Each admission has latent factors, all fair coins:

- *redundant* factors, which X-ray, ECG and labs all show, each flipped with probability `flip`;
- *unique* factors of one modality alone;
- *synergistic* factors: e of the ECG and l of the labs. The X-ray shows e XOR l if i = 1, and e if
  i = 0. One i ~ Bernoulli(`synergy`) per admission applies to all its synergistic factors, as in
  the binary-XOR experiment of Saporta et al., "Contrasting with Symile", NeurIPS 2024, section
  5.1. https://arxiv.org/abs/2411.01053

Each modality shows a word of `bits` bits: the redundant factors lowest, then the unique, then the
synergistic. A measurement depends on the factors only through its word. It holds no more
information about the other modalities or the outcome than its word.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, Int

WORLD_MODALITIES = ("cxr", "ecg", "labs")
DETERIORATION = "deterioration"
# A radiologist's findings: the first, second and third sign of the X-ray.
CXR_FINDINGS = ("enlarged_heart", "lung_mass", "right_effusion")
_MAX_BITS = 6

_INTERCEPT = -0.9
_REDUNDANT_WEIGHT = 1.9
_UNIQUE_WEIGHT = 1.1
_SYNERGISTIC_WEIGHT = 1.2

JointDistribution = Float[np.ndarray, "cxr ecg labs"]


@dataclass(frozen=True, kw_only=True)
class World:
    """The numbers of factors of each kind, and the probabilities with which they are shown.

    Attributes:
        redundant: number of factors that all modalities show.
        unique: number of factors of each modality alone.
        synergistic: number of factors of ECG and labs that the X-ray combines.
        synergy: probability that the X-ray shows their XOR instead of the ECG's factors (p-hat).
        flip: probability that one modality shows a redundant factor wrongly.

    Raises:
        ValueError: a number of factors is negative, their sum is zero or too large, or a
            probability is outside [0, 1].
    """

    redundant: int
    unique: int
    synergistic: int
    synergy: float
    flip: float

    def __post_init__(self):
        counts = (self.redundant, self.unique, self.synergistic)
        if min(counts) < 0 or not 1 <= self.bits <= _MAX_BITS:
            raise ValueError(
                f"synthetic world: {self.redundant} redundant, {self.unique} unique and "
                f"{self.synergistic} synergistic factors; expected 1 to {_MAX_BITS} in all."
            )
        for name in ("synergy", "flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"synthetic world: {name} is {getattr(self, name)}; expected 0 to 1."
                )

    @property
    def bits(self) -> int:
        """Number of bits in a modality's word."""
        return self.redundant + self.unique + self.synergistic

    def draw(self, generator: np.random.Generator) -> tuple[Int[np.ndarray, "modality bit"], bool]:
        """Draw one admission: the bits of X-ray, ECG and labs, and True if it deteriorates."""
        factors = generator.integers(0, 2, self.redundant)
        redundant = factors ^ (generator.random((3, self.redundant)) < self.flip)
        unique = generator.integers(0, 2, (3, self.unique))
        synergistic = generator.integers(0, 2, (3, self.synergistic))
        combined = generator.random() < self.synergy
        synergistic[0] = synergistic[1] ^ synergistic[2] if combined else synergistic[1]
        logit = _logit(factors.sum(), unique.sum(), synergistic[0].sum(), world=self)
        deteriorates = bool(generator.random() < _probability(logit))
        return np.concatenate([redundant, unique, synergistic], axis=1), deteriorates

    def joint(self) -> JointDistribution:
        """Return the probability of every combination of words."""
        return np.sum([joint for _, joint in self._by_redundant_factors()], axis=0)

    def joint_with_outcome(self) -> JointDistribution:
        """Return the probability of every combination of words together with deterioration."""
        words = np.arange(2**self.bits)
        unique = _ones(words >> self.redundant, self.unique)
        unique = unique[:, None, None] + unique[None, :, None] + unique[None, None, :]
        synergistic = _ones(words >> (self.redundant + self.unique), self.synergistic)[
            :, None, None
        ]
        total = np.zeros((len(words),) * 3)
        for redundant, joint in self._by_redundant_factors():
            total += joint * _probability(_logit(redundant, unique, synergistic, world=self))
        return total

    def joint_with_finding(self, finding: str) -> JointDistribution:
        """Return the joint of words, with zeros where the X-ray does not show the finding."""
        sign_bits = (np.arange(2**self.bits) >> CXR_FINDINGS.index(finding)) & 1
        return self.joint() * sign_bits[:, None, None]

    def _by_redundant_factors(self) -> Iterator[tuple[int, JointDistribution]]:
        """Yield the number of ones of each redundant combination, and its part of the joint."""
        words = 2**self.unique
        others = np.kron(self._synergistic(), np.full((words,) * 3, 1 / words**3))
        sign_bits = ((1 - self.flip, self.flip), (self.flip, 1 - self.flip))
        for factors in product((0, 1), repeat=self.redundant):
            joint = others
            for factor in factors:
                p = np.array(sign_bits[factor])
                joint = np.kron(joint, np.einsum("c,e,l->cel", p, p, p) / 2)
            yield sum(factors), joint

    def _synergistic(self) -> JointDistribution:
        """Return the joint distribution of the synergistic bits alone."""
        words = 2**self.synergistic
        ecg, labs = np.indices((words, words))
        joint = np.zeros((words,) * 3)
        np.add.at(joint, (ecg ^ labs, ecg, labs), self.synergy / words**2)
        np.add.at(joint, (ecg, ecg, labs), (1 - self.synergy) / words**2)
        return joint


def bits_to_integers(bits: Int[np.ndarray, "*rows bit"]) -> Int[np.ndarray, "*rows"]:
    """Convert each row of bits into one number, the first bit lowest."""
    return bits @ (1 << np.arange(bits.shape[-1]))


def _ones(numbers: Int[np.ndarray, " word"], bits: int) -> Int[np.ndarray, " word"]:
    """Count the ones among the lowest bits of each number."""
    return ((numbers[:, None] >> np.arange(bits)) & 1).sum(axis=1)


def _logit(redundant: Any, unique: Any, synergistic: Any, *, world: World) -> Any:
    """Return the log odds of deterioration.

    Args:
        redundant: number of ones among the redundant factors.
        unique: number of ones among the unique factors of all modalities.
        synergistic: number of ones among the synergistic bits of the X-ray.
        world: the numbers of factors, which centre the log odds.
    """
    return (
        _INTERCEPT
        + _REDUNDANT_WEIGHT * (redundant - world.redundant / 2)
        + _UNIQUE_WEIGHT * (unique - 3 * world.unique / 2)
        + _SYNERGISTIC_WEIGHT * (synergistic - world.synergistic / 2)
    )


def _probability(logit: Any) -> Any:
    return 1 / (1 + np.exp(-logit))

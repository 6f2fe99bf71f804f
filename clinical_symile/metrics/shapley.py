"""Compute exact Shapley values of modalities over all patterns, and their interactions.

v(S) is the metric of a model that may use the modalities S, on the same samples for all S; v(∅) is
the chance level.

- *shapley* of m: the mean of v(S + m) - v(S) over all orders of adding modalities. The values add
  up to v(all) - v(∅). They are exact: all 2^M - 1 patterns are evaluated, none is sampled;
- *alone*: v(m) - v(∅); *left out*: v(all) - v(all without m);
- *interaction* of S: Σ over T ⊆ S of (-1)^(|S| - |T|) v(T). Of a pair, v(ab) - v(a) - v(b) + v(∅):
  above 0 the two give more together than separately (synergy), below 0 they repeat each other
  (redundancy). Of more modalities, what no smaller set explains.

The values describe *this model under this metric*: a model that cannot use a modality gives it 0.
Synergy and redundancy of a metric are not those of information theory; if both are present, only
their difference is measured.

Sources: Shapley, "A value for n-person games", 1953. Harsanyi, "A simplified bargaining model for
the n-person cooperative game", International Economic Review 4, 1963 (interactions as dividends).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import Any

Modalities = frozenset[str]
SubsetValues = Mapping[Modalities, Any]


def modality_subsets(modalities: Sequence[str]) -> list[Modalities]:
    """Return every set of modalities, the empty one first."""
    sizes = range(len(modalities) + 1)
    return [frozenset(s) for size in sizes for s in combinations(modalities, size)]


def shapley_values(values: SubsetValues, modalities: Sequence[str]) -> dict[str, Any]:
    """Compute the Shapley value of each modality.

    Args:
        values: v of every set; numbers, or arrays such as resamples.
        modalities: all modalities.

    Raises:
        ValueError: a set has no value.
    """
    _check(values, modalities)
    n = len(modalities)
    shares: dict[str, float] = {}
    for modality in modalities:
        others = [name for name in modalities if name != modality]
        shares[modality] = sum(
            factorial(len(s))
            * factorial(n - len(s) - 1)
            / factorial(n)
            * (values[s | {modality}] - values[s])
            for s in modality_subsets(others)
        )
    return shares


def interaction(values: SubsetValues, together: Sequence[str]) -> Any:
    """Compute the joint contribution of modalities that no smaller set of them explains."""
    _check(values, together)
    return sum((-1) ** (len(together) - len(s)) * values[s] for s in modality_subsets(together))


def value_alone(values: SubsetValues, modality: str) -> Any:
    """Compute the contribution of a modality alone."""
    return values[frozenset([modality])] - values[frozenset()]


def value_left_out(values: SubsetValues, modalities: Sequence[str], modality: str) -> Any:
    """Compute the loss without a modality when all others are available."""
    return values[frozenset(modalities)] - values[frozenset(modalities) - {modality}]


def _check(values: SubsetValues, modalities: Sequence[str]) -> None:
    unknown = [s for s in modality_subsets(modalities) if s not in values]
    if unknown:
        raise ValueError(
            f"no value of {', '.join('+'.join(sorted(s)) or 'none' for s in unknown)}; expected "
            f"one of every set of {', '.join(modalities)}. Evaluate the patterns that are missing."
        )

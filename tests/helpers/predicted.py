"""Samples whose modalities tell an outcome as a test plants it, for diagnostics of predictions."""

from collections.abc import Sequence

import numpy as np

from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs
from tests.helpers.examined import examined

PROBE = {"name": "logistic", "strengths": [1.0]}


def planted(
    diagnostic: str,
    strengths: Sequence[float],
    rng: np.random.Generator,
    *,
    samples: int = 120,
    metrics: Sequence[str],
    noise: float = 1.0,
) -> DiagnosticInputs:
    """Return samples of two outcomes, of which each modality tells as much as its strength.

    Args:
        diagnostic: the registered name.
        strengths: for each modality, the distance of the two outcomes in its first number.
        rng: draws the noise.
        samples: their number; train samples are as many, with another noise.
        metrics: of the task.
        noise: standard deviation of each number.
    """
    outcome = np.arange(samples) % 2
    table = {
        "outcome": "event",
        "probe": PROBE,
        "diagnostic": {"name": diagnostic},
        "metrics": list(metrics),
        "primary": metrics[0],
    }

    def drawn() -> np.ndarray:
        z = noise * rng.normal(size=(samples, len(strengths), 3))
        z[:, :, 0] += np.outer(outcome - 0.5, strengths)
        return z

    return examined(drawn(), train=drawn(), outcome=outcome, table=table)

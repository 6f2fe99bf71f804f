"""The people of the canary: made up, small, and with something withheld from half of them.

As embeddings they are read from memory; what reads a store has them as one, of three panels of
numbers, in which withheld slots hold whatever the canary puts there.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clinical_symile.modalities.labs import Labs
from clinical_symile.store import CohortStore
from clinical_symile.supervised import Cases
from clinical_symile.task import Classification, Pretraining, task_from

MODALITIES = ("cxr", "ecg", "labs")
SAMPLES = 12
DIM = 8
ANALYTES = 5
# Of a store, by row: twelve people to learn from, twelve to choose by, twelve to predict.
SPLITS = np.repeat(["train", "tuning", "held_out"], SAMPLES)
OUTCOME = "event"


def people(width: int, *, samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    """Vectors of unit length and what is seen: of twelve half are complete, half lack something."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(samples, len(MODALITIES), width, generator=generator)
    lacking = torch.eye(len(MODALITIES), dtype=torch.bool)
    whole = torch.ones(SAMPLES // 2, len(MODALITIES), dtype=torch.bool)
    present = torch.cat([whole, ~lacking, lacking]).repeat(samples // SAMPLES, 1)
    return nn.functional.normalize(z, dim=2), present


@dataclass(frozen=True, eq=False)
class Hospital(CohortStore):
    """A store in memory.

    Attributes:
        arrays: the measurements of each modality.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def array(self, modality: str) -> np.ndarray:
        """The measurements of a modality."""
        return self.arrays[modality]


def hospital(
    measured: Float[np.ndarray, "sample modality analyte"],
    present: Bool[np.ndarray, "sample modality"],
    outcome: Int[np.ndarray, " sample"] | None = None,
) -> Hospital:
    """A store of these people, whose statistics do not depend on what is withheld."""
    known = people(ANALYTES, samples=len(measured))[0].numpy()
    about = {
        name: {
            "adapter": "labs",
            "shape": [ANALYTES],
            "parts": [f"analyte-{number}" for number in range(ANALYTES)],
            "statistics": Labs.fit([known[:, column]]),
        }
        for column, name in enumerate(MODALITIES)
    }
    names = [str(row) for row in range(len(measured))]
    samples = pd.DataFrame({"sample": names, "subject": names, "split": SPLITS[: len(measured)]})
    event = labels(len(measured)) if outcome is None else outcome
    return Hospital(
        path=Path("canary"),
        manifest={"cohort": "canary", "cohort_digest": "", "digest": "", "modalities": about},
        samples=samples.assign(**{f"outcome_{OUTCOME}": event.astype(float)}),
        modalities=MODALITIES,
        present=present,
        candidates=None,
        arrays={name: measured[:, column] for column, name in enumerate(MODALITIES)},
    )


def labels(samples: int) -> np.ndarray:
    """Of two people each, by turns."""
    return (np.arange(samples) // 2) % 2


def cases(split: str, seen: Bool[np.ndarray, "sample modality"]) -> Cases:
    """The people of a split of the store, and what may be used of them."""
    rows = np.flatnonzero(split == SPLITS)
    return Cases(rows, seen[rows], labels(len(SPLITS))[rows])


def classification() -> Classification:
    """The task of predicting their outcome."""
    asked: dict[str, Any] = {
        "kind": "classification",
        "description": "Whether something happened.",
        "outcome": OUTCOME,
        "inputs": list(MODALITIES),
        "split": "held_out",
        "missingness": ["observed"],
        "metrics": ["auroc"],
        "primary": "auroc",
        "probe": {"name": "logistic", "strengths": [1.0]},
    }
    made = task_from(asked, name="classification/canary", where="canary")
    assert isinstance(made, Classification)
    return made


def pretraining() -> Pretraining:
    """A task whose encoders are small, for who trains some."""
    encoder = {"name": "mlp", "hidden": [DIM], "centred": True}
    asked: dict[str, Any] = {
        "kind": "pretraining",
        "description": "Small encoders.",
        "modalities": list(MODALITIES),
        "missingness": "observed",
        "dim": DIM,
        "norm": "l2",
        "absent": "omit",
        "batch_size": SAMPLES // 2,
        "epochs": 2,
        "objective": {"name": "clip", "reduction": "mean", "temperature": 0.07},
        "encoders": dict.fromkeys(MODALITIES, encoder),
        "optimiser": {
            "learning_rate": 0.01,
            "weight_decay": 0.05,
            "warmup_fraction": 0.1,
            "gradient_clip": 1.0,
        },
        "selection": {"metric": "mean_reciprocal_rank", "targets": list(MODALITIES)},
    }
    made = task_from(asked, name="pretraining/canary", where="canary")
    assert isinstance(made, Pretraining)
    return made

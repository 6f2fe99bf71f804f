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

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.store import CohortStore
from clinical_symile.modalities.labs import Labs
from clinical_symile.training.supervised import LabelledRows

MODALITIES = ("cxr", "ecg", "labs")
SAMPLES = 12
DIM = 8
ANALYTES = 5
# Of a store, by row: twelve people to learn from, twelve to choose by, twelve to predict.
SPLITS = np.repeat(["train", "tuning", "held_out"], SAMPLES)
OUTCOME = "event"


def toy_embeddings(width: int, *, samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    """Vectors of unit length and what is seen: of twelve half are complete, half lack something."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(samples, len(MODALITIES), width, generator=generator)
    lacking = torch.eye(len(MODALITIES), dtype=torch.bool)
    whole = torch.ones(SAMPLES // 2, len(MODALITIES), dtype=torch.bool)
    present = torch.cat([whole, ~lacking, lacking]).repeat(samples // SAMPLES, 1)
    return nn.functional.normalize(z, dim=2), present


@dataclass(frozen=True, eq=False)
class ToyStore(CohortStore):
    """A store in memory.

    Attributes:
        arrays: the measurements of each modality.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def array(self, modality: str) -> np.ndarray:
        """The measurements of a modality."""
        return self.arrays[modality]


def toy_store(
    measured: Float[np.ndarray, "sample modality analyte"],
    present: Bool[np.ndarray, "sample modality"],
    outcome: Int[np.ndarray, " sample"] | None = None,
) -> ToyStore:
    """A store of these people, whose statistics do not depend on what is withheld."""
    known = toy_embeddings(ANALYTES, samples=len(measured))[0].numpy()
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
    event = toy_labels(len(measured)) if outcome is None else outcome
    return ToyStore(
        path=Path("canary"),
        manifest={"cohort": "canary", "cohort_digest": "", "digest": "", "modalities": about},
        samples=samples.assign(**{f"outcome_{OUTCOME}": event.astype(float)}),
        modalities=MODALITIES,
        present=present,
        candidates=None,
        arrays={name: measured[:, column] for column, name in enumerate(MODALITIES)},
    )


def toy_labels(samples: int) -> np.ndarray:
    """Of two people each, by turns."""
    return (np.arange(samples) // 2) % 2


def toy_labelled_rows(split: str, available: Bool[np.ndarray, "sample modality"]) -> LabelledRows:
    """The people of a split of the store, and what may be used of them."""
    rows = np.flatnonzero(split == SPLITS)
    return LabelledRows(rows, available[rows], toy_labels(len(SPLITS))[rows])


def toy_classification() -> Classification:
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
    made = parse_task(asked, name="classification/canary", where="canary")
    assert isinstance(made, Classification)
    return made


def toy_pretraining() -> Pretraining:
    """A task whose encoders are small, for who trains some."""
    encoder = {"name": "mlp", "hidden": [DIM], "centred": True}
    asked: dict[str, Any] = {
        "kind": "pretraining",
        "description": "Small encoders.",
        "modalities": list(MODALITIES),
        "missingness": "observed",
        "dim": DIM,
        "norm": "l2",
        "missing_modality": "drop",
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
    made = parse_task(asked, name="pretraining/canary", where="canary")
    assert isinstance(made, Pretraining)
    return made

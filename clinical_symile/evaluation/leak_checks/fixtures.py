"""Make toy data for the leakage check: few subjects, half of them with something hidden.

A component reads them as embeddings in memory, or as a store of three tabular modalities whose
hidden slots hold what the check puts there.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clinical_symile.config.component import ComponentConfig
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.data.store import CohortStore
from clinical_symile.modalities.labs import Labs
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.views import EncodedView, View
from clinical_symile.training.supervised import LabelledRows

TOY_MODALITIES = ("cxr", "ecg", "labs")
TOY_SAMPLES = 12
TOY_DIM = 8
TOY_ANALYTES = 5
TOY_LABELS = ("first", "second")  # the columns of `toy_side`'s labels
# The split of each row of the toy store: twelve samples each.
TOY_SPLITS = np.repeat(["train", "tuning", "held_out"], TOY_SAMPLES)
TOY_OUTCOME = "event"
TOY_NUMBER = "age"


def toy_side(rows: Int[Tensor, " sample"]) -> SideInformation:
    """Return side information of every kind, some of it unknown, as a function of the rows.

    Every subject has two samples. One sample of each four has unknown labels.
    """
    labels = torch.stack([(rows // 2) % 2, (rows % 5) - 1], dim=1).clamp(max=1).float()
    labels[rows % 4 == 3] = torch.nan
    values = torch.stack([(rows % (7 + place)) / 9 for place in range(3)], dim=1).float()
    values[rows % 3 == 1, 0] = torch.nan
    number = (2.0 * (rows % 7)).masked_fill(rows % 5 == 4, torch.nan)
    shares = torch.tensor([0.5, 0.2])
    return SideInformation(rows, labels, rows // 2, values, number, positive_shares=shares)


def toy_input(
    objective: Objective,
    embeddings: Embeddings,
    side: SideInformation | None = None,
    *,
    seed: int = 0,
    progress: float = 0.0,
) -> ObjectiveInput:
    """Return the input of a step whose encoder scales its input to length 1, with every view.

    The teacher's embeddings are those of the batch, without gradient. What a view leaves
    out is NaN.

    Args:
        objective: makes the views.
        embeddings: the embeddings of the batch; they are also the inputs that views are made from.
        side: the side information; by default of every kind.
        seed: seed of what the views draw.
        progress: 0 at the first step of the training, 1 at the last.
    """
    exact = embeddings.z.to(torch.promote_types(embeddings.z.dtype, torch.float32))
    columns = zip(embeddings.modalities, exact.unbind(dim=1), strict=True)
    batch = Batch(dict(columns), embeddings.available, embeddings.modalities, embeddings.rows)
    drawn = torch.Generator().manual_seed(seed)
    first, *others = objective.views(batch, generator=drawn, progress=progress)

    def encoded(view: View) -> EncodedView:
        available = view.batch.available
        has = available[:, :, None]
        inputs = torch.stack([view.batch.inputs[name] for name in embeddings.modalities], dim=1)
        z = nn.functional.normalize(torch.where(has, inputs, torch.zeros_like(inputs)), dim=2)
        # What is hidden stays, to show what reads it; what the view left out is no number.
        left_out = (embeddings.available & ~available)[:, :, None]
        kept = torch.where(has, z, exact).masked_fill(left_out, torch.nan)
        return view.encoded(replace(embeddings, z=kept, available=available))

    further = tuple(encoded(view) for view in others)
    if first.batch is not batch:
        embeddings = encoded(first).embeddings
    teacher = None if objective.momentum is None else embeddings.detached()
    side = side or toy_side(embeddings.rows)
    return ObjectiveInput(embeddings, side, further, progress, teacher)


def toy_embeddings(width: int, *, samples: int = TOY_SAMPLES) -> tuple[Tensor, Tensor]:
    """Return vectors of length 1 and `available`: of twelve samples half are complete."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(samples, len(TOY_MODALITIES), width, generator=generator)
    lacking = torch.eye(len(TOY_MODALITIES), dtype=torch.bool)
    whole = torch.ones(TOY_SAMPLES // 2, len(TOY_MODALITIES), dtype=torch.bool)
    present = torch.cat([whole, ~lacking, lacking]).repeat(samples // TOY_SAMPLES, 1)
    return nn.functional.normalize(z, dim=2), present


@dataclass(frozen=True, eq=False, repr=False)
class ToyStore(CohortStore):
    """A store in memory.

    Attributes:
        arrays: the measurements, by modality.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def array(self, modality: str) -> np.ndarray:
        """Return the measurements of a modality."""
        return self.arrays[modality]


def toy_store(
    values: Float[np.ndarray, "sample modality analyte"],
    present: Bool[np.ndarray, "sample modality"],
    outcome: Int[np.ndarray, " sample"] | None = None,
) -> ToyStore:
    """Return a store of the toy subjects; its statistics do not depend on hidden slots."""
    known = toy_embeddings(TOY_ANALYTES, samples=len(values))[0].numpy()
    about = {
        name: {
            "adapter": "labs",
            "shape": [TOY_ANALYTES],
            "parts": [f"analyte-{number}" for number in range(TOY_ANALYTES)],
            "statistics": Labs.fit([known[:, column]]),
        }
        for column, name in enumerate(TOY_MODALITIES)
    }
    names = [str(row) for row in range(len(values))]
    samples = pd.DataFrame({"sample": names, "subject": names, "split": TOY_SPLITS[: len(values)]})
    samples[f"kept_{TOY_NUMBER}"] = 30.0 + (7 * np.arange(len(values))) % 40
    samples["group_sex"] = np.where(np.arange(len(values)) % 2, "M", "F").astype(object)
    event = toy_labels(len(values)) if outcome is None else outcome
    return ToyStore(
        path=Path("leak-check"),
        manifest={"cohort": "leak-check", "cohort_digest": "", "digest": "", "modalities": about},
        samples=samples.assign(**{f"outcome_{TOY_OUTCOME}": event.astype(float)}),
        modalities=TOY_MODALITIES,
        present=present,
        candidates=None,
        arrays={name: values[:, column] for column, name in enumerate(TOY_MODALITIES)},
    )


def toy_labels(samples: int) -> np.ndarray:
    """Return labels: two samples of class 0, two of class 1, and so on."""
    return (np.arange(samples) // 2) % 2


def toy_labelled_rows(split: str, available: Bool[np.ndarray, "sample modality"]) -> LabelledRows:
    """Return the samples of a split with their labels."""
    rows = np.flatnonzero(split == TOY_SPLITS)
    return LabelledRows(rows, available[rows], toy_labels(len(TOY_SPLITS))[rows])


def toy_classification() -> Classification:
    """Return a task that predicts the toy outcome."""
    table: dict[str, Any] = {
        "kind": "classification",
        "description": "Predict a toy event.",
        "outcome": TOY_OUTCOME,
        "inputs": list(TOY_MODALITIES),
        "split": "held_out",
        "missingness": ["observed"],
        "metrics": ["auroc"],
        "primary": "auroc",
        "probe": {"name": "logistic", "strengths": [1.0]},
    }
    made = parse_task(table, name="classification/leak-check", where="leak-check")
    assert isinstance(made, Classification)
    return made


def toy_diagnostic() -> DiagnosticTask:
    """Return a task that examines the toy modalities, with a toy outcome and a probe."""
    table: dict[str, Any] = {
        "kind": "diagnostic",
        "description": "Examine toy embeddings.",
        "inputs": list(TOY_MODALITIES),
        "split": "held_out",
        "missingness": ["observed"],
        "metrics": ["cross_uniformity"],
        "primary": "cross_uniformity",
        "diagnostic": {"name": "health"},
    }
    made = parse_task(table, name="diagnostic/leak-check", where="leak-check")
    assert isinstance(made, DiagnosticTask)
    # For a diagnostic that reads predictions; `health` reads none.
    return made.model_copy(
        update={
            "outcome": TOY_OUTCOME,
            "probe": ComponentConfig.model_validate({"name": "logistic", "strengths": [1.0]}),
        }
    )


def toy_pretraining(*, supervised: bool = False) -> Pretraining:
    """Return a pretraining task with small encoders.

    Args:
        supervised: True for the objective `outcome` of the toy outcome, in place of `clip`.
    """
    encoder = {"name": "mlp", "hidden": [TOY_DIM], "centred": True}
    table: dict[str, Any] = {
        "kind": "pretraining",
        "description": "Small encoders.",
        "modalities": list(TOY_MODALITIES),
        "missingness": "observed",
        "dim": TOY_DIM,
        "norm": "l2",
        "missing_modality": "drop",
        "batch_size": TOY_SAMPLES // 2,
        "epochs": 2,
        "objective": {"name": "clip", "reduction": "mean", "temperature": 0.07},
        "encoders": dict.fromkeys(TOY_MODALITIES, encoder),
        "optimiser": {
            "learning_rate": 0.01,
            "weight_decay": 0.05,
            "warmup_fraction": 0.1,
            "gradient_clip": 1.0,
        },
        "selection": {"metric": "mean_reciprocal_rank", "targets": list(TOY_MODALITIES)},
    }
    if supervised:
        table |= {
            "objective": {"name": "outcome"},
            "side": {"labels": [TOY_OUTCOME]},
            "selection": {"metric": "auroc", "targets": [TOY_OUTCOME]},
        }
    made = parse_task(table, name="pretraining/leak-check", where="leak-check")
    assert isinstance(made, Pretraining)
    return made

"""Embeddings in memory that a diagnostic examines, and what it finds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.diagnostics.base import (
    Diagnostic,
    DiagnosticInputs,
    DiagnosticMeasure,
)
from clinical_symile.evaluation.leak_checks.fixtures import ToyStore
from clinical_symile.evaluation.predictors.base import draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.objectives.clip import Clip
from clinical_symile.stats.bootstrap import MetricSample, metric_intervals
from clinical_symile.stats.estimate import Interval

NAMES = ("a", "b", "c")


def fixture_f() -> np.ndarray:
    """The embeddings of four samples, three modalities and three numbers that golden values use."""
    sample, modality, number = np.meshgrid(range(4), range(3), range(3), indexing="ij")
    raw = (7 * sample + 3 * number + 5 * modality + sample * number) % 11 - 5.0
    return raw / np.linalg.norm(raw, axis=2, keepdims=True)


def examined(
    z: np.ndarray,
    *,
    train: np.ndarray | None = None,
    available: np.ndarray | None = None,
    train_available: np.ndarray | None = None,
    subjects: Sequence[str] | None = None,
    table: Mapping[str, Any] | None = None,
    pattern: str = "observed",
    outcome: np.ndarray | None = None,
    number: np.ndarray | None = None,
) -> DiagnosticInputs:
    """Return what a diagnostic gets: samples to examine, and others to learn from.

    Args:
        z: the embeddings of the examined samples, [sample, modality, dim].
        train: those of train and of tuning samples; by default equal to `z`.
        available: True where an examined sample has a modality; by default everywhere.
        train_available: the same of train samples.
        subjects: the subject of each examined sample; by default one each.
        table: further fields of the task.
        pattern: the missingness pattern.
        outcome: the outcome `event` of the examined and of the train samples alike.
        number: the kept column `age` of the examined and of the train samples alike.
    """
    learned = z if train is None else train
    every = np.concatenate([learned, learned, z])
    sizes = [len(learned), len(learned), len(z)]
    has = np.ones(every.shape[:2], dtype=bool)
    if available is not None:
        has[-len(z) :] = available
    if train_available is not None:
        has[: len(learned)] = train_available
    names = [str(row) for row in range(len(every))]
    own = [*names[: -len(z)], *(names[-len(z) :] if subjects is None else subjects)]
    samples = pd.DataFrame(
        {
            "sample": names,
            "subject": own,
            "split": np.repeat(["train", "tuning", "held_out"], sizes),
        }
    )
    if outcome is not None:
        samples["outcome_event"] = np.tile(outcome, 3).astype(float)
    if number is not None:
        samples["kept_age"] = np.tile(number, 3)
    modalities = NAMES[: z.shape[1]]
    store = ToyStore(
        path=Path("examined"),
        manifest={"cohort": "examined", "cohort_digest": "", "digest": "", "modalities": {}},
        samples=samples,
        modalities=modalities,
        present=has,
        candidates=None,
    )
    embeddings = Embeddings(
        torch.from_numpy(every), torch.from_numpy(has), modalities, torch.arange(len(every))
    )
    fields = {
        "kind": "diagnostic",
        "description": "Examine.",
        "inputs": list(modalities),
        "split": "held_out",
        "missingness": [pattern],
        "metrics": ["gap"],
        "primary": "gap",
        "diagnostic": {"name": "gap", "candidates": 2, "noise": 0.1, "shifts": [1.0]},
    }
    task = parse_task({**fields, **(table or {})}, name="diagnostic/x", where="x.toml")
    assert isinstance(task, DiagnosticTask)
    request = draw_request(task, store, parse_pattern(pattern))
    return DiagnosticInputs(request, EmbeddingPredictor(embeddings, Clip(), store), store)


def values(diagnostic: Diagnostic, inputs: DiagnosticInputs) -> dict[str, float]:
    """Return what a diagnostic measures, by name."""
    return {one.metric.name: value_of(one) for one in diagnostic.measure(inputs)}


def value_of(one: DiagnosticMeasure) -> float:
    """Return the value of a measure on all samples."""
    return one.metric.compute(*(one.columns[name] for name in one.metric.columns))


def intervals_of(
    measures: Sequence[DiagnosticMeasure], samples: int, *, resamples: int = 200
) -> dict[str, Interval]:
    """The intervals of the measures that have one; each sample is a subject of its own."""
    numbers = [
        MetricSample(
            one.metric.compute,
            [one.columns[name] for name in one.metric.columns],
            one.metric.interval,
            one.metric.weighted,
            one.metric.estimate,
        )
        for one in measures
    ]
    found = metric_intervals(
        numbers, np.arange(samples), rng=np.random.default_rng(0), resamples=resamples
    )
    return {
        one.metric.name: interval
        for one, interval in zip(measures, found, strict=True)
        if isinstance(interval, Interval)
    }

"""Find leaks of what predicts outcomes, probes and baselines, and of diagnostics.

A prediction must not change with the content of hidden slots, with the other samples of the
request, with the outcome of the predicted samples, or with whether hidden measurements exist.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.baselines.base import BaselineInputs
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs
from clinical_symile.evaluation.leak_checks._comparison import (
    differences,
    factory,
    with_zeros,
)
from clinical_symile.evaluation.leak_checks.fixtures import (
    TOY_ANALYTES,
    TOY_DIM,
    TOY_MODALITIES,
    TOY_OUTCOME,
    TOY_SPLITS,
    toy_classification,
    toy_diagnostic,
    toy_embeddings,
    toy_labelled_rows,
    toy_labels,
    toy_pretraining,
    toy_store,
)
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.probes.base import (
    EmbeddedSamples,
    Encoders,
    LabelledSamples,
    ProbeInputs,
)
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.objectives.clip import Clip
from clinical_symile.training.learner import build_learner

_PREDICTED = np.flatnonzero(TOY_SPLITS == "held_out")


def probe_leaks(component: Any) -> Iterator[str]:
    """Yield a sentence for each leak of a probe, also where it trains encoders further.

    Args:
        component: a probe, or a class that is made without arguments.
    """
    make = factory(component)
    # Embeddings and, after them, measurements: both are filled in the same slots.
    everything, present = toy_embeddings(TOY_DIM + TOY_ANALYTES, samples=len(TOY_SPLITS))
    available, measured = present.numpy(), np.ones(present.shape, dtype=bool)
    store = toy_store(everything[..., TOY_DIM:].numpy(), measured)
    learner = build_learner(toy_pretraining(supervised=True), store, seed=0).eval()

    def predict(
        slots: Tensor,
        some: slice = slice(None),
        outcome: np.ndarray | None = None,
        measured: np.ndarray = measured,
    ) -> Tensor:
        z, rows = slots[..., :TOY_DIM].numpy(), _PREDICTED[some]
        train, tuning = (
            LabelledSamples(known.rows, z[known.rows], known.available, TOY_MODALITIES, known.label)
            for known in (toy_labelled_rows(split, available) for split in ("train", "tuning"))
        )
        samples = EmbeddedSamples(rows, z[rows], available[rows], TOY_MODALITIES)
        read = toy_store(slots[..., TOY_DIM:].numpy(), measured, outcome)
        inputs = ProbeInputs(
            train,
            tuning,
            samples,
            Encoders(learner, read),
            seed=0,
            outcome=TOY_OUTCOME,
            embeddings=Embeddings(
                slots[rows, :, :TOY_DIM], present[rows], TOY_MODALITIES, torch.from_numpy(rows)
            ),
        )
        return _as_tensor(make().predict(inputs))

    yield from _prediction_leaks(predict, everything, present, measured)


def baseline_leaks(component: Any) -> Iterator[str]:
    """Yield a sentence for each leak of a baseline, which reads a store.

    For a baseline that learns from all measurements of training samples, hidden training slots are
    not measured at all.

    Args:
        component: a baseline, or a class that is made without arguments.
    """
    make = factory(component)
    values, present = toy_embeddings(TOY_ANALYTES, samples=len(TOY_SPLITS))
    available = present.numpy()
    is_predicted = (TOY_SPLITS == "held_out")[:, None]
    measured = available | (is_predicted | (not make().learns_from_all))

    def inputs(
        slots: Tensor,
        some: slice = slice(None),
        outcome: np.ndarray | None = None,
        measured: np.ndarray = measured,
    ) -> BaselineInputs:
        rows = _PREDICTED[some]
        return BaselineInputs(
            toy_labelled_rows("train", available),
            toy_labelled_rows("tuning", available),
            Request(toy_classification(), rows, available[rows], parse_pattern("observed")),
            toy_store(slots.numpy(), measured, outcome),
            toy_pretraining(),
        )

    def next_prediction(slots: Tensor) -> dict[str, Tensor]:
        baseline = make()
        baseline.predict(inputs(slots))
        clean = inputs(with_zeros(values, present))
        return {"the prediction of the next request": _as_tensor(baseline.predict(clean))}

    yield from _prediction_leaks(
        lambda *given, **named: _as_tensor(make().predict(inputs(*given, **named))),
        values,
        present,
        measured,
    )
    yield from differences(next_prediction, values, present)


def diagnostic_leaks(component: Any) -> Iterator[str]:
    """Yield a sentence for each leak of a diagnostic.

    Args:
        component: a diagnostic, or a class that is made without arguments.
    """
    make = factory(component)
    values, present = toy_embeddings(TOY_DIM, samples=len(TOY_SPLITS))
    # They tell a little of the outcome, so that what a modality contributes is defined.
    values[:, :, 0] += torch.from_numpy(toy_labels(len(TOY_SPLITS)))[:, None]
    available = present.numpy()
    store = toy_store(np.zeros((*available.shape, TOY_ANALYTES)), available)
    request = Request(
        toy_diagnostic(), _PREDICTED, available[_PREDICTED], parse_pattern("observed")
    )

    def measured(slots: Tensor) -> dict[str, Tensor]:
        embeddings = Embeddings(slots, present, TOY_MODALITIES, torch.arange(len(slots)))
        model = EmbeddingPredictor(embeddings, Clip(), store)
        found: dict[str, Tensor] = {}
        for one in make().measure(DiagnosticInputs(request, model, store)):
            arrays = [one.columns[name] for name in one.metric.columns]
            found[f"the measure '{one.metric.name}'"] = _as_tensor(one.metric.compute(*arrays))
            for name, column in one.columns.items():
                found[f"the value '{name}' of a sample"] = _as_tensor(np.nan_to_num(column, nan=-9))
        return found

    yield from differences(measured, values, present)


def _prediction_leaks(
    predict: Callable[..., Tensor], values: Tensor, available: Tensor, measured: np.ndarray
) -> Iterator[str]:
    """Yield the leaks of predictions.

    Args:
        predict: predicts from the content of slots; optional arguments choose some of the
            predicted samples, and give other outcomes and other `measured` to the store.
        values: the content of slots.
        available: True where a slot may be read.
        measured: True where the store has a measurement.
    """
    yield from differences(lambda slots: {"the prediction": predict(slots)}, values, available)
    expected = predict(values)
    if not torch.allclose(predict(values, slice(0, 1)), expected[:1]):
        yield "the prediction of one sample depends on the other predicted samples."
    outcome = toy_labels(len(TOY_SPLITS))
    outcome[_PREDICTED] = 1 - outcome[_PREDICTED]
    if not torch.equal(predict(values, outcome=outcome), expected):
        yield "the prediction changes with the outcome of the predicted samples."
    fewer = measured.copy()
    fewer[_PREDICTED] &= available.numpy()[_PREDICTED]
    if not torch.equal(predict(values, measured=fewer), expected):
        yield "the prediction changes with whether hidden measurements exist."


def _as_tensor(probability: Any) -> Tensor:
    return torch.from_numpy(np.asarray(probability, dtype=np.float64))

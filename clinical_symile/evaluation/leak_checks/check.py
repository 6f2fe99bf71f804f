"""Check that a component never reads a hidden modality.

The check runs a component on a small batch with zeros, with NaN and with values of other subjects
in the hidden slots, each time from a copy of the same state. Nothing may change, to the last bit:

- an objective: its loss, gradients, state and scores, which must not read a query's own target;
  of a supervised one its log odds in place of scores;
- a fusion: its output, its losses, gradients and state; samples must not influence each other;
- a missing-modality method (`MissingModalityMethod`, or its handler): embeddings, replacements of
  missing modalities, also of those that are hidden after encoding, gradients, state, and the
  embeddings of later batches;
- an encoder: the same, and in use the samples of a batch must not influence each other;
- an augmentation: the inputs of available samples; hidden ones must stay zero;
- a probe: its predictions, also where it trains encoders that read a store;
- a baseline: its predictions. One that learns from all measurements of training samples
  (`learns_from_all`) must not read hidden measurements of the samples that it predicts;
- a modality: the inputs of encoders, where a pattern hides some of a measurement, such as leads;
- a diagnostic: its measures, and the value of every sample.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks.components import (
    adapter_leaks,
    augmentation_leaks,
    encoder_leaks,
    fusion_leaks,
    missing_modality_leaks,
)
from clinical_symile.evaluation.leak_checks.modalities import modality_leaks
from clinical_symile.evaluation.leak_checks.objectives import objective_leaks
from clinical_symile.evaluation.leak_checks.predictions import (
    baseline_leaks,
    diagnostic_leaks,
    probe_leaks,
)
from clinical_symile.models.missing_modality.base import MissingModalityMethod
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.fusion.base import ModalityFusion
from clinical_symile.registry.base import load_object
from clinical_symile.registry.families import (
    ADAPTERS,
    AUGMENTATIONS,
    BALANCES,
    BASELINES,
    DIAGNOSTICS,
    ENCODERS,
    FUSIONS,
    KERNELS,
    METRICS,
    MISSING_MODALITY_METHODS,
    MODALITIES,
    OBJECTIVES,
    PROBES,
)

# By kind of component: the registered names, and what must not depend on hidden slots.
LEAK_CHECKS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "objective": (
        OBJECTIVES,
        "the loss, every gradient and the state; scores, which must read neither the query's own "
        "target nor other queries; the log odds of a supervised one, in place of scores",
    ),
    "fusion": (
        FUSIONS,
        "the output, its losses, every gradient and the state; an output must not depend on other "
        "samples",
    ),
    "kernel": (
        KERNELS,
        "the same as an objective for `tiles`; tests on a GPU compare `fused` with it",
    ),
    "missing-modality method": (
        MISSING_MODALITY_METHODS,
        "embeddings, replacements, also of what is hidden after encoding, gradients and the state, "
        "in training and in use; embeddings of later batches",
    ),
    "encoder": (
        ENCODERS,
        "embeddings, gradients and the state; in use an embedding must not depend on other samples",
    ),
    "adapter": (ADAPTERS, "the same as an encoder, on a convolutional network that it changes"),
    "augmentation": (AUGMENTATIONS, "the inputs of available samples; hidden ones must stay zero"),
    "probe": (
        PROBES,
        "predictions from embeddings, from a store and from encoders that are trained further. "
        "They must not depend on other predicted samples, on the outcome of predicted samples, or "
        "on whether hidden measurements exist",
    ),
    "baseline": (
        BASELINES,
        "predictions, as for a probe, and those of later requests; `late-fusion` learns from all "
        "measurements of training samples, so only predicted samples are checked",
    ),
    "balance": (
        BALANCES,
        "nothing of its own: it reads gradients and scores of a step, which the checks of "
        "objectives and encoders cover",
    ),
    "modality": (
        MODALITIES,
        "inputs, where a pattern hides analytes, leads, a segment or a region: hidden numbers are "
        "as if not recorded",
    ),
    "diagnostic": (
        DIAGNOSTICS,
        "measures, and the value of every sample that they are computed from",
    ),
    "metric": (
        METRICS,
        "tests of each metric: it reads the outcome of each sample only, and refuses NaN",
    ),
}


def leak_check_coverage() -> str:
    """Return a Markdown table of what the check compares for each kind of component."""
    rows = [f"| {kind} | {compared} |" for kind, (_, compared) in LEAK_CHECKS.items()]
    return "\n".join(["| component | what must not change |", "|---|---|", *rows])


def check_no_leakage(name: str) -> str:
    """Check a component that is not in the registry.

    Args:
        name: `package.module:Name` of a class that is made without arguments, or of an object.

    Returns:
        A sentence that says what kind of component it is and that it does not leak.

    Raises:
        DefinitionError: it leaks, with a sentence for each leak; or it is no known component.
    """
    component = load_object(name, what="component")
    kind, find_leaks = _kind(component, name)
    try:
        leaks = list(find_leaks(component))
    except DefinitionError:
        raise
    except Exception as error:
        # The code is not ours and may raise anything when hidden slots hold NaN.
        raise DefinitionError(
            f"{name}: {kind} that stops with {type(error).__name__}: {error}; expected one that "
            "runs whatever hidden slots hold. Fix it, or name an object instead of a class that "
            "needs arguments.",
            code="CS-M021",
        ) from error
    if leaks:
        raise DefinitionError(
            *(f"{name}: {kind} that leaks: {leak}" for leak in leaks), code="CS-M020"
        )
    return f"{name}: {kind}; it does not read hidden modalities."


def _kind(component: Any, name: str) -> tuple[str, Callable[[Any], Iterator[str]]]:
    """Return what kind of component it is, and the function that finds its leaks."""
    made = component if isinstance(component, type) else type(component)
    if issubclass(made, Objective):
        return "an objective", objective_leaks
    if issubclass(made, ModalityFusion):
        return "a fusion", fusion_leaks
    if issubclass(made, MissingModalityMethod):
        return "a missing-modality method", missing_modality_leaks
    if hasattr(component, "adapt"):
        return "an adapter", adapter_leaks
    if hasattr(component, "fit") and hasattr(component, "transform"):
        return "a modality", modality_leaks
    if hasattr(component, "predict"):
        if hasattr(made, "learns_from_all"):
            return "a baseline", baseline_leaks
        return "a probe", probe_leaks
    if hasattr(component, "measure"):
        return "a diagnostic", diagnostic_leaks
    if callable(component) and "generator" in inspect.signature(made.__call__).parameters:
        return "an augmentation", augmentation_leaks
    forward = getattr(component, "forward", None)
    if forward is not None and "column" in inspect.signature(forward).parameters:
        return "a missing-modality handler", lambda handler: missing_modality_leaks(
            MissingModalityMethod(handler=handler)
        )
    if callable(component):
        return "an encoder", encoder_leaks
    raise DefinitionError(
        f"{name}: a {made.__name__}; expected an objective, a fusion, a missing-modality "
        "method, an encoder, an adapter, an augmentation, a probe, a baseline, a modality or a "
        "diagnostic. Name one of these.",
        code="CS-M021",
    )

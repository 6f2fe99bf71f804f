"""The canary: what is withheld from a model is unreachable, or the leak is named.

A part is run on a small batch three times. Where something is withheld there stand first zeros,
then NaN, then the values of other people. Nothing may change, to the last bit: no output, and no
gradient. What may be held to this is

- an objective: its loss, the gradients, and its scores, which must not read a query's own target;
- a missing-modality method (`MissingModalityMethod`, or its handler): embeddings, what stands in,
  gradients;
- an encoder: embeddings of what is present, and that people in a batch do not mix when it is used;
- an augmentation: the inputs of present samples, and that absent ones stay zero;
- a probe: its predictions, from what is seen of the people it learned from and of those asked,
  also where it trains encoders on that read a store;
- a baseline: its predictions, from what a store holds of the same. One that says that it learns
  from all that was measured in training (`learns_from_all`) is held to those who are asked.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks.components import (
    augmentation_leaks,
    baseline_leaks,
    encoder_leaks,
    maker,
    missing_modality_leaks,
    objective_leaks,
    probe_leaks,
)
from clinical_symile.models.missing_modality.base import MissingModalityMethod
from clinical_symile.objectives.base import Objective
from clinical_symile.registry.base import load_object
from clinical_symile.registry.families import (
    AUGMENTATIONS,
    BASELINES,
    ENCODERS,
    KERNELS,
    METRICS,
    MISSING_MODALITY_METHODS,
    MODALITIES,
    OBJECTIVES,
    PROBES,
)

# What a definition may name, and what of it must not change, whatever withheld slots hold.
HELD: Mapping[str, tuple[Mapping[str, str], str]] = {
    "objective": (
        OBJECTIVES,
        "the loss and every gradient; scores, which read neither the query's own target nor other "
        "queries",
    ),
    "kernel": (
        KERNELS,
        "as an objective, with tiles; fused runs on a GPU, and by tests of its own gives the same",
    ),
    "missing-modality method": (
        MISSING_MODALITY_METHODS,
        "embeddings, what stands in, gradients; in training and in use",
    ),
    "encoder": (
        ENCODERS,
        "embeddings and gradients; in use an embedding does not depend on who else is in the batch",
    ),
    "augmentation": (AUGMENTATIONS, "the inputs that are there; what is absent stays zero"),
    "probe": (
        PROBES,
        "predictions, from embeddings, from a store and from encoders that are trained on; nor do "
        "they change with who else is asked, with the outcome of who is, and with whether what is "
        "withheld was measured",
    ),
    "baseline": (
        BASELINES,
        "predictions, as those of a probe; late-fusion, which learns from all that was measured in "
        "training whatever the pattern, is held to those it predicts",
    ),
    "modality": (
        MODALITIES,
        "by tests of their own: it is not read where withheld, withheld parts are as unmeasured",
    ),
    "metric": (
        METRICS,
        "by tests of their own: it sees what became of each sample, and refuses NaN",
    ),
}


def leak_check_coverage() -> str:
    """What is held to the contract, by the names that definitions may use, as a Markdown table."""
    rows = [
        f"| {kind} | {', '.join(f'`{name}`' for name in names)} | {held} |"
        for kind, (names, held) in HELD.items()
    ]
    return "\n".join(["| what | names | what may not change |", "|---|---|---|", *rows])


def check_no_leakage(name: str) -> str:
    """Hold a part of one's own to the contract; a sentence on what it is, if it keeps it.

    Args:
        name: `package.module:Name` of a class that is made without arguments, or of an object.

    Raises:
        DefinitionError: it leaks, with a sentence for each leak; or it is none of the above.
    """
    thing = load_object(name, what="part")
    what, check = _kind(thing, name)
    try:
        problems = list(check(thing))
    except DefinitionError:
        raise
    except Exception as error:
        # It is code of someone else: whatever it raises, it could not stand what was withheld.
        raise DefinitionError(
            f"{name}: {what} that stops with {type(error).__name__}: {error}; expected one that "
            "runs, whatever withheld slots hold. Mend it, or name an object that is made already."
        ) from error
    if problems:
        raise DefinitionError(*(f"{name}: {what} that leaks: {problem}" for problem in problems))
    return f"{name}: {what}; nothing that is withheld reaches it."


def _kind(thing: Any, name: str) -> tuple[str, Callable[[Any], Iterator[str]]]:
    made = thing if isinstance(thing, type) else type(thing)
    if issubclass(made, Objective):
        return "an objective", objective_leaks
    if issubclass(made, MissingModalityMethod):
        return "a missing-modality method", missing_modality_leaks
    if hasattr(thing, "predict"):
        if hasattr(made, "learns_from_all"):
            return "a baseline", baseline_leaks
        return "a probe", probe_leaks
    if callable(thing) and "generator" in inspect.signature(made.__call__).parameters:
        return "an augmentation", lambda made: augmentation_leaks(maker(made))
    forward = getattr(thing, "forward", None)
    if forward is not None and "column" in inspect.signature(forward).parameters:
        return "a missing-modality handler", lambda handler: missing_modality_leaks(
            MissingModalityMethod(handler=handler)
        )
    if callable(thing):
        return "an encoder", encoder_leaks
    raise DefinitionError(
        f"{name}: a {made.__name__}; expected an objective, a missing-modality method, an "
        "encoder, an augmentation, a probe or a baseline. Name one of these."
    )

"""Draw the settings of a sweep from ranges of a task's fields, before anything is trained."""

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinical_symile.config.overrides import parse_override
from clinical_symile.errors import DefinitionError, Problem
from clinical_symile.registry.extras import missing_extra

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
else:  # an optional extra, which takes a moment to load
    BaseDistribution = Any

# Two numbers, and `log` where their logarithms are to be spread.
_RANGE = re.compile(r"\s*([-+\d.e]+?)\s*\.\.\s*([-+\d.e]+)\s*(log)?\s*")
_WHOLE = re.compile(r"[-+]?\d+")


def draw_settings_of_sweep(space: Sequence[str], *, trials: int) -> tuple[dict[str, Any], ...]:
    """Draw settings that are spread evenly over a space.

    They are the first points of a scrambled Sobol sequence, as Optuna draws it from seed 0. No
    result has a part in them, so that all settings can be trained at once and a stopped sweep is
    continued.

    Args:
        space: `field=1e-4..1e-2 log`, `field=16..256` or `field=[8, 16]` each, with dots into
            tables as after `--set`.
        trials: the number of settings.

    Raises:
        DefinitionError: a range or a list is wrong; all problems at once.
        ClinicalSymileError: Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise missing_extra(error, what="--space") from error
    ranges = _distributions(space)
    with warnings.catch_warnings():
        # The sampler's interface may change; its numbers are recorded with every trial.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(seed=0, scramble=True)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study, drawn = optuna.create_study(sampler=sampler), list[dict[str, Any]]()
        # Optuna draws the first trial at random, since it learns from it what the fields are.
        for _ in range(trials + 1):
            trial = study.ask(dict(ranges))
            study.tell(trial, 0.0)
            drawn.append(dict(trial.params))
    finally:
        optuna.logging.set_verbosity(before)
    return tuple(drawn[1:])


def _distributions(space: Sequence[str]) -> Mapping[str, BaseDistribution]:
    """Return the distribution of each field.

    Raises:
        DefinitionError: see `draw_settings_of_sweep`.
    """
    found: dict[str, BaseDistribution] = {}
    problems: list[Problem] = []
    for text in space:
        try:
            field, value = parse_override(text)
            found[field] = _distribution(text, value)
        except DefinitionError as error:
            problems += error.problems
    if problems:
        raise DefinitionError(*problems, code="CS-F030")
    return found


def _distribution(text: str, value: Any) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(value, list) and value:
        return CategoricalDistribution(value)
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError("it is neither a range nor a list")
        low, high, log = match[1], match[2], match[3] is not None
        if _WHOLE.fullmatch(low) and _WHOLE.fullmatch(high):
            return IntDistribution(int(low), int(high), log=log)
        return FloatDistribution(float(low), float(high), log=log)
    except ValueError as error:
        raise DefinitionError(
            f"--space {text}: {str(error).rstrip('.')}; expected field=LOW..HIGH, field=LOW..HIGH "
            "log or a list such as field=[8, 16]. Correct it.",
            code="CS-F030",
        ) from None

"""Check everything that an installed plug-in registers against its contract."""

import re

import numpy as np

from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks.check import check_no_leakage
from clinical_symile.metrics.base import Metric
from clinical_symile.registry.base import Plugin, load_object
from clinical_symile.registry.families import FAMILIES

_LEAK_CHECKED = (
    *("objectives", "fusion", "missing_modality", "encoders", "probes", "baselines"),
    *("modalities", "diagnostics"),
)


def check_plugin(package: str) -> list[str]:
    """Check every component and metric that a package registers by entry points.

    Args:
        package: name of an installed package.

    Returns:
        A sentence for each object, which says what was checked.

    Raises:
        DefinitionError: with every problem; or the package registers nothing.
    """
    found = {
        (family_name, plugin.name): plugin
        for family_name, family in FAMILIES.items()
        for plugin in family.plugins()
        if _plain(plugin.package.partition(" ")[0]) == _plain(package)
    }
    if not found:
        raise DefinitionError(
            f"plug-in '{package}': no installed package of this name registers a component; "
            "expected entry points of a group clinical_symile.<kind>. Install it, or correct the "
            "name.",
            code="CS-M022",
        )
    sentences, problems = [], []
    for (family_name, name), plugin in found.items():
        try:
            sentences.append(f"{family_name[:-1]} '{name}': {_check(family_name, plugin)}")
        except DefinitionError as error:
            problems += error.problems
    if problems:
        raise DefinitionError(*problems, code="CS-M022")
    return sentences


def _check(family_name: str, plugin: Plugin) -> str:
    if family_name in _LEAK_CHECKED:
        return check_no_leakage(plugin.path)
    component = load_object(plugin.path, what=f"{family_name} '{plugin.name}'")
    if family_name != "metrics":
        return f"{plugin.path} can be imported; no check of this kind exists."
    problems = metric_problems(component, name=plugin.name)
    if problems:
        raise DefinitionError(
            *(f"metric '{plugin.name}': {problem}" for problem in problems), code="CS-M023"
        )
    return f"{plugin.path}: a metric; it keeps its limits, and its weighted form agrees."


def metric_problems(metric: object, *, name: str) -> list[str]:
    """Return what is wrong with a metric, a sentence each.

    Args:
        metric: the registered object.
        name: the name that it is registered by.
    """
    if not isinstance(metric, Metric):
        return [f"is a {type(metric).__name__}; expected a Metric."]
    problems = []
    if metric.name != name:
        problems.append(f"its name is '{metric.name}'; expected the registered name '{name}'.")
    arrays = _toy_outcomes()
    if unknown := [column for column in metric.columns if column not in arrays]:
        return [*problems, f"reads {', '.join(unknown)}; expected some of {', '.join(arrays)}."]
    columns = [arrays[column] for column in metric.columns]
    value = metric.compute(*columns)
    if not metric.low <= value <= metric.high:
        problems.append(f"is {value:g} on an example; expected {metric.low:g} to {metric.high:g}.")
    if metric.each is not None and not np.isclose(metric.each(*columns).mean(), value):
        problems.append("differs from the mean of `each`; expected the same value.")
    if metric.weighted is not None:
        once = metric.weighted(np.ones((1, len(columns[0]))), *columns)
        if not np.allclose(once, value):
            problems.append("its weighted form differs where every weight is 1.")
    return problems


def _toy_outcomes() -> dict[str, np.ndarray]:
    """Outcomes of 24 samples, by the columns that metrics read."""
    rng = np.random.default_rng(0)
    above = rng.integers(0, 8, 24)
    return {
        "above": above,
        "tied": rng.integers(0, 2, 24),
        "candidates": np.full(24, 10),
        "separation": rng.random(24),
        "label": np.arange(24) % 2,
        "probability": rng.random(24),
    }


def _plain(package: str) -> str:
    """Return a package's name as indexes compare names."""
    return re.sub(r"[-_.]+", "-", package).lower()

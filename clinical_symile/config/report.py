"""What a template of `reports/` says it needs, read without rendering it."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from clinical_symile.config.catalog import read_definition
from clinical_symile.errors import DefinitionError


class ReportRequirements(BaseModel):
    """The first comment of a template, in TOML: what `benchmark` has to make for it.

    Attributes:
        description: one sentence.
        of: what it tells of: a finished benchmark, or a store.
        pretraining: tasks to train.
        tasks: what to score, by name or with `*`; what begins with `!` takes away.
        baselines: names of `names.BASELINES`, scored beside.
        seeds: each training is repeated with each.
        missingness: patterns to score each task under, where they mean something, instead of its
            own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    of: Literal["benchmark", "store"] = "benchmark"
    pretraining: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    missingness: tuple[str, ...] = ()


def read_requirements(template: Path) -> ReportRequirements:
    """What a template says it needs.

    Raises:
        DefinitionError: it does not begin with a comment, or what it says is not as it must be.
    """
    text = template.read_text(encoding="utf-8")
    start, _, rest = text.partition("{#")
    if start.strip() or "#}" not in rest:
        raise DefinitionError(
            f"{template}: does not begin with a comment; expected "
            '{# description = "…" #}. Add it as the first line.'
        )
    try:
        table = tomllib.loads(rest.partition("#}")[0])
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(
            f"{template}: its first comment is not valid TOML: {error}."
        ) from None
    return read_definition(ReportRequirements, table, where=str(template))


def benchmark_requirements(template: Path) -> ReportRequirements:
    """What a report of a benchmark says it needs.

    Raises:
        DefinitionError: see `read_requirements`; or it is a report of a store.
    """
    needed = read_requirements(template)
    if needed.of != "benchmark":
        raise DefinitionError(
            f"{template}: tells of a store; expected a report of a benchmark. "
            "`clinical-symile card STORE --out FILE` renders the card of a store."
        )
    return needed

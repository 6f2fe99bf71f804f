"""Read `report.toml`: what a report needs and which sections it shows."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from clinical_symile.config.catalog import read_report_table
from clinical_symile.config.definition import read_definition
from clinical_symile.errors import DefinitionError
from clinical_symile.registry.base import unknown_name_message
from clinical_symile.registry.families import SECTIONS


class ReportRequirements(BaseModel):
    """Requirements of a report on a benchmark, and the sections of the report.

    Attributes:
        description: one sentence.
        title: heading of the page.
        of: the subject of the report: a finished benchmark, or a store.
        pretraining: tasks to train.
        tasks: tasks to evaluate, by name or with `*`; a name after `!` is left out.
        baselines: names of registered baselines, evaluated beside the runs.
        seeds: each pretraining task is trained once with each.
        missingness: patterns of every task where they apply, instead of the task's own.
        primary: the comparisons that the report is about, each as `TASK:PATTERN`; their p-values
            are adjusted for each other alone.
        sections: names of registered sections, or `package.module:NAME`, in the order of the page.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    title: str = ""
    of: Literal["benchmark", "store"] = "benchmark"
    pretraining: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    missingness: tuple[str, ...] = ()
    primary: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    @field_validator("sections")
    @classmethod
    def _known_sections(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in SECTIONS and name.count(":") != 1]
        if unknown:
            what = "report section"
            raise ValueError(
                "\n".join(unknown_name_message(name, SECTIONS, what=what) for name in unknown)
            )
        return names


def read_requirements(path: Path) -> ReportRequirements:
    """Read a report's definition.

    Args:
        path: a `report.toml`; or, until 0.3.0, a template whose first comment is the definition.

    Raises:
        DefinitionError: the definition is missing or has a problem.
    """
    return read_definition(ReportRequirements, read_report_table(path), where=str(path))


def benchmark_requirements(path: Path) -> ReportRequirements:
    """Read the definition of a benchmark's report.

    Raises:
        DefinitionError: see `read_requirements`; or the report describes a store.
    """
    required = read_requirements(path)
    if required.of != "benchmark":
        raise DefinitionError(
            f"{path}: describes a store; expected a report of a benchmark. "
            "`clinical-symile card STORE --out FILE` renders the card of a store.",
            code="CS-F009",
        )
    return required

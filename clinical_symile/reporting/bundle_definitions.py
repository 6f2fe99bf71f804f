"""Compare the definitions of a bundle's tasks and runs with their digests, importing no code."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from clinical_symile import __version__
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, table_digest, task_digest
from clinical_symile.errors import ClinicalSymileError
from clinical_symile.evaluation.task_metrics import primary_metric
from clinical_symile.reporting.result_lookup import DIAGNOSTIC

# The mark of a run whose definition has file names instead of paths: its digest is another one.
FOLDERS_LEFT_OUT = "folders_left_out"
# `package.module:Name`, which names code outside this package.
_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_TEXT = ("name", "description")  # of a definition


class DefinitionCheck:
    """Definitions that were compared with their digests.

    Attributes:
        problems: what does not agree, a sentence each.
        skipped: what was not compared, a sentence each.
    """

    def __init__(self) -> None:
        """Begin with nothing compared."""
        self.problems: list[str] = []
        self.skipped: list[str] = []

    def task(self, name: str, table: Mapping[str, Any], stated: Any) -> None:
        """Compare a task's table, as `task_table` makes it, with its digest.

        The digest is of the table itself, so that code that it names need not be imported.

        Args:
            name: the task's name.
            table: its fields and the direction of its primary metric.
            stated: its digest in the manifest.
        """
        file = f"tasks/{name}.json"
        fields = {key: value for key, value in table.items() if key != "higher_is_better"}
        if fields.pop("name", None) != name:
            self.problems.append(f"{file}: has another name.")
            return
        if table.get("higher_is_better") is None and fields.get("kind") != DIAGNOSTIC:
            self.problems.append(f"{file}: has no higher_is_better.")
            return
        digest = table_digest(fields)
        if digest != stated:
            self.problems.append(f"{file}: the definition was changed: its digest is {digest}.")
        if code := named_code(fields):
            self.skipped.append(
                f"{file}: names {', '.join(code)}, code that is not imported: whether higher is "
                "better was not compared."
            )
            return
        try:
            task = parse_task(fields, name=name, where=file)
        except ClinicalSymileError as error:
            self.problems += error.problems
            return
        assert not isinstance(task, Pretraining), "which has no field `primary`, as this table has"
        if isinstance(task, DiagnosticTask):
            return  # has no direction
        direction = primary_metric(task).higher_is_better
        if table["higher_is_better"] != direction:
            self.problems.append(
                f"{file}: higher_is_better is {table['higher_is_better']}; expected {direction}, "
                f"as {task.primary} has it."
            )

    def run(self, record: Mapping[str, Any]) -> None:
        """Compare the definition of a run with the digest of its record.

        Args:
            record: the content of `run.toml`, of the form `run`.
        """
        definition, stated = record.get("definition"), record.get("task_digest")
        if definition is None and stated is None:
            return
        place = f"report_data.json: run '{record.get('name')}'"
        if definition is None or stated is None:
            self.problems.append(f"{place} has no {'definition' if stated else 'task_digest'}.")
            return
        if reason := _not_comparable(record, definition):
            self.skipped.append(f"{place} {reason}: its definition was not compared.")
            return
        try:
            task = parse_task(definition, name=str(record.get("task")), where=place)
        except ClinicalSymileError as error:
            self.problems += error.problems
            return
        digest = task_digest(task)
        if not isinstance(task, Pretraining) or digest != stated:
            self.problems.append(f"{place}: the definition was changed: its digest is {digest}.")


def _not_comparable(record: Mapping[str, Any], definition: Mapping[str, Any]) -> str:
    """Return why the digest of a run's definition is not computed; nothing if it is."""
    if code := named_code(definition):
        return f"names {', '.join(code)}, code that is not imported"
    if record.get(FOLDERS_LEFT_OUT):
        return "reads files, whose folders were left out"
    version = record.get("version")
    return f"was trained by version {version}" if version != __version__ else ""


def named_code(definition: Mapping[str, Any]) -> list[str]:
    """Return the code outside this package that a definition names; its texts name none."""
    fields = [value for key, value in definition.items() if key not in _TEXT]
    return sorted(set(_code_in(fields)))


def _code_in(value: Any) -> Iterator[str]:
    if isinstance(value, str) and _CODE.fullmatch(value):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _code_in(one)

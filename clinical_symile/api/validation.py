"""Compare the form of results, comparisons, runs, benchmarks and stores with its schema."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from zipfile import is_zipfile

from clinical_symile.api._arguments import PathLike
from clinical_symile.errors import DataError
from clinical_symile.reporting.bundle import form_problems
from clinical_symile.reporting.record_forms import (
    ROWS,
    FieldProblem,
    RecordForm,
    form_of_file,
    record_forms,
)
from clinical_symile.tracking.archive import read_archive
from clinical_symile.tracking.records import parse_json, read_text, read_toml_record

_LINES = ".jsonl"
# Results may be empty if the second file says why each is missing.
_RESULTS, _UNSCORED = "results.jsonl", "unscored.jsonl"
_SHOWN_LINES = 3


@dataclass(frozen=True)
class Validation:
    """The outcome of comparing files with the forms that they should have.

    Attributes:
        path: the file or folder.
        checked: number of files that were compared.
        problems: all that is not of its form.
    """

    path: Path
    checked: int
    problems: tuple[FieldProblem, ...]

    @property
    def is_valid(self) -> bool:
        """True if every file has its form."""
        return not self.problems

    def __str__(self) -> str:
        same: dict[tuple[str, ...], list[FieldProblem]] = {}
        for one in self.problems:
            same.setdefault((one.file, one.field, one.found, one.expected), []).append(one)
        lines = [_described(problems) for problems in same.values()]
        files = "1 file has" if self.checked == 1 else f"{self.checked} files have"
        return "\n".join(lines or [f"{self.path}: {files} the expected form."])


def _described(problems: list[FieldProblem]) -> str:
    """Return a problem with the first lines that have it."""
    numbers = [one.line for one in problems if one.line is not None]
    if len(numbers) < 2:
        return str(problems[0])
    shown = ", ".join(map(str, numbers[:_SHOWN_LINES]))
    more = len(numbers) - _SHOWN_LINES
    words = f"{shown} and {more} more" if more > 0 else shown
    return str(problems[0]).replace(f", line {numbers[0]}:", f", lines {words}:", 1)


def validate(path: PathLike) -> Validation:
    """Compare the files of results with the forms that `clinical-symile schema` prints.

    Args:
        path: a file of results or comparisons, a bundle, or the folder of a run, benchmark or
            store. The runs and the store of a benchmark are compared as well.

    Returns:
        Each problem, with its file, line and field, and what was expected.

    Raises:
        DataError: nothing there has a known form.

    Examples:
        >>> cs.validate("runs/symile-0").is_valid
        True
    """
    path = Path(path)
    if is_zipfile(path):
        inside = read_archive(path)
        checked = sum(form_of_file(name) is not None for name in inside)
        if not checked:
            raise DataError(
                f"{path}: has no file with a known form; expected a bundle. Correct the path.",
                code="CS-R022",
            )
        empty = _without_results({name: len(content) for name, content in inside.items()})
        return Validation(path, checked, (*form_problems(inside), *empty))
    files = list(_files(path)) if path.is_dir() else [(path, _form_of(path))]
    if not files:
        raise DataError(
            f"{path}: has no file with a known form; expected the folder of a run, benchmark or "
            "store. Correct the path.",
            code="CS-R022",
        )
    problems = [one for file, form in files for one in _problems(file, form)]
    empty = _without_results({str(file): file.stat().st_size for file, _ in files})
    return Validation(path, len(files), (*problems, *empty))


def _without_results(sizes: Mapping[str, int]) -> list[FieldProblem]:
    """Return a problem for each empty file of results that nothing beside it explains.

    Args:
        sizes: the number of bytes of each file.
    """
    return [
        FieldProblem(name, None, "", "has no line", "one result at least")
        for name, size in sizes.items()
        if PurePath(name).name == _RESULTS
        and not size
        and not sizes.get(str(PurePath(name).with_name(_UNSCORED)))
    ]


def _files(folder: Path) -> Iterator[tuple[Path, RecordForm]]:
    """Yield each file of a folder that has a form, and those of the runs and the store in it."""
    for file in sorted(folder.iterdir()):
        form = form_of_file(file.name)
        if form is not None and file.is_file():
            yield file, form
    for inner in [folder / "store", *sorted((folder / "runs").glob("*"))]:
        if inner.is_dir():
            yield from _files(inner)


def _form_of(file: Path) -> RecordForm:
    """Return the form of a file by its name, else by the fields of a line.

    Raises:
        DataError: there is no such file, or no form has its fields.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file. Correct the path.", code="CS-R022")
    form = form_of_file(file.name)
    if form is not None:
        return form
    found = _fields_of_a_line(file)
    forms = [record_forms()[name] for name in ROWS]
    best = max(forms, key=lambda form: len(found & {*form.types}) - len({*form.types} - found))
    if len(found & {*best.types}) * 2 < len(best.types):
        raise DataError(
            f"{file}: has no known form; expected lines of results or comparisons. "
            "`clinical-symile schema results` prints what a line has.",
            code="CS-R022",
        )
    return best


def _fields_of_a_line(file: Path) -> set[str]:
    """Return the fields of the first line that is an object; none if there is no such line."""
    try:
        lines = read_text(file, action="").split("\n")
    except DataError:
        return set()
    for line in lines:
        try:
            row = parse_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            return {*row}
    return set()


def _problems(file: Path, form: RecordForm) -> list[FieldProblem]:
    place = str(file)
    try:
        if file.suffix == ".toml":
            table = read_toml_record(file, types={}, action="")
            return form.problems(json.dumps(table, default=str), file=place)
        text = read_text(file, action="")
    except DataError:
        kind = "TOML" if file.suffix == ".toml" else "text in UTF-8"
        return [FieldProblem(place, None, "", f"is no {kind}", f"the form of {form.name}")]
    if form_of_file(file.name) is None or file.suffix == _LINES:
        return form.problems_of_lines(text, file=place)
    return form.problems(text, file=place)

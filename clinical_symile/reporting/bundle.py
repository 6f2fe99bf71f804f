"""Make a bundle of a finished benchmark, and check one with nothing else at hand.

A bundle holds definitions, digests, results, comparisons, versions and the report, with the hash of
each file. It holds no row of a store, no identifier, and no result that reports withhold. Numbers
on real subjects are rounded, as in reports; a result that is computed again is rounded likewise.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clinical_symile import __version__
from clinical_symile.config.catalog import REPORT_FILE, Catalog
from clinical_symile.config.report_file import read_requirements
from clinical_symile.config.tasks.read import parse_task, task_digest
from clinical_symile.errors import ClinicalSymileError, DataError
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.files import write_bytes
from clinical_symile.reporting.benchmark_report import (
    benchmark_tasks,
    load_benchmark,
    read_record,
)
from clinical_symile.reporting.bundle_definitions import DefinitionCheck, named_code
from clinical_symile.reporting.leaderboard import BundleContent
from clinical_symile.reporting.record_forms import FieldProblem, form_of_file, record_forms
from clinical_symile.reporting.render import render
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.report_files import (
    is_report_file,
    read_report_files,
    report_files,
    shareable_data,
)
from clinical_symile.tracking.archive import (
    BUNDLE_FORM,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    changes,
    manifest_bytes,
    read_archive,
)
from clinical_symile.tracking.records import parse_json
from clinical_symile.tracking.results import Result

BUNDLE_SUFFIX = ".bundle.zip"
PAGE_FILE = "report.html"
_DEFINITION = f"report/{REPORT_FILE}"
_TEMPLATE = "report/template.html.j2"
_LINES = ".jsonl"
# What drawing a page raises for data of another shape.
_UNDRAWABLE = (
    *(ClinicalSymileError, ArithmeticError, AttributeError, LookupError),
    *(TypeError, ValueError, RecursionError, AssertionError),
)


@dataclass(frozen=True)
class CheckedBundle:
    """The outcome of checking a bundle.

    Attributes:
        passed: what is as it should be, a sentence each.
        problems: what is not, a sentence each.
        data: what the report is made from; None if it cannot be read.
        skipped: what was not checked and why, a sentence each.
    """

    passed: tuple[str, ...]
    problems: tuple[str, ...]
    data: ReportData | None
    skipped: tuple[str, ...] = ()


def bundle_files(out: Path, *, catalog: Catalog) -> dict[str, bytes]:
    """Return the files of a bundle of a finished benchmark, with their manifest.

    Args:
        out: the benchmark's folder.
        catalog: where the definitions are.

    Raises:
        DefinitionError: the report's definition has a problem.
        DataError: the folder is not one of a finished benchmark, files in it were changed, or a
            task has another definition than in the benchmark.
    """
    data = shareable_data(load_benchmark(out, catalog=catalog))
    record = read_record(out)
    tasks = benchmark_tasks(record, catalog=catalog)
    _check_definitions(out, record, tasks)
    definition = catalog.path("reports", record["report"])
    if definition.name != REPORT_FILE:
        raise DataError(
            f"{definition}: is a template of version 0.1; expected {REPORT_FILE}. Write one as the "
            "page Reports says, and run the benchmark again.",
            code="CS-F009",
        )
    files = {
        **report_files(data),
        _DEFINITION: definition.read_bytes(),
        PAGE_FILE: _page(definition, data),
    }
    template = definition.with_name("template.html.j2")
    if template.is_file():
        files[_TEMPLATE] = template.read_bytes()
    about = {
        "version": __version__,
        "report": record["report"],
        "forms": _form_versions(files),
        "digests": {
            "cohort": data.cohort["cohort_digest"],
            "store": data.cohort["digest"],
            "source": data.cohort["source_digest"],
            "tasks": {name: task_digest(task) for name, task in tasks.items()},
        },
    }
    return {**files, MANIFEST_FILE: manifest_bytes(files, about)}


def _form_versions(names: Iterable[str]) -> dict[str, int]:
    """Return the version of the form of each kind of record among some files."""
    forms = [form_of_file(name) for name in names]
    return {form.name: form.version for form in forms if form is not None}


def _check_definitions(
    out: Path, record: Mapping[str, Any], tasks: Mapping[str, EvaluationTask]
) -> None:
    """Refuse a benchmark whose tasks are defined otherwise now.

    Raises:
        DataError: with every such task.
    """
    problems = []
    for name, task in tasks.items():
        then = parse_task(record["definitions"][name], name=name, where=f"{out}: task {name}")
        if task_digest(then) != task_digest(task):
            problems.append(
                f"{out}: task '{name}' has another definition now than in the benchmark. Restore "
                "it, or run `clinical-symile benchmark` again."
            )
    if problems:
        raise DataError(*problems, code="CS-S003")


def open_bundle(path: Path, *, catalog: Catalog) -> BundleContent:
    """Read a bundle whose hashes, forms and digests agree.

    Raises:
        DataError: it is no bundle, or they do not agree; with every problem.
    """
    files = read_archive(path)
    checked = check_bundle(files, where=str(path), catalog=catalog, render_again=False)
    if checked.problems or checked.data is None:
        raise DataError(*(f"{path}: {one}" for one in checked.problems), code="CS-R023")
    manifest = parse_json(files[MANIFEST_FILE].decode())
    return BundleContent(
        name=path.name.removesuffix(BUNDLE_SUFFIX),
        version=manifest["version"],
        digests=manifest["digests"],
        data=checked.data,
        skipped=checked.skipped,
    )


def form_problems(files: Mapping[str, bytes]) -> list[FieldProblem]:
    """Return what in the files of a bundle is not of its form."""
    found: list[FieldProblem] = []
    for name, content in sorted(files.items()):
        form = form_of_file(name.rpartition("/")[2])
        if form is None or "/" in name:
            continue
        try:
            text = content.decode()
        except UnicodeDecodeError:
            found.append(
                FieldProblem(name, None, "", "is no text in UTF-8", f"the form of {form.name}")
            )
            continue
        compare = form.problems_of_lines if name.endswith(_LINES) else form.problems
        found += compare(text, file=name)
    return found


def check_bundle(
    files: Mapping[str, bytes], *, where: str, catalog: Catalog, render_again: bool = True
) -> CheckedBundle:
    """Check hashes, forms and digests of a bundle, and render its report again.

    No code that the bundle names is imported, and no template of its own is rendered.

    Args:
        files: the content of each file.
        where: the bundle, for messages.
        catalog: the reader's definitions; only a report that is defined there may have a template.
        render_again: render the report again and compare the page.
    """
    manifest, problems = _manifest(files)
    if manifest is None:
        return CheckedBundle((), tuple(problems), None)
    content = {n: c for n, c in files.items() if n not in (MANIFEST_FILE, SIGNATURE_FILE)}
    tasks = manifest["digests"]["tasks"]
    passed = []
    if found := [*changes(content, manifest["files"]), *_unknown_files(content, tasks)]:
        problems += found
    else:
        passed.append(f"{len(content)} files have the hashes that {MANIFEST_FILE} states.")
    if found := list(map(str, form_problems(files))):
        problems += found
        return CheckedBundle(tuple(passed), tuple(problems), None)
    passed.append("All records have the expected form.")
    try:
        data = read_report_files(content, where=where)
    except DataError as error:
        return CheckedBundle(tuple(passed), (*problems, *error.problems), None)
    definitions = _definition_check(data, manifest)
    found = [*definitions.problems, *_digest_problems(data, manifest), *_row_problems(data)]
    if found:
        problems += found
    else:
        but = ", except for what was not checked" if definitions.skipped else ""
        passed.append(f"Definitions, masks and digests agree with each other{but}.")
    if render_again:
        if problem := _page_problem(content, data, manifest, catalog):
            problems.append(problem)
        else:
            passed.append(f"{PAGE_FILE} was rendered again from the other files: the same page.")
    return CheckedBundle(tuple(passed), tuple(problems), data, tuple(definitions.skipped))


def _manifest(files: Mapping[str, bytes]) -> tuple[dict[str, Any] | None, list[str]]:
    if MANIFEST_FILE not in files:
        return None, [f"{MANIFEST_FILE}: is missing."]
    found = form_problems({MANIFEST_FILE: files[MANIFEST_FILE]})
    if found:
        return None, list(map(str, found))
    manifest = parse_json(files[MANIFEST_FILE].decode())
    if manifest["bundle"] > BUNDLE_FORM:
        return None, [
            f"{MANIFEST_FILE}: is of form {manifest['bundle']}; expected at most {BUNDLE_FORM}. "
            f"Verify it with clinical-symile {manifest['version']}."
        ]
    later = [
        f"{MANIFEST_FILE}: states form {version} of {name}; expected one that this version knows. "
        f"Verify it with clinical-symile {manifest['version']}."
        for name, version in (manifest.get("forms") or {}).items()
        if name not in record_forms() or version > record_forms()[name].version
    ]
    return (None, later) if later else (manifest, [])


def _unknown_files(content: Mapping[str, bytes], tasks: Mapping[str, Any]) -> Iterator[str]:
    for name in content:
        known = name in (PAGE_FILE, _DEFINITION, _TEMPLATE) or is_report_file(name, tasks)
        if not known:
            yield f"{name}: is no file of a bundle."


def _definition_check(data: ReportData, manifest: Mapping[str, Any]) -> DefinitionCheck:
    check = DefinitionCheck()
    for name, table in data.tasks.items():
        check.task(name, table, manifest["digests"]["tasks"].get(name))
    for record in data.runs:
        if not [*_run_form_problems(record)]:
            check.run(record)
    return check


def _run_form_problems(record: Mapping[str, Any]) -> Iterator[str]:
    file = f"run {record.get('name')}"
    return map(str, record_forms()["run"].problems(json.dumps(record), file=file))


def _digest_problems(data: ReportData, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Compare the store and the cohort with the digests of the manifest, and runs with both."""
    digests = manifest["digests"]
    stated = {"cohort": "cohort_digest", "store": "digest", "source": "source_digest"}
    for name, key in stated.items():
        if digests.get(name) != data.cohort.get(key):
            yield f"report_data.json: cohort.{key} is not the digest that {MANIFEST_FILE} states."
    for record in data.runs:
        name = record.get("name")
        yield from _run_form_problems(record)
        is_of_cohort = record.get("cohort") == data.cohort.get("cohort")
        if is_of_cohort and record.get("store_digest") != digests["store"]:
            yield f"report_data.json: run '{name}' has another store than {MANIFEST_FILE} states."


def _row_problems(data: ReportData) -> Iterator[str]:
    """Compare the rows of each question, which have one mask: that of most of them."""
    masks: dict[tuple[str, ...], Counter[str]] = {}
    for row in data.results:
        masks.setdefault(_question(row), Counter())[row.mask] += 1
    for number, row in enumerate(data.results, start=1):
        place = f"results.jsonl, line {number}: {row.run}, {row.task}, {row.missingness}"
        if row.task not in data.tasks:
            yield f"{place}: the task has no definition here."
        ((usual, _),) = masks[_question(row)].most_common(1)
        if row.mask != usual:
            yield f"{place}: has mask {row.mask}, but others have {usual}."


def _question(row: Result) -> tuple[str, ...]:
    return (row.task, row.split, row.missingness, row.digest)


def _page_problem(
    content: Mapping[str, bytes], data: ReportData, manifest: Mapping[str, Any], catalog: Catalog
) -> str | None:
    """Render the report again and compare; return what is wrong."""
    if PAGE_FILE not in content or _DEFINITION not in content:
        return f"{PAGE_FILE}: cannot be compared without {_DEFINITION}."
    try:
        with TemporaryDirectory() as folder:
            page = _page(_trusted_definition(content, manifest, catalog, Path(folder)), data)
    except _UNDRAWABLE as error:
        said = str(error) if isinstance(error, ClinicalSymileError) else type(error).__name__
        return f"{PAGE_FILE}: cannot be rendered from the other files: {said}"
    if page == content[PAGE_FILE]:
        return None
    old, new = content[PAGE_FILE].split(b"\n"), page.split(b"\n")
    line = next(
        (n for n, pair in enumerate(zip(old, new, strict=False), 1) if pair[0] != pair[1]), 0
    )
    made = manifest["version"]
    other = "" if made == __version__ else f" It was made by version {made}; this is {__version__}."
    return (
        f"{PAGE_FILE}: is not the page that the other files give; line {line or len(old)} is the "
        f"first that differs.{other}"
    )


def _trusted_definition(
    content: Mapping[str, bytes], manifest: Mapping[str, Any], catalog: Catalog, folder: Path
) -> Path:
    """Return the reader's definition of the report if it is the same, else that of the bundle.

    Raises:
        DataError: the bundle's own has a template or names code, which are not run.
    """
    name = manifest["report"]
    if name in catalog.reports:
        own = catalog.path("reports", name)
        beside = own.with_name("template.html.j2")
        template = beside.read_bytes() if beside.is_file() else None
        if (own.read_bytes(), template) == (content[_DEFINITION], content.get(_TEMPLATE)):
            return own
    definition = folder / REPORT_FILE
    write_bytes(definition, content[_DEFINITION])
    if _TEMPLATE in content or named_code({"sections": read_requirements(definition).sections}):
        raise DataError(
            f"report '{name}' has a template or sections of its maker, which are code. If you "
            "trust them, name the catalog that has the same with --catalog.",
            code="CS-R023",
        )
    return definition


def _page(definition: Path, data: ReportData) -> bytes:
    with TemporaryDirectory() as folder:
        page = Path(folder) / PAGE_FILE
        render(definition, data=data, out=page)
        return page.read_bytes()

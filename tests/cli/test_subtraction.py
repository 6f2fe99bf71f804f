"""An attacker subtracts sizes in all that leaves a folder of real subjects, and finds no count."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import clinical_symile as cs
from clinical_symile.cli.result_tables import result_tables
from clinical_symile.files import write_checksums
from clinical_symile.reporting.results import Comparisons, Results
from clinical_symile.tracking._mlflow_payload import run_tags
from clinical_symile.tracking._mlflow_results import run_description, task_tables
from clinical_symile.tracking.archive import read_archive
from clinical_symile.tracking.results import Result, is_withheld, read_rows, write_rows
from clinical_symile.tracking.rounding import SIZES, rounded_rows, value_step
from clinical_symile.tracking.run import Run
from tests.reporting.test_results import COMPARISON, RESULT, TASKS

RunCommand = Callable[..., tuple[int, str, str]]
TASK = "retrieval/cxr_given_ecg_labs"
# Two patterns: all samples with an X-ray, and those of them that have all three modalities.
PATTERNS = "complete,observed"
SIZE_HEADINGS = {"n", "samples", "subjects"}


@pytest.fixture
def real(benchmark_folder: Path) -> Path:
    """A benchmark whose subjects count as real."""
    manifest = benchmark_folder / "store" / "manifest.json"
    about = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**about, "access": "credentialed", "generator": None}))
    record = benchmark_folder / "benchmark.json"
    about = json.loads(record.read_text())
    names = [name for name in about["runs"] if name != "oracle"]
    # The copy's own store; the record names that of the folder it was copied from.
    here = {"runs": names, "store": str(benchmark_folder / "store")}
    record.write_text(json.dumps({**about, **here}))
    shutil.rmtree(benchmark_folder / "runs" / "oracle")
    results = benchmark_folder / "results.jsonl"
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(line for line in lines if '"oracle"' not in line))
    runs = [benchmark_folder / "runs" / name for name in names]
    for file in [run / "dataset.json" for run in runs]:
        file.write_text(json.dumps({**json.loads(file.read_text()), "synthetic": False}))
    for folder in (*runs, benchmark_folder / "store", benchmark_folder):
        write_checksums(folder)
    return benchmark_folder


def sizes_of_rows(rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> set[int]:
    """The sizes that rows of a table state."""
    found = (row.get(name) for row in rows for name in SIZES)
    return {int(float(size)) for size in found if size not in (None, "")}


def sizes_of_lines(text: str) -> set[int]:
    return sizes_of_rows([json.loads(line) for line in text.splitlines()])


def sizes_of_page(page: str) -> set[int]:
    """The numbers below the headings of sizes in the tables of a page."""
    found: set[int] = set()
    for table in re.findall(r"(?s)<table.*?</table>", page):
        rows = [
            [
                re.sub(r"<[^>]+>", "", cell).strip()
                for cell in re.findall(r"(?s)<t[hd].*?</t[hd]>", row)
            ]
            for row in re.findall(r"(?s)<tr.*?</tr>", table)
        ]
        head = rows[0] if rows else []
        if "split" not in head and "present" not in head:  # counts of the cohort: see their tests
            for place in [place for place, name in enumerate(head) if name in SIZE_HEADINGS]:
                found |= {n for row in rows[1:] if place < len(row) for n in numbers(row[place])}
    return found


def sizes_of_terminal(shown: str) -> set[int]:
    """The numbers in the column `n` of the tables of a terminal."""
    found: set[int] = set()
    place: slice | None = None
    for line in shown.splitlines():
        if match := re.match(r"missingness\s+(n)\b", line):
            place = slice(max(match.start(1) - 5, 0), match.end(1))
        elif not line.strip():
            place = None
        elif place is not None:
            found |= numbers(line[place])
    return found


def numbers(text: str) -> set[int]:
    return {int(n) for n in re.findall(r"\d+", text.replace("\N{NARROW NO-BREAK SPACE}", ""))}


def sizes_of_latex(text: str) -> set[int]:
    lines = [line.split(" & ") for line in text.splitlines() if " & " in line]
    places = [
        place for place, name in enumerate(lines[0]) if name.strip() in (*SIZE_HEADINGS, *SIZES)
    ]
    return {n for line in lines[1:] for place in places for n in numbers(line[place])}


def attack(sizes: set[int], what: str) -> None:
    """Subtract each two sizes."""
    apart = {abs(one - other) for one, other in combinations(sizes, 2)}
    assert not apart & set(range(1, 10)), f"{what}: a small count follows from {sorted(sizes)}"


def attack_values(rows: list[dict[str, Any]], exact: list[Result]) -> None:
    """Try for each share which sizes it may be of."""
    assert rows
    for row in rows:
        step = value_step(int(row["n_samples"]))
        parts = [
            float(row[name]) for name in ("value", "low", "high") if row[name] not in ("", None)
        ]
        assert all(abs(part / step - round(part / step)) < 1e-6 or part < step for part in parts)
    for row in rows:
        if row["metric"] == "recall_at_1":
            least, share = int(row["n_samples"]), float(row["value"])
            for n in range(least, least + 10):
                step = value_step(least)
                assert any(abs(k / n - share) <= step / 2 + 1e-9 for k in range(n + 1))
    known = {row.value for row in exact if row.n_samples % 10}
    told = {float(row["value"]) for row in rows}
    assert {value for value in known if round(value, 2) != value}.isdisjoint(told)


@pytest.mark.slow
def test_nothing_that_leaves_states_sizes_from_which_a_small_count_follows(
    run: RunCommand,
    real: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    few_resamples_everywhere: None,
):
    database = f"sqlite:///{tmp_path / 'mlflow' / 'm.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    folders = [real / "runs" / name for name in ("symile-0", "clip-0")]
    store = ["--store", real / "store"]
    tasks = ["--tasks", TASK, "--missingness", PATTERNS]
    status, shown, said = run("evaluate", folders[0], *store, *tasks)
    assert status == 0, said
    exact = [row for row in Run(folders[0]).results if not is_withheld(row)]
    sizes = sizes_of_rows([vars(row) for row in exact])
    apart = {abs(one - other) for one, other in combinations(sizes, 2)}
    assert apart & set(range(1, 10)), "the folder has no sizes that are close: choose other data"
    together = {"terminal": sizes_of_terminal(shown)}
    assert "rounded down to multiples of 10" in shown.replace("\n", " ")

    for command in (
        ["compare", *folders, *store, "--tasks", TASK, "--out", tmp_path / "compared"],
        ["report", "benchmark", "--out", real],
        ["export", real, "--format", "csv", "--format", "latex", "--to", tmp_path / "tables"],
        ["export", folders[0], "--format", "csv", "--to", tmp_path / "of_run"],
        ["card", folders[0], *store, "--out", tmp_path / "card.html"],
        ["bundle", real, "--to", tmp_path / "b.zip"],
        ["leaderboard", tmp_path / "b.zip", "--out", tmp_path / "board"],
        ["verify", tmp_path / "b.zip", "--run", real],
    ):
        status, shown, said = run(*command)
        assert status == 0, (command, said)
        together[f"terminal: {command[0]}"] = sizes_of_terminal(shown)
    assert "was computed again: the same" in shown
    pages = [real / "report.html", tmp_path / "card.html", tmp_path / "board" / "leaderboard.html"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        together[page.name] = sizes_of_page(text)
        assert "rounded down to multiples of 10" in text or page.name == "leaderboard.html"
    tables = [*(tmp_path / "tables").glob("*.csv"), *(tmp_path / "of_run").glob("*.csv")]
    tables.append(tmp_path / "board" / "leaderboard.csv")
    for table in tables:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        together[f"{table.parent.name}/{table.name}"] = {
            n
            for row in rows
            for name in SIZES
            for n in numbers((row.get(name) or "").removesuffix(".0"))
        }
        if table.name == "results.csv":
            attack_values(rows, exact)
            assert {row["rounded"] for row in rows} == {"True"}
    for table in (tmp_path / "tables").glob("*.tex"):
        together[table.name] = sizes_of_latex(table.read_text())
    bundle = read_archive(tmp_path / "b.zip")
    for name, content in bundle.items():
        if name.endswith(".jsonl"):
            together[f"bundle: {name}"] = sizes_of_lines(content.decode())
    assert cs.sync_mlflow(folders[0]).problem is None
    for name, rows in rows_in_mlflow(database):
        together[f"MLflow: {name}"] = sizes_of_rows(rows)
        if name == "results.jsonl":
            attack_values(rows, exact)
    stated = {name: sizes for name, sizes in together.items() if sizes}
    for name in ("terminal", "report.html", "tables/results.csv", "bundle: results.jsonl"):
        assert stated[name], name
    assert {"MLflow: results.jsonl", f"MLflow: tables/{TASK}.json"} <= stated.keys()
    for name, sizes in stated.items():
        attack(sizes, name)
    attack(set().union(*stated.values()), "all together")


def _close_results() -> list[Result]:
    """Results of two patterns: 412 samples, and 406 of them."""
    sizes = {"observed": 412, "complete": 406}
    return [
        replace(
            RESULT, missingness=name, n_samples=n, n_subjects=n - 3, value=0.61702, metric=metric
        )
        for name, n in sizes.items()
        for metric in ("recall_at_1", "recall_at_5")
    ]


def test_close_sizes_leave_neither_by_a_table_nor_by_mlflow_nor_by_the_terminal(tmp_path: Path):
    rows = _close_results()
    folder = Run(tmp_path / "symile-0")
    write_rows(folder.path / "results.jsonl", rows)
    results = Results(tuple(rows), tasks=TASKS)
    compared = Comparisons(
        (
            replace(COMPARISON, n_samples=412, n_subjects=409, difference=0.0171),
            replace(COMPARISON, n_samples=406, n_subjects=403, missingness="complete"),
        )
    )
    snapshot, console = folder.snapshot(), Console(width=120, record=True)
    for part in result_tables(rounded_rows(rows), (), primary=results.primary_metrics, width=120):
        console.print(part)
    with results.to_csv(tmp_path / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    with compared.to_csv(tmp_path / "compared.csv").open(newline="") as file:
        differences = list(csv.DictReader(file))
    (place,) = task_tables(snapshot)
    content = json.loads(task_tables(snapshot)[place])
    sent = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    together = {
        "CSV": sizes_of_rows(table),
        "CSV of differences": sizes_of_rows(differences),
        "LaTeX": sizes_of_latex(results.to_latex()),
        "terminal": sizes_of_terminal(console.export_text()),
        "table in MLflow": sizes_of_rows(sent),
        "file in MLflow": sizes_of_lines(snapshot.files["results.jsonl"].decode()),
    }
    assert all(found == {400, 410} for found in together.values()), together
    attack_values(table, rows)
    attack_values([asdict(row) for row in snapshot.results], rows)
    assert [row["difference"] for row in differences] == ["0.015", "0.25"]
    assert "rounded down" in run_description(snapshot)
    assert "rounding" in run_tags(snapshot)
    assert folder.results == rows, "the folder lost its exact rows"


def test_synthetic_subjects_leave_exactly_as_they_are(tmp_path: Path):
    rows = _close_results()
    folder = Run(tmp_path / "symile-0")
    write_rows(folder.path / "results.jsonl", rows)
    summary = {"cohort": "c", "store_digest": "s", "schema": [], "profile": {}}
    (folder.path / "dataset.json").write_text(json.dumps({**summary, "synthetic": True}))
    write_checksums(folder.path)
    assert folder.snapshot().results == rows
    assert "rounding" not in run_tags(folder.snapshot())
    results = Results(tuple(rows), tasks=TASKS, synthetic=True)
    assert list(results.shareable.rows) == rows
    assert Comparisons((COMPARISON,), synthetic=True).shareable.rows == (COMPARISON,)


def rows_in_mlflow(uri: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each table that MLflow has of the runs of a database."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    for copy in client.search_runs(experiments):
        root = Path(str(copy.info.artifact_uri).removeprefix("file://"))
        for file in sorted(root.rglob("*.json*")):
            name, text = file.relative_to(root).as_posix(), file.read_text()
            if name.endswith(".jsonl"):
                yield name, [json.loads(line) for line in text.splitlines()]
            elif name.startswith("tables/"):
                table = json.loads(text)
                yield name, [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def test_exact_rows_stay_in_the_folder(real: Path):
    before = read_rows(real / "runs" / "symile-0" / "results.jsonl", Result)
    cs.export(real, formats="csv")
    assert read_rows(real / "runs" / "symile-0" / "results.jsonl", Result) == before
    assert not any(row.rounded for row in before)

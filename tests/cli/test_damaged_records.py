"""Every verb says in one sentence which record of a folder is no UTF-8 or holds zero bytes.

The folders have no checksums, as version 0.2.1 wrote them: the readers themselves must notice.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

TASK = "retrieval/cxr_given_ecg_labs"
BENCHMARK_TABLES = (
    *("comparisons", "losses", "seeds", "ranks", "masks", "settings", "unscored"),
    *("net_benefit_differences", "robustness"),
)
ANALYSIS_TABLES = ("measures", "calibration", "net_benefit", "modality_value", "subgroups")
DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "Latin-1": lambda content: content[:40] + b"\xe9" + content[40:],
    "zero bytes": lambda content: content[:40] + bytes(20) + content[60:],
    "all zero": lambda content: bytes(len(content)),
    "UTF-16": lambda content: content.decode().encode("utf-16"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::clinical_symile.errors.UncheckedFilesWarning"),
]


def readers(folder: Path) -> Iterator[tuple[str, list[list[str | Path]]]]:
    """Yield each record of a benchmark, and the commands that read it."""
    store, runs, out = folder / "store", folder / "runs", folder.parent / "export"
    run = runs / "symile-0"
    report: list[str | Path] = ["report", "benchmark", "--out", folder]
    export: list[str | Path] = ["export", folder, "--format", "csv", "--to", out]
    export_run: list[str | Path] = ["export", run, "--format", "csv", "--to", out]
    sync, sync_run = ["sync", folder], ["sync", run]
    rerun: list[str | Path] = ["rerun", folder, "--line", "1"]
    rerun_run: list[str | Path] = ["rerun", run, "--line", "1"]
    compare: list[str | Path] = ["compare", run, runs / "clip-0", "--store", store, "--tasks", TASK]
    evaluate: list[str | Path] = ["evaluate", run, "--store", store, "--tasks", TASK]
    train = ["train", "pretraining/symile", "--store", store, "--out", runs, "--name", "symile-0"]
    yield "benchmark.json", [report, export, [*sync], rerun]
    yield "results.jsonl", [report, export, rerun]
    for name in BENCHMARK_TABLES:
        yield f"{name}.jsonl", [report, export]
    yield "method_comparisons.jsonl", [report]
    card: list[str | Path] = ["card", store, "--out", folder.parent / "card.html"]
    yield "store/manifest.json", [card, ["audit", store], compare, evaluate, [*train]]
    yield "runs/symile-0/run.toml", [report, compare, evaluate, [*sync_run], rerun_run, [*train]]
    yield "runs/symile-0/history.jsonl", [report, [*sync_run]]
    yield "runs/symile-0/results.jsonl", [evaluate, [*sync_run], export_run, rerun_run]
    yield "runs/symile-0/inputs.json", [rerun_run]
    for name in ANALYSIS_TABLES:
        yield f"runs/symile-0/{name}.jsonl", [report, [*sync_run], export_run]


def test_every_verb_names_the_record_that_is_no_text(
    refused: Callable[..., str], benchmark_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{benchmark_folder.parent / 'own.db'}")
    for checksums in benchmark_folder.rglob("checksums.jsonl"):
        checksums.unlink()
    for name, commands in readers(benchmark_folder):
        file = benchmark_folder / name
        whole = file.read_bytes()
        for number, (kind, damage) in enumerate(DAMAGES.items()):
            file.write_bytes(damage(whole) or b"\xe9")
            # Each damage by one command, and the first by all.
            for command in commands if number == 0 else [commands[number % len(commands)]]:
                said = refused(*command).splitlines()
                problems = [line for line in said if line.startswith("error: ")]
                assert len(problems) == 1, (kind, command, said)
                assert file.name in problems[0], (kind, command, said)
        file.write_bytes(whole)


def test_verify_goes_on_with_other_folders_where_a_record_is_no_text(
    run: Callable[..., tuple[int, str, str]], benchmark_folder: Path
) -> None:
    for name in ("benchmark.json", "store/manifest.json", "runs/symile-0/results.jsonl"):
        (benchmark_folder / name).write_bytes(b"\xff\xfe\x00")
    status, shown, _ = run("verify", benchmark_folder)
    assert status == 1
    assert [line for line in shown.splitlines() if line.startswith("changed: ")] != []
    assert all(name in shown for name in ("benchmark.json", "manifest.json", "results.jsonl"))
    for checksums in benchmark_folder.rglob("checksums.jsonl"):
        checksums.unlink()
    status, shown, _ = run("verify", benchmark_folder)
    assert status == 1
    assert "manifest.json: is not the manifest of a store" in shown
    assert shown.count("cannot be verified: ") == 5  # the benchmark, its store and three runs

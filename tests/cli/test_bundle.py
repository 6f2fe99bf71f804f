"""`clinical-symile bundle`, `verify` of a bundle, and what is found in one that was changed."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import clinical_symile as cs
from clinical_symile.api.bundles import BundleVerification, _judged
from clinical_symile.api.repetition import Repetition, repeat_row
from clinical_symile.config.catalog import Catalog
from clinical_symile.errors import DataError
from clinical_symile.reporting import bundle as reporting_bundle
from clinical_symile.reporting.bundle import bundle_files, check_bundle
from clinical_symile.reporting.record_forms import record_forms
from clinical_symile.tracking.archive import archive_bytes, manifest_bytes, read_archive
from clinical_symile.tracking.results import Result, read_rows
from clinical_symile.tracking.rounding import rounded_rows
from tests.helpers.shared_build import built_once
from tests.helpers.synthetic import TINY
from tests.reporting.test_results import RESULT

RunCommand = Callable[..., tuple[int, str, str]]
TASK = "tasks/retrieval/cxr_given_ecg_labs.json"


@pytest.fixture(scope="session")
def made(shared_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the small benchmark; for reading only."""
    folder = built_once(
        tmp_path_factory,
        "bundle",
        lambda folder: cs.bundle(shared_benchmark, into=folder / "small.zip"),
    )
    return folder / "small.zip"


@pytest.fixture
def files(made: Path) -> dict[str, bytes]:
    return read_archive(made)


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is not rendered again, which takes most of the time of a check."""
    monkeypatch.setattr(reporting_bundle, "_page_problem", lambda *arguments: None)


def hashed_again(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return files with a manifest that fits them, as a forger would write it."""
    rest = {name: content for name, content in files.items() if not name.startswith("bundle.json")}
    about = json.loads(files["bundle.json"])
    about = {key: about[key] for key in ("version", "report", "digests")}
    return {**rest, "bundle.json": manifest_bytes(rest, about)}


def changed_row(files: Mapping[str, bytes], name: str, **values: Any) -> dict[str, bytes]:
    """Return files with other values in the first line of a table."""
    first, _, rest = files[name].partition(b"\n")
    line = json.dumps(json.loads(first) | values).encode()
    return {**files, name: line + b"\n" + rest}


def problems(files: Mapping[str, bytes], catalog: Catalog) -> str:
    return "\n".join(check_bundle(files, where="b.zip", catalog=catalog).problems)


def test_a_bundle_is_made_verified_and_its_results_are_computed_again(
    run: RunCommand, shared_benchmark: Path, made: Path, tmp_path: Path
):
    status, shown, said = run("bundle", shared_benchmark, "--to", tmp_path / "again.zip")
    assert (status, shown.strip(), said) == (0, str(tmp_path / "again.zip"), "")
    assert (tmp_path / "again.zip").read_bytes() == made.read_bytes(), "the same input, other bytes"
    copy = shutil.copytree(shared_benchmark, tmp_path / "elsewhere")
    status, shown, said = run("verify", made, "--run", copy, "--store", copy / "store")
    assert (status, said) == (0, "")
    assert "have the hashes that bundle.json states" in shown
    assert "All records have the expected form" in shown
    assert "Definitions, masks and digests agree" in shown
    assert "report.html was rendered again from the other files: the same page" in shown
    assert shown.count("was computed again: the same") == 3
    assert shown.endswith(f"{made}: is as it was made.\n")


def test_a_bundle_fits_the_schemas(made: Path):
    found = cs.validate(made)
    assert found.is_valid, str(found)
    assert found.checked > 15


def test_nothing_of_a_subject_or_of_this_machine_is_in_a_bundle(
    files: dict[str, bytes], shared_benchmark: Path
):
    text = b"".join(files.values()).decode()
    samples = pd.read_parquet(shared_benchmark / "store/samples.parquet")
    for column in ("sample", "subject"):
        ids = {str(one) for one in samples[column] if len(str(one)) > 4}
        assert ids
        assert not [one for one in ids if re.search(rf"\b{one}\b", text)]
    assert str(shared_benchmark) not in text
    assert not [name for name in files if name.endswith((".parquet", ".npy", ".safetensors"))]
    rows = [Result(**json.loads(line)) for line in files["results.jsonl"].splitlines()]
    assert min(min(row.n_samples, row.n_subjects) for row in rows) >= 10
    assert rows == read_rows(shared_benchmark / "results.jsonl", Result)


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("results.jsonl", {"value": 0.97}, "results.jsonl, line 1: was changed: "),
        ("results.jsonl", {"mask": "0123456789abcdef"}, "results.jsonl, line 1: was changed: "),
        ("comparisons.jsonl", {"p_holm": 0.01}, "comparisons.jsonl, line 1: was changed: "),
        ("modality_value.jsonl", {"value": 1.0}, "modality_value.jsonl, line 1: was changed: "),
        ("losses.jsonl", {"low": 0.01}, "losses.jsonl, line 1: was changed: "),
    ],
)
def test_a_changed_number_or_mask_is_named_with_its_line(
    files: dict[str, bytes], catalog: Catalog, name: str, values: dict[str, Any], words: str
):
    assert words in problems(changed_row(files, name, **values), catalog)


@pytest.mark.usefixtures("no_page")
def test_every_file_of_a_bundle_is_checked(files: dict[str, bytes], catalog: Catalog):
    assert problems(files, catalog) == ""
    for name in files:
        if name == "bundle.json":
            continue
        assert name in problems({**files, name: files[name] + b" "}, catalog), name
        less = {key: content for key, content in files.items() if key != name}
        assert f"{name}: is missing" in problems(less, catalog)
    more = hashed_again({**files, "samples.parquet": b"rows", "tasks/other.json": b"{}"})
    assert "samples.parquet: is no file of a bundle" in problems(more, catalog)
    assert "tasks/other.json: is no file of a bundle" in problems(more, catalog)


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("manifest", [b"", b"{}", b"[1]", b"\xff", b'{"bundle": 99}'])
def test_a_manifest_of_another_form_ends_the_check(
    files: dict[str, bytes], catalog: Catalog, manifest: bytes
):
    assert problems({**files, "bundle.json": manifest}, catalog).startswith("bundle.json: ")
    later = files["bundle.json"].replace(b'"bundle": 1', b'"bundle": 2')
    assert "is of form 2; expected at most 1" in problems({**files, "bundle.json": later}, catalog)
    del files["bundle.json"]
    assert problems(files, catalog) == "bundle.json: is missing."


@pytest.mark.usefixtures("no_page")
def test_a_bundle_states_the_forms_of_its_records_and_later_ones_are_refused(
    files: dict[str, bytes], catalog: Catalog
):
    forms = json.loads(files["bundle.json"])["forms"]
    assert {"results", "comparisons", "report_data"} <= {*forms}
    assert forms == {name: record_forms()[name].version for name in forms}
    before = hashed_again(files)  # as the first bundles, which state none
    assert "forms" not in json.loads(before["bundle.json"])
    assert problems(before, catalog) == ""
    later = files["bundle.json"].replace(b'"results": 2', b'"results": 3')
    assert problems({**files, "bundle.json": later}, catalog) == (
        "bundle.json: states form 3 of results; expected one that this version knows. Verify it "
        f"with clinical-symile {cs.__version__}."
    )


@pytest.mark.usefixtures("no_page")
def test_a_forger_who_writes_new_hashes_is_found_by_what_does_not_agree(
    files: dict[str, bytes], catalog: Catalog
):
    mask = hashed_again(changed_row(files, "results.jsonl", mask="0123456789abcdef"))
    (problem,) = problems(mask, catalog).splitlines()
    assert "line 1: " in problem
    assert "has mask 0123456789abcdef, but others have " in problem
    task = json.loads(files[TASK])
    other = hashed_again({**files, TASK: json.dumps(task | {"candidates": 5}).encode()})
    assert f"{TASK}: the definition was changed: its digest is" in problems(other, catalog)
    renamed = hashed_again({**files, TASK: json.dumps(task | {"name": "other"}).encode()})
    assert f"{TASK}: has another name" in problems(renamed, catalog)
    about = json.loads(files["report_data.json"])
    trained = about["runs"][0]["definition"] | {"name": task["name"]}
    trained |= {"primary": "recall_at_1", "higher_is_better": True}
    other = hashed_again({**files, TASK: json.dumps(trained).encode()})
    assert "unknown key 'primary'" in problems(other, catalog)
    broken = hashed_again({**files, TASK: json.dumps(task | {"split": "all"}).encode()})
    assert f"{TASK}" in problems(broken, catalog)
    about = json.loads(files["report_data.json"])
    about["cohort"]["digest"] = "0123456789abcdef"
    cohort = hashed_again({**files, "report_data.json": json.dumps(about).encode()})
    assert "cohort.digest is not the digest" in problems(cohort, catalog)
    about["runs"][0]["store_digest"] = "0123456789abcdef"
    run = hashed_again({**files, "report_data.json": json.dumps(about).encode()})
    assert "has another store than bundle.json states" in problems(run, catalog)
    value = hashed_again(changed_row(files, "results.jsonl", value="0.97"))
    assert "line 1: value: is text; expected a number" in problems(value, catalog)


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"description": "a.b:C"}, ""),
        ({"description": "a.b:C", "candidates": 5}, "the definition was changed: its digest"),
        ({"metrics": ["a.b:C"], "primary": "a.b:C"}, "the definition was changed: its digest"),
        ({"higher_is_better": False}, "higher_is_better is False; expected True, as recall_at_1"),
    ],
)
def test_no_text_in_a_task_switches_its_check_off(
    files: dict[str, bytes], catalog: Catalog, changes: dict[str, Any], words: str
):
    task = json.dumps(json.loads(files[TASK]) | changes).encode()
    found = check_bundle(hashed_again({**files, TASK: task}), where="b.zip", catalog=catalog)
    assert (words in "\n".join(found.problems), bool(found.problems)) == (True, bool(words))
    assert [one for one in found.skipped if "names a.b:C, code that is not imported" in one] == [
        *found.skipped
    ]
    assert bool(found.skipped) == ("metrics" in changes)


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    ("definition", "about", "problem", "skipped"),
    [
        ({}, {}, "", ""),
        ({"description": "a.b:C"}, {}, "", ""),
        ({"description": "a.b:C", "dim": 6}, {}, "definition was changed: its digest is", ""),
        ({"dim": 0}, {}, "dim", ""),
        ({"objective": None}, {}, "objective", ""),
        ({"objective": {"name": "a.b:C"}}, {}, "", "names a.b:C, code that is not imported"),
        ({}, {"task_digest": "0123456789abcdef"}, "definition was changed: its digest is", ""),
        ({}, {"task_digest": None}, "has no task_digest", ""),
        ({"dim": 6}, {"version": "0.2.3"}, "", "was trained by version 0.2.3"),
        ({"dim": 6}, {"folders_left_out": True}, "", "whose folders were left out"),
    ],
)
def test_the_definition_of_a_run_is_compared_with_its_digest_or_named(
    files: dict[str, bytes],
    catalog: Catalog,
    definition: dict[str, Any],
    about: dict[str, Any],
    problem: str,
    skipped: str,
):
    data = json.loads(files["report_data.json"])
    data["runs"][0]["definition"] |= definition
    data["runs"][0] |= about
    changed = hashed_again({**files, "report_data.json": json.dumps(data).encode()})
    found = check_bundle(changed, where="b.zip", catalog=catalog)
    assert (problem in "\n".join(found.problems), bool(found.problems)) == (True, bool(problem))
    assert (skipped in "\n".join(found.skipped), bool(found.skipped)) == (True, bool(skipped))
    agreed = [one for one in found.passed if one.startswith("Definitions, masks and digests")]
    assert [one.endswith("except for what was not checked.") for one in agreed] == (
        [] if problem else [bool(skipped)]
    )


def test_a_number_that_was_changed_with_its_hash_is_found_by_the_report(
    files: dict[str, bytes], catalog: Catalog
):
    forged = hashed_again(changed_row(files, "results.jsonl", value=0.97, high=0.99))
    assert "report.html: is not the page that the other files give; line" in problems(
        forged, catalog
    )


def test_a_number_that_was_changed_with_its_hash_and_its_report_is_found_by_computing_again(
    shared_benchmark: Path, files: dict[str, bytes], catalog: Catalog, tmp_path: Path
):
    forged = changed_row(files, "results.jsonl", value=0.97, high=0.99)
    data = reporting_bundle.read_report_files(forged, where="b")
    page = reporting_bundle._page(catalog.path("reports", "benchmark"), data)
    path = tmp_path / "forged.zip"
    path.write_bytes(archive_bytes(hashed_again({**forged, "report.html": page})))
    assert cs.verify(path).is_intact
    found = cs.verify(path, run=shared_benchmark, lines=[1])
    assert not found.is_intact
    assert "results.jsonl, line 1: " in str(found)
    assert "value 0.97 in the bundle" in str(found)
    assert "with the same processor, threads and versions" in str(found)


@pytest.mark.parametrize("part", ["template", "sections", "damaged"])
def test_code_of_a_bundle_is_not_run(
    files: dict[str, bytes], catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part
):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    changed = dict(files)
    definition = files["report/report.toml"]
    if part == "template":
        changed["report/template.html.j2"] = b"{{ 7 * 7 }}"
    elif part == "sections":
        changed["report/report.toml"] = definition.replace(b'"cohort"', b'"evil:SECTION"')
        assert changed["report/report.toml"] != definition
    else:
        changed["report/report.toml"] = b"title = [\n"
    said = problems(hashed_again(changed), catalog)
    words = "cannot be rendered" if part == "damaged" else "of its maker, which are code"
    assert said.count("problem") == 0
    assert words in said
    task = json.loads(files[TASK]) | {"metrics": ["evil:METRIC"], "primary": "evil:METRIC"}
    problems(hashed_again({**files, TASK: json.dumps(task).encode()}), catalog)


def test_data_that_no_page_can_be_drawn_of_are_a_problem(files: dict[str, bytes], catalog: Catalog):
    about = json.loads(files["report_data.json"])
    about["cohort"] = {"title": "Ours", "digest": 3}
    about["runs"] = [{}]
    said = problems(
        hashed_again({**files, "report_data.json": json.dumps(about).encode()}), catalog
    )
    assert "report.html: cannot be rendered from the other files" in said


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("junk", [None, 2.5, "text", [], [{}], {}, {"x": None}])
def test_no_value_of_another_kind_is_more_than_a_problem(
    files: dict[str, bytes], catalog: Catalog, junk: Any
):
    for name in ("report_data.json", TASK, "bundle.json"):
        record = json.loads(files[name])
        for key in record:
            changed = {**files, name: json.dumps(record | {key: junk}).encode()}
            check_bundle(changed, where="b.zip", catalog=catalog)
            if name != "bundle.json":
                check_bundle(hashed_again(changed), where="b.zip", catalog=catalog)


@pytest.mark.usefixtures("no_page")
def test_a_signed_bundle_tells_its_signer(
    run: RunCommand, shared_benchmark: Path, made: Path, tmp_path: Path
):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen on this machine")
    key, bundle = tmp_path / "key", tmp_path / "signed.zip"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    assert run("bundle", shared_benchmark, "--to", bundle, "--sign", key)[0] == 0
    files = read_archive(bundle)
    assert {*files} - {*read_archive(made)} == {"bundle.json.sig"}
    signers = tmp_path / "signers"
    signers.write_text(f"ann {(tmp_path / 'key.pub').read_text()}")
    status, shown, _ = run("verify", bundle, "--signers", signers)
    assert (status, "Signed by ann." in shown) == (0, True)
    forged = tmp_path / "forged.zip"
    forged.write_bytes(archive_bytes({**hashed_again(files), "bundle.json.sig": b"none"}))
    for path, words in ((forged, "the signature does not fit"), (made, "expected a signature")):
        status, shown, _ = run("verify", path, "--signers", signers)
        assert (status, words in shown) == (1, True)


@pytest.mark.usefixtures("no_page")
def test_what_cannot_be_bundled_or_verified_is_refused(
    refused: Callable[..., str], shared_benchmark: Path, made: Path, tmp_path: Path
):
    assert "expected the folder of a finished benchmark" in refused("bundle", tmp_path)
    assert "no such file; expected an SSH key" in refused(
        "bundle", shared_benchmark, "--to", tmp_path / "b.zip", "--sign", tmp_path / "key"
    )
    assert not (tmp_path / "b.zip").exists()
    said = refused("bundle", shared_benchmark, "--to", tmp_path)
    name = f"{shared_benchmark.name}.bundle.zip"
    assert f"expected the path of a file to write, such as {tmp_path / name}" in said
    (tmp_path / "notes.zip").write_text("no archive")
    said = refused("bundle", shared_benchmark, "--to", tmp_path / "notes.zip/b.zip")
    assert f"{tmp_path / 'notes.zip'}: is a file; expected a folder" in said
    assert "expected a bundle as" in refused("verify", tmp_path / "notes.zip")
    assert "not line 999" in refused("verify", made, "--run", shared_benchmark, "--line", "999")
    assert "no run of this bundle" in refused("verify", made, "--run", tmp_path)


def test_a_task_that_is_defined_otherwise_now_is_refused(
    shared_benchmark: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
):
    record = json.loads((shared_benchmark / "benchmark.json").read_text())
    record["definitions"]["retrieval/cxr_given_ecg_labs"]["candidates"] = 7
    monkeypatch.setattr(reporting_bundle, "read_record", lambda out: record)
    with pytest.raises(DataError, match="has another definition now than in the benchmark"):
        bundle_files(shared_benchmark, catalog=catalog)


@pytest.mark.slow
def test_a_benchmark_with_patterns_of_its_own_is_bundled_and_computed_again(
    run: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    report, out, made = tmp_path / "own/reports/mine", tmp_path / "out", tmp_path / "own.zip"
    report.mkdir(parents=True)
    (report / "report.toml").write_text(
        'description = "Under patterns of its own."\nsections = ["retrieval_missing"]\n'
        'tasks = ["retrieval/cxr_given_ecg_labs"]\nmissingness = ["complete", "labs-mcar-50"]\n'
        'pretraining = ["pretraining/symile"]\nseeds = [0]\n'
    )
    words = [word for setting in TINY for word in ("--set", setting)]
    words += ["--cohort", "synthetic", "--generate", "subjects=60", "--accelerator", "cpu"]
    own = ["--catalog", tmp_path / "own"]
    assert run("benchmark", "mine", "--out", out, *words, *own)[0] == 0
    assert run("bundle", out, "--to", made, *own)[0] == 0
    rows = read_rows(out / "results.jsonl", Result)
    line = 1 + next(
        n
        for n, row in enumerate(rows)
        if (row.run, row.missingness) == ("symile-0", "labs-mcar-50")
    )
    for place in (out, out / "runs/symile-0"):
        verify = ("verify", made, "--run", place, "--store", out / "store", "--line", line)
        status, shown, said = run(*verify, *own)
        assert (status, said) == (0, "")
        assert "was computed again: the same to the digit" in shown


def test_another_machine_may_differ_by_the_tolerance_and_no_more(
    shared_benchmark: Path, catalog: Catalog
):
    row = read_rows(shared_benchmark / "results.jsonl", Result)[0]
    found = repeat_row(row, shared_benchmark, store=None, definitions=catalog, where="x")
    assert (found.is_same, found.changed_environment) == (True, [])
    old = replace(row, value=row.value + 0.004, environment={**row.environment, "threads": "64"})
    now = asdict(found.after)
    differs = Repetition(old, found.after, {"value": (old.value, now["value"])})
    assert differs.changed_environment == ["threads 64 before, 1 now"]
    assert differs.is_within(0.005)
    assert not differs.is_within(0.003)
    masks = Repetition(old, found.after, {"mask": ("a", "b")})
    assert not masks.is_within(1.0)
    nested = Repetition(old, found.after, {"hidden": ({"ecg": 0.25}, {"ecg": 0.251})})
    assert (nested.is_within(0.005), nested.is_within(0.0005)) == (True, False)


def test_a_result_that_a_bundle_rounds_is_compared_with_a_rounded_one():
    row = replace(RESULT, hidden={"ecg": 1 / 3}, value=0.503, n_samples=104)
    (shared,) = rounded_rows([row])
    assert (shared.value, shared.n_samples, shared.hidden) == (0.5, 100, {"ecg": 0.35})
    found = Repetition(shared, row, {"value": (shared.value, row.value)})
    assert found.rounded().is_same
    other = replace(found, after=replace(row, value=0.4)).rounded()
    assert other.differences == {"value": (0.5, 0.4)}


def test_the_outcome_says_what_passed_and_what_did_not():
    found = BundleVerification(Path("b.zip"), ("All fits.",), ("one differs.",), {})
    assert str(found) == "All fits.\nproblem: one differs.\nb.zip: is not as it should be."
    found = BundleVerification(Path("b.zip"), ("All fits.",), (), {}, ("one names code.",))
    assert str(found) == "All fits.\nnot checked: one names code.\nb.zip: is as it was made."


@pytest.mark.parametrize(
    ("change", "environment", "tolerance", "is_fine", "words"),
    [
        (0.0, {}, None, True, "the same to the digit"),
        (0.0, {"threads": "64"}, None, True, "the same to the digit"),
        (1e-9, {}, None, False, "differs, with the same processor, threads and versions"),
        (1e-9, {"threads": "64"}, None, True, "the same within 0.01, not to the digit"),
        (0.011, {"threads": "64"}, None, False, "differs by more than 0.01"),
        (0.011, {"threads": "64"}, 0.02, True, "the same within 0.02, not to the digit"),
        (1e-9, {"threads": "64"}, 0.0, False, "differs by more than 0"),
    ],
)
def test_the_verdict_on_a_number_depends_on_the_machine(
    change: float, environment: dict[str, str], tolerance: float | None, is_fine: bool, words: str
):
    now = replace(RESULT, environment={"threads": "2", "processor": "x86_64"})
    row = replace(now, value=now.value + change, environment={**now.environment, **environment})
    differences = {"value": (row.value, now.value)} if change else {}
    said, fine = _judged(Repetition(row, now, differences), tolerance)
    assert (fine, words in said) == (is_fine, True)
    assert ("threads 64 before, 2 now" in said) == bool(environment and change)


def test_a_leaderboard_of_bundles_and_what_is_refused(
    run: RunCommand,
    refused: Callable[..., str],
    made: Path,
    files: dict[str, bytes],
    tmp_path: Path,
):
    other = shutil.copy(made, tmp_path / "other.bundle.zip")
    status, shown, said = run("leaderboard", made, other, "--out", tmp_path / "board")
    assert (status, said) == (0, "")
    assert shown.strip() == str(tmp_path / "board/leaderboard.html")
    table = pd.read_csv(tmp_path / "board/leaderboard.csv")
    assert {*table["bundle"]} == {"small.zip", "other"}
    assert {*table["entries"]} == {4}, "the same runs in two bundles"
    forged = tmp_path / "forged.zip"
    forged.write_bytes(archive_bytes(changed_row(files, "results.jsonl", value=0.97)))
    (tmp_path / "more").mkdir()
    twice = shutil.copy(made, tmp_path / "more/other.bundle.zip")
    said = refused("leaderboard", forged, other, twice, "--out", tmp_path / "no")
    assert "results.jsonl, line 1: was changed" in said
    assert "another bundle is called other, too" in said
    empty = tmp_path / "empty.zip"
    empty.write_bytes(archive_bytes(hashed_again({**files, "results.jsonl": b""})))
    assert "no run has a primary result" in refused("leaderboard", empty, "--out", tmp_path / "no")
    gone = refused("leaderboard", tmp_path / "gone", "--out", tmp_path / "no")
    assert "no such file; expected a bundle" in gone
    folder = refused("leaderboard", made, tmp_path / "more", "--out", tmp_path / "no")
    assert f"`clinical-symile bundle {tmp_path / 'more'}` makes one" in folder
    for out in (forged, forged / "deeper"):
        said = refused("leaderboard", made, "--out", out)
        assert f"{forged}: is a file; expected a folder to write into" in said
    assert not (tmp_path / "no").exists()

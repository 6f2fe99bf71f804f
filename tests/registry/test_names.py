import ast
import itertools
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_symile.data.external.predictions import read_predictions
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.registry.names import (
    check_name,
    check_names_differ,
    check_path,
    is_name,
    is_path_below,
    name_of,
    path_in,
)
from clinical_symile.tracking.run import Run
from tests.helpers.source import MODULES

# Names of variables that hold a name from a file.
NAMES = {
    *("name", "task", "pattern", "missingness", "outcome", "modality", "group", "cohort", "run"),
    *("run_name", "task_name", "given", "subgroup", "report", "split", "kind"),
}
CALLS = {"with_name", "with_stem", "joinpath", "Path", "open"}
# Paths made of names that no stranger wrote, or that were checked before: module and reason.
KNOWN_PLACES = {
    "api._arguments": "a run's folder that a user names",
    "api.cohorts": "a folder beside --out",
    "api.planning": "two tables of the package",
    "api.verification": "names of the manifest, after `is_path_below`",
    "benchmarking.finalize": "tables of the package",
    "config.catalog": "`cohorts`, `tasks` and `reports`",
    "data.croissant": "the ending of a file of the store",
    "data.external.store": "the constant name of its one modality",
    "data.ingest.recordings": "names of the store, after `is_path_below`",
    "data.ingest.store_writer": "`samples` and `files`",
    "data.prepare": "two tables of the package; files found on disk",
    "data.store_manifest": "names of the manifest, after `is_path_below`",
    "evaluation.analysis.analyze": "`outcomes` and `tuning`",
    "files": "a file beside its final name",
    "modalities.waveform_files.wfdb_record": "a name without a folder, which with_name() holds",
    "reporting.file_export": "tables of the package",
    "synthetic.generate": "numbers that the generator drew",
    "synthetic.tables": "tables of the generator",
    "tracking._database_creation": "a database beside its final name",
    "tracking.analysis_tables": "tables of the package",
    "tracking.checksums": "names of `checksums.jsonl`, after `is_path_below`; files found on disk",
    "tracking.run": "`SHAREABLE_FILES` and three tables of the package",
    "training.checkpoint": "numbers of epochs",
}


@pytest.mark.parametrize(
    "name",
    [
        *("auroc", "lactate<2", "größe_1", "in hospital", "a.b", "<2", "v-1", "a=b"),
        *("mcar-50@at-least-one", "किडनी", "肾", "pO₂"),
    ],
)
def test_names_of_any_script_are_kept(name: str) -> None:
    assert check_name(name, what="outcome", where="theirs.csv") == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../x",
            "a\\b",
            "a\nb",
            "a ",
            " a",
            "a.",
            "a\0",
            "a:b",
            "*",
        ),
        *("%3C", "a%b", "CON", "con.csv", "Lpt1", "nul .x", "x" * 201, "<" * 70, "ö" * 101),
        *("o\u0308", "\u0301a", "a\u200bb", "a\u202eb", "a?b", "a[b]", "a'b", 'a"b', "a|b", "a\tb"),
        *("\ud800", "a;b", "a&b", "$HOME", "~", "a#b", "a,b", "a{b}"),
    ],
)
def test_a_name_that_could_leave_its_folder_or_be_another_is_refused(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(DataError, match=r"theirs\.csv: outcome .* cannot be a name: it .*expected"):
        check_name(name, what="outcome", where="theirs.csv")
    with pytest.raises(DataError, match="cannot be a name"):
        path_in(Path("out"), name) if "/" not in name else path_in(Path("out"), f"{name}/..")


def test_each_part_of_a_path_is_a_name() -> None:
    task = "classification/paper/died"
    assert check_path(task, what="task", where="x") == task
    for bad in ("classification/../../x", "/etc/x", "a//b"):
        with pytest.raises(DataError, match="cannot be a name"):
            check_path(bad, what="task", where="x")
        with pytest.raises(DataError, match="cannot be a name"):
            path_in(Path("out"), bad)


@given(st.text(alphabet=st.sampled_from("aAé<>=@_- .3CDE%/\\"), max_size=8))
def test_a_path_is_below_its_folder_and_gives_the_name_back(name: str) -> None:
    folder = Path("/out/outcomes")
    if not is_name(name):
        return
    path = path_in(folder, name, suffix=".parquet")
    assert path.parent == folder
    assert name_of(path, suffix=".parquet") == name
    assert not set("<>=") & set(path.name)


def test_different_names_have_different_paths() -> None:
    names = ["".join(signs) for signs in itertools.product("a<>=3CDE.", repeat=3)]
    known = [name for name in names if is_name(name)]
    assert len({path_in(Path(), name) for name in known}) == len(known) > 500


@pytest.mark.parametrize(
    "pair", [("AKI", "aki"), ("Straße", "STRASSE"), ("\u212bngström", "ångström"), ("Ä", "ä")]
)
def test_names_that_differ_in_the_form_of_letters_only_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(DataError, match=r"t\.csv: the outcomes .* differ only in capital"):
        check_names_differ(pair, what="outcomes", where="t.csv")
    check_names_differ([*pair[:1], *pair[:1], "other"], what="outcomes", where="t.csv")


@pytest.mark.parametrize("outcome", ["../../escaped", "a/b", ".hidden", "CON", "x" * 300, "a\nb"])
def test_a_predictions_file_with_such_an_outcome_is_refused(outcome: str, tmp_path: Path) -> None:
    file = tmp_path / "theirs.csv"
    table = {"sample": ["s1"], "probability": [0.5], "label": [1], "outcome": [outcome]}
    pd.DataFrame(table).to_csv(file, index=False)
    with pytest.raises(DataError, match=r"theirs\.csv: outcome .* cannot be a name"):
        read_predictions(file)


def test_a_predictions_file_with_outcomes_that_differ_in_case_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "theirs.csv"
    file.write_text("sample,probability,label,outcome\ns,0.5,1,AKI\ns,0.5,1,aki\n")
    with pytest.raises(DataError, match="'AKI' and 'aki' differ only in capital letters"):
        read_predictions(file)


@pytest.mark.parametrize("name", ["mask-../../x", "site-/etc/passwd", "mar-a/b-30", "only-../x"])
def test_a_pattern_that_names_a_file_elsewhere_is_no_pattern(name: str) -> None:
    with pytest.raises(DefinitionError, match="unknown missingness pattern"):
        parse_pattern(name)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "\\x", "C:\\x", "C:x", "..\\x"])
def test_a_path_that_leads_out_of_its_folder_is_not_below_it(path: str) -> None:
    assert not is_path_below(path)


@pytest.mark.parametrize(
    ("task", "pattern"), [("classification/../../../x", "complete"), ("a/b", "../../../x")]
)
def test_no_outcome_is_written_outside_the_runs_folder(task: str, pattern: str, tmp_path) -> None:
    run = Run(tmp_path / "out" / "run")
    with pytest.raises(DataError, match="cannot be a name"):
        run.write_evaluation(
            task,
            results=[],
            unscored=[],
            outcomes={pattern: pd.DataFrame({"row": [0]})},
            candidates=pd.DataFrame(),
        )
    assert not list(tmp_path.rglob("*.parquet"))


def test_every_outcome_of_a_run_is_found_again_by_its_name(tmp_path: Path) -> None:
    run, table = Run(tmp_path / "run"), pd.DataFrame({"row": [0]})
    for pattern in ("complete", "mnar-lactate<2-30"):
        run.write_evaluation(
            "classification/lactate<2",
            results=[],
            unscored=[],
            outcomes={pattern: table, "mnar-lactate=2-30": table},
            candidates=pd.DataFrame(),
        )
        assert run.outcome("classification/lactate<2", pattern).equals(table)
    left = sorted(path.name for path in run.path.rglob("*.parquet"))
    assert left == ["mnar-lactate%3C2-30.parquet", "mnar-lactate%3D2-30.parquet"]


def named_paths(tree: ast.Module) -> list[str]:
    """Every path of a module that is built from a name by another way than `path_in`."""

    def has_name(node: ast.AST) -> bool:
        if isinstance(node, ast.JoinedStr):
            return any(isinstance(part, ast.FormattedValue) for part in node.values)
        word = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
        return word in NAMES

    def parts(node: ast.AST) -> list[ast.expr]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return [node.right]
        if not isinstance(node, ast.Call):
            return []
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return node.args if called in CALLS else []

    return [ast.unparse(node) for node in ast.walk(tree) if any(map(has_name, parts(node)))]


def test_the_search_for_paths_that_are_built_from_names_finds_them() -> None:
    text = "a / name; a / f'{x}.csv'; a / run.task; Path(f'/x/{y}'); p.with_name(name); a / 'x'"
    assert len(named_paths(ast.parse(text))) == 5


def test_no_path_is_built_from_a_name_but_by_one_function() -> None:
    found = {
        module: named_paths(tree) for module, tree in MODULES.items() if module != "registry.names"
    }
    found = {module: places for module, places in found.items() if places}
    unknown = {m: places for m, places in found.items() if m not in KNOWN_PLACES}
    assert not unknown, "use clinical_symile.registry.names.path_in"
    assert set(KNOWN_PLACES) == set(found), "a place in the list is gone: remove it"

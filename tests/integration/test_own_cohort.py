"""A new user's way, by the commands of the guide alone: from an empty folder to the report."""

import re
import shlex
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.cli.check import check_definitions
from clinical_symile.cli.init import PLACE, TEMPLATES, init_cohort
from clinical_symile.cli.main import main
from clinical_symile.config.catalog import open_catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.audit.audit import audit_store
from clinical_symile.data.audit.finding import Severity
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.tracking.run import Run
from clinical_symile.training.train import train as train_run
from tests.helpers.synthetic import TINY, quiet
from tests.integration.test_readme import commands

GUIDE = "docs/guides/own_cohort.md"
CODES = {"CREA": "mg/dL", "K": "mmol/L", "NA": "mmol/L", "HB": "g/dL", "WBC": "10*3/uL"}
SET = [word for setting in TINY for word in ("--set", setting)]


def write_raw(
    folder: Path,
    people: int,
    write_ecg: Callable[..., None],
    write_image: Callable[..., None],
) -> dict[str, pd.DataFrame]:
    """The raw files that the guide speaks of: a third of the X-rays and ECGs were not made."""
    rng = np.random.default_rng(0)
    admissions, xrays, ecgs, labs = [], [], [], []
    for person in range(people):
        admitted = datetime(2031, 1, 1) + timedelta(hours=24 * person)
        died = int(rng.random() < 0.3)
        discharged = admitted + timedelta(days=5)
        sex = rng.choice(["female", "male"])
        admissions.append((1000 + person, person, sex, admitted, discharged, died))
        if rng.random() < 0.7:
            for view, hours in (("LATERAL", 1), ("AP", 5), ("PA", 30), ("AP", 90)):
                file = f"images/{person}_{hours}.png"
                if (view, hours) != ("AP", 90):
                    pixels = rng.integers(0, 256, (64, 64), dtype=np.uint8)
                    write_image(folder / file, pixels)
                xrays.append((person, admitted + timedelta(hours=hours), view, file))
        if rng.random() < 0.7:
            write_ecg(folder / f"ecg/{person}", rng.normal(0, 0.3, (5000, 12)))
            ecgs.append((person, admitted - timedelta(hours=2), f"ecg/{person}"))
        for code, level in zip(CODES, (1, 4, 140, 13, 8), strict=True):
            for hours in (2, 20, 50):
                value = round(level * rng.uniform(0.8, 1.2), 2)
                labs.append((person, admitted + timedelta(hours=hours), code, value))
    columns = {
        "admissions": ["admission", "person", "sex", "admitted", "discharged", "died"],
        "xrays": ["person", "taken", "view", "file"],
        "ecgs": ["person", "taken", "file"],
        "lab_results": ["person", "taken", "code", "value"],
    }
    rows = {"admissions": admissions, "xrays": xrays, "ecgs": ecgs, "lab_results": labs}
    tables = {name: pd.DataFrame(rows[name], columns=columns[name]) for name in rows}
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return tables


def write_meds(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """The same admissions and labs as events in MEDS; person 0 is in no split."""
    admissions = tables["admissions"]
    died = admissions[admissions["died"] == 1]
    parts = [
        pd.DataFrame({"subject_id": admissions["person"], "code": "SEX//F"}),
        _events(admissions["person"], admissions["admitted"], "HOSPITAL_ADMISSION//EW EMER."),
        _events(admissions["person"], admissions["discharged"], "HOSPITAL_DISCHARGE//HOME"),
        _events(died["person"], died["discharged"], "MEDS_DEATH"),
        _events(
            tables["lab_results"]["person"],
            tables["lab_results"]["taken"],
            ["LAB//" + code + "//" + CODES[code] for code in tables["lab_results"]["code"]],
        ).assign(numeric_value=tables["lab_results"]["value"].astype("float32")),
    ]
    events = pd.concat(parts).sort_values(["subject_id", "time"], kind="stable")
    splits = ["train", "train", "train", "tuning", "held_out"]
    people = admissions["person"].to_numpy()
    split = pd.DataFrame({"subject_id": people, "split": [splits[p % 5] for p in people]})
    for name, part in split.groupby("split"):
        shard = folder / "meds/data" / str(name) / "0.parquet"
        shard.parent.mkdir(parents=True)
        events[events["subject_id"].isin(part["subject_id"])].to_parquet(shard, index=False)
    (folder / "meds/metadata").mkdir()
    split[1:].to_parquet(folder / "meds/metadata/subject_splits.parquet", index=False)
    for name in ("xrays", "ecgs"):
        table = tables[name].rename(columns={"person": "subject_id"})
        table.to_csv(folder / f"{name}.csv", index=False)


def _events(people: Any, times: Any, code: str | list[str]) -> pd.DataFrame:
    return pd.DataFrame({"subject_id": people, "time": times, "code": code})


def ran(command: str, *more: str) -> None:
    """Run a command of the guide."""
    program, *words = shlex.split(command)
    assert program == "clinical-symile"
    with pytest.raises(SystemExit) as stop:
        main([*words, *more])
    assert stop.value.code == 0, command


@pytest.mark.slow
def test_the_guides_commands_lead_from_nothing_to_the_report(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_ecg: Callable[..., None],
    write_image: Callable[..., None],
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    tables = write_raw(tmp_path / "raw", 120, write_ecg, write_image)
    for command in commands(GUIDE):
        verb = next(word for word in shlex.split(command)[1:] if word in VERBS)
        ran(command, *(SET if verb in ("train", "benchmark") else []))
    store = open_store(tmp_path / "store")
    assert len(store.samples) == len(tables["admissions"])
    report = (tmp_path / "benchmark/report.html").read_text(encoding="utf-8")
    assert "st_elsewhere" in report
    assert "in-hospital mortality" in report.lower() or "in_hospital_mortality" in report


VERBS = ("init", "check", "prepare", "card", "audit", "train", "evaluate", "benchmark", "report")


@pytest.mark.parametrize("like", TEMPLATES)
def test_what_is_written_is_right_as_it_stands(like: str, tmp_path: Path) -> None:
    written = init_cohort("ours", at=tmp_path / "d", like=like)
    assert {path.name for path in written} >= {"cohort.toml", "samples.sql", "labs.csv"}
    assert not any(PLACE in str(path) + path.read_text(encoding="utf-8") for path in written)
    problems, notes = check_definitions([tmp_path / "d"])
    assert problems == []
    assert not any("ours/retrieval" in note and "applicable to ours" in note for note in notes)


def test_tables_become_admissions_with_the_first_recording_in_each_window(
    tmp_path: Path, write_ecg: Callable[..., None], write_image: Callable[..., None]
) -> None:
    tables = write_raw(tmp_path / "raw", 20, write_ecg, write_image)
    init_cohort("ours", at=tmp_path / "d", like="tables")
    catalog = open_catalog([tmp_path / "d"])
    store = prepare_cohort(
        catalog, "ours", source=tmp_path / "raw", out=tmp_path / "store", bar=quiet
    )
    people = store.samples["subject"].astype(int).to_numpy()
    present = dict(zip(store.modalities, store.present.T, strict=True))
    assert set(people[present["cxr"]]) == set(tables["xrays"]["person"])
    assert set(people[present["ecg"]]) == set(tables["ecgs"]["person"])
    first = (
        tables["lab_results"]
        .drop_duplicates(["person", "code"])
        .pivot_table(index="person", columns="code", values="value")
    )
    expected = first.loc[people, list(CODES)].to_numpy(dtype=np.float32)
    np.testing.assert_array_equal(store.array("labs"), expected)
    died = tables["admissions"].set_index("person").loc[people, "died"]
    np.testing.assert_array_equal(store.outcome("in_hospital_mortality"), died)
    assert store.manifest["rejected"]["cxr"] == {}, "the AP view at 5 hours, not at 90"


def prepared(raw: Path, definitions: Path) -> CohortStore:
    """The store of the tables of `raw`, by what `init` writes for tables."""
    store = raw.parent / "store"
    return prepare_cohort(open_catalog([definitions]), "ours", source=raw, out=store, bar=quiet)


def test_cells_of_a_wrong_type_are_told_by_table_and_column_without_their_values(
    tmp_path: Path, write_ecg: Callable[..., None], write_image: Callable[..., None]
) -> None:
    raw = tmp_path / "raw"
    tables = write_raw(raw, 4, write_ecg, write_image)
    admissions = tables["admissions"].astype({"admitted": str, "discharged": str})
    admissions.loc[1, "admitted"] = "04.05.2031"
    admissions.loc[1:2, "discharged"] = "31.05.2031 10:00"
    admissions.to_csv(raw / "admissions.csv", index=False)
    labs = tables["lab_results"].astype({"taken": str})
    labs.loc[3, "taken"] = "noon"
    labs.to_csv(raw / "lab_results.csv", index=False)
    init_cohort("ours", at=tmp_path / "d", like="tables")
    with pytest.raises(DataError) as caught:
        prepared(raw, tmp_path / "d")
    assert [problem.partition(", which")[0] for problem in caught.value.problems] == [
        f"{raw / 'admissions.csv'}: column 'admitted' holds 1 values that are no TIMESTAMP",
        f"{raw / 'admissions.csv'}: column 'discharged' holds 2 values that are no TIMESTAMP",
        f"{raw / 'lab_results.csv'}: column 'taken' holds 1 values that are no TIMESTAMP",
    ]
    assert not any(value in str(caught.value) for value in ("04.05", "31.05", "noon"))


def test_a_censored_value_is_told_and_then_counts_as_the_cohort_says(
    tmp_path: Path, write_ecg: Callable[..., None], write_image: Callable[..., None]
) -> None:
    raw = tmp_path / "raw"
    tables = write_raw(raw, 4, write_ecg, write_image)
    labs = tables["lab_results"].astype({"value": str})
    first = labs.query("person == 2 and code == 'CREA'").index[0]
    labs.loc[first, "value"] = "<0.3"
    labs.to_csv(raw / "lab_results.csv", index=False)
    init_cohort("ours", at=tmp_path / "d", like="tables")
    with pytest.raises(DataError, match="column 'lab_crea' holds 1 values") as caught:
        prepared(raw, tmp_path / "d")
    assert "set 'censored' of the modality" in str(caught.value)
    definition = tmp_path / "d/cohorts/ours/cohort.toml"
    text = definition.read_text()
    definition.write_text(text.replace('censored = "refused"', 'censored = "half"'))
    store = prepared(raw, tmp_path / "d")
    people = store.samples["subject"].astype(int).tolist()
    assert store.array("labs")[people.index(2), 0] == np.float32(0.15)
    assert store.manifest["noted"]["labs"] == {"censored": 1}


def test_who_is_discharged_before_admission_is_a_warning_of_the_audit(
    tmp_path: Path, write_ecg: Callable[..., None], write_image: Callable[..., None]
) -> None:
    raw = tmp_path / "raw"
    admissions = write_raw(raw, 10, write_ecg, write_image)["admissions"]
    admissions.loc[3, "discharged"] = admissions.loc[3, "admitted"] - timedelta(hours=12)
    admissions.to_csv(raw / "admissions.csv", index=False)
    init_cohort("ours", at=tmp_path / "d", like="tables")
    (finding,) = [
        one for one in audit_store(prepared(raw, tmp_path / "d")) if one.check == "ranges"
    ]
    assert finding.severity == Severity.WARNING
    assert "discharged_h: 1 samples are not from 0 to 8760" in finding.sentence


def test_meds_gives_labs_outcomes_and_splits(
    tmp_path: Path, write_ecg: Callable[..., None], write_image: Callable[..., None]
) -> None:
    raw = tmp_path / "raw"
    tables = write_raw(raw, 20, write_ecg, write_image)
    write_meds(raw, tables)
    init_cohort("ours", at=tmp_path / "d", like="meds")
    catalog = open_catalog([tmp_path / "d"])
    store = prepare_cohort(catalog, "ours", source=raw, out=tmp_path / "store", bar=quiet)
    assert store.manifest["left_out"] == {"in-no-split": 1}
    people = store.samples["subject"].to_numpy()
    assert sorted(people) == list(range(1, 20))
    splits = ["train", "train", "train", "tuning", "held_out"]
    assert store.samples["split"].tolist() == [splits[person % 5] for person in people]
    first = (
        tables["lab_results"]
        .drop_duplicates(["person", "code"])
        .pivot_table(index="person", columns="code", values="value")
    )
    expected = first.loc[people, list(CODES)].to_numpy(dtype=np.float32)
    np.testing.assert_array_equal(store.array("labs"), expected)
    died = tables["admissions"].set_index("person").loc[people, "died"]
    np.testing.assert_array_equal(store.outcome("in_hospital_mortality"), died)


@pytest.mark.slow
def test_lab_events_of_meds_are_prepared_and_train_two_encodings(
    tmp_path: Path, write_ecg: Callable[..., None], write_image: Callable[..., None]
) -> None:
    raw, definitions = tmp_path / "raw", tmp_path / "d"
    tables = write_raw(raw, 40, write_ecg, write_image)
    write_meds(raw, tables)
    init_cohort("ours", at=definitions, like="meds")
    section = Path(GUIDE).read_text(encoding="utf-8").partition("### Sequences of lab events")[2]
    column, modality = re.findall(r"```(?:sql|toml)\n(.*?)```", section, re.DOTALL)[:2]
    query = definitions / "cohorts/ours/samples.sql"
    text = query.read_text().replace(
        "\nSELECT\n    s.admission", f",\n\n{column}\n\nSELECT\n    s.admission"
    )
    text = text.replace(
        "    l.* EXCLUDE (admission)\nFROM", "    l.* EXCLUDE (admission),\n    v.lab_events\nFROM"
    )
    query.write_text(f"{text.rstrip()}\nLEFT JOIN lab_events AS v USING (admission)\n")
    cohort = definitions / "cohorts/ours/cohort.toml"
    cohort.write_text(
        cohort.read_text().replace("[modalities.labs]", f"{modality}\n\n[modalities.labs]")
    )
    catalog = open_catalog([definitions])
    store = prepare_cohort(catalog, "ours", source=raw, out=tmp_path / "store", bar=quiet)
    assert store.manifest["rejected"]["lab_events"] == {}
    sequences = store.array("lab_events")
    people = store.samples["subject"].to_numpy()
    results = tables["lab_results"]
    for place, person in enumerate(people[:5]):
        is_own = (results["person"] == person) & (results["code"] == "K")
        stored = sequences[place, 2]
        own = results.loc[is_own, "value"][:2]  # at 2 and 20 hours, not at 50
        expected = np.asarray(own, dtype=np.float32)
        np.testing.assert_array_equal(stored[~np.isnan(stored)], expected)
    task = read_task(
        catalog,
        "pretraining/objectives/mlem",
        overrides=[
            'modalities=["cxr", "ecg", "labs", "lab_events"]',
            "objective.modality=lab_events",
            "objective.layout=events",
            'encoders.lab_events={name="events", width=8}',
            *TINY,
        ],
    )
    assert isinstance(task, Pretraining)
    run = Run(tmp_path / "run")
    train_run(task, store=store, run=run, seed=0)
    found = run.history[-1]
    assert {"loss/generative", "loss/contrastive", "loss/aligned"} <= set(found)


def test_every_mistake_of_a_definition_is_told_at_once(tmp_path: Path) -> None:
    init_cohort("ours", at=tmp_path, like="tables")
    folder = tmp_path / "cohorts/ours"
    cohort = (folder / "cohort.toml").read_text()
    cohort = cohort.replace("size_px = 320", "size = 320").replace("access ", "acces ")
    (folder / "cohort.toml").write_text(cohort.replace('"samples.sql"  ', '"sample.sql"  '))
    task = tmp_path / "tasks/ours/retrieval/cxr_given_ecg_labs.toml"
    task.write_text(task.read_text().replace('"recall_at_5"', '"recall_at5"'))
    problems, _ = check_definitions([tmp_path])
    text = "\n".join(problems)
    for told in ("unknown key 'acces'; did you mean 'access'?", "'recall_at5'"):
        assert told in text
    (folder / "cohort.toml").write_text(
        cohort.replace("acces ", "access ").replace('"samples.sql"  ', '"sample.sql"  ')
    )
    labs = (folder / "labs.csv").read_text()
    (folder / "labs.csv").write_text(labs.replace("potassium", "creatinine").replace(",12", ",x"))
    text = "\n".join(check_definitions([tmp_path])[0])
    for told in (
        "samples.sql is 'sample.sql', which is not beside it",
        "unknown key 'size'; did you mean 'size_px'?",
        "'recall_at5'",
        "name 'creatinine' occurs 2 times",
        "high is 'x'; expected a number",
    ):
        assert told in text


def test_nothing_is_written_over_or_under_a_name_that_is_taken(tmp_path: Path) -> None:
    init_cohort("ours", at=tmp_path, like="tables")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name, like, told in (
        ("ours", "tables", "there already. Give another folder"),
        ("symile_mimic", "tables", "comes with clinical-symile"),
        ("st-elsewhere", "tables", "is no name of a cohort"),
        ("theirs", "fhir", "unknown template 'fhir'"),
    ):
        with pytest.raises(DefinitionError, match=told):
            init_cohort(name, at=tmp_path, like=like)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before

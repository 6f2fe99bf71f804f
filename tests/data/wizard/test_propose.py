"""From three German tables to a cohort that `check --source` passes and `prepare` reads."""

import shutil
import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.cli.check import check_definitions, check_source
from clinical_symile.cli.main import main
from clinical_symile.config.catalog import open_catalog
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.wizard.propose import propose_cohort
from clinical_symile.errors import DataError
from clinical_symile.tracking.progress import no_progress_bar
from tests.helpers.recordings import write_ecg_file, write_image_file

N = 40
# Code in the table, unit in the table, level, analyte, LOINC.
LABS = (
    ("KREA", "mg/dl", 1.1, "creatinine", "2160-0"),
    ("Kalium", "mmol/l", 4.2, "potassium", "2823-3"),
    ("Hb", "g/dl", 13.1, "haemoglobin", "718-7"),
    ("LEUKO", "G/l", 8.0, "leukocytes", "6690-2"),
    ("XYZ-17", "rel.E.", 3.0, None, None),
)


def german_hospital(
    raw: Path,
) -> dict[str, pd.DataFrame]:
    """Aufnahmen, Untersuchungen and Labor: own names, codes J and N, dates dd.mm.yyyy, 1,5."""
    rng = np.random.default_rng(0)
    admissions, exams, labs = [], [], []

    def german(time: datetime) -> str:
        return f"{time:%d.%m.%Y %H:%M}"

    for n in range(N):
        person, admitted = f"P{n // 2:03d}", datetime(2031, 1, 13) + timedelta(days=9 * n, hours=5)
        died = "J" if rng.random() < 0.3 else "N"
        admissions.append(
            (
                *(f"F{1000 + n}", person, f"{1930 + n % 50}-05-17", "mw"[n % 2]),
                *(german(admitted), german(admitted + timedelta(days=5)), died),
            )
        )
        if n % 3:
            write_image_file(
                raw / f"bilder/{n}.png", rng.integers(0, 256, (64, 64), dtype=np.uint8)
            )
            exams.append(
                (
                    f"F{1000 + n}",
                    "RÖ-Thorax",
                    german(admitted + timedelta(hours=3)),
                    f"bilder/{n}.png",
                )
            )
        if n % 4:
            write_ecg_file(raw / f"ekg/{n}", rng.normal(0, 0.3, (5000, 12)))
            exams.append((f"F{1000 + n}", "EKG", german(admitted + timedelta(hours=1)), f"ekg/{n}"))
        for code, unit, level, _, _ in LABS:
            for hours in (2, 9):
                value = f"{level * rng.uniform(0.8, 1.2):.2f}".replace(".", ",")
                labs.append((person, german(admitted + timedelta(hours=hours)), code, value, unit))
    tables = {
        "Aufnahmen": pd.DataFrame(
            admissions,
            columns=[
                "FallNr",
                "PatNr",
                "GebDatum",
                "Geschlecht",
                "Aufnahme",
                "Entlassung",
                "verstorben",
            ],
        ),
        "Untersuchungen": pd.DataFrame(exams, columns=["FallNr", "Art", "Zeitpunkt", "Datei"]),
        "Labor": pd.DataFrame(labs, columns=["PatNr", "Abnahme", "Kürzel", "Wert", "Einheit"]),
    }
    for name, table in tables.items():
        table.to_csv(raw / f"{name}.csv", index=False, sep=";")
    return tables


@pytest.fixture(scope="module")
def made_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("german") / "raw"
    folder.mkdir()
    german_hospital(folder)
    return folder


@pytest.fixture
def raw(made_raw: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made_raw, tmp_path / "raw")


def written(raw: Path) -> Path:
    """A catalog with the proposed cohort."""
    catalog = raw.parent / "catalog"
    folder = catalog / "cohorts/klinik"
    folder.mkdir(parents=True)
    for name, text in propose_cohort("klinik", raw).files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return catalog


def test_a_german_hospital_passes_check_without_an_edit(raw: Path):
    catalog = written(raw)
    problems, _ = check_definitions([catalog])
    assert problems == []
    assert check_source([catalog], "klinik", source=raw) == []


def test_an_age_is_no_name_of_a_file_although_there_is_one(raw: Path):
    file = raw / "Aufnahmen.csv"
    table = pd.read_csv(file, sep=";", dtype=str)
    table.insert(3, "Alter", [str(1 + n % 20) for n in range(N)])  # of bilder/1.png and others
    table.to_csv(file, sep=";", index=False)
    catalog = written(raw)
    toml = (catalog / "cohorts/klinik/cohort.toml").read_text()
    assert 'sample   = "sample"                      # Aufnahmen.csv: FallNr' in toml
    assert check_source([catalog], "klinik", source=raw) == []


def test_files_in_the_table_of_admissions_are_found(raw: Path):
    file = raw / "Aufnahmen.csv"
    table = pd.read_csv(file, sep=";", dtype=str)
    table["Bild"] = [f"bilder/{n}.png" if n % 3 else "" for n in range(N)]
    table.to_csv(file, sep=";", index=False)
    exams = pd.read_csv(raw / "Untersuchungen.csv", sep=";", dtype=str)
    exams[exams["Art"] == "EKG"].to_csv(raw / "Untersuchungen.csv", sep=";", index=False)
    catalog = written(raw)
    assert check_source([catalog], "klinik", source=raw) == []
    store = prepare_cohort(
        open_catalog([catalog]), "klinik", source=raw, out=raw.parent / "store", bar=no_progress_bar
    )
    assert store.modalities == ("cxr", "ecg", "labs")
    numbers = np.array([int(name[1:]) - 1000 for name in store.samples["sample"].astype(str)])
    np.testing.assert_array_equal(store.present[:, 0], numbers % 3 > 0)


def test_what_is_prepared_is_what_the_tables_hold(raw: Path):
    catalog = written(raw)
    store = prepare_cohort(
        open_catalog([catalog]), "klinik", source=raw, out=raw.parent / "store", bar=no_progress_bar
    )
    admissions = pd.read_csv(raw / "Aufnahmen.csv", sep=";").set_index("FallNr")
    names = store.samples["sample"].astype(str).tolist()
    assert sorted(names) == sorted(admissions.index)
    own = admissions.loc[names]
    assert store.samples["subject"].astype(str).tolist() == own["PatNr"].tolist()
    numbers = np.array([int(name[1:]) - 1000 for name in names])
    present = dict(zip(store.modalities, store.present.T, strict=True))
    np.testing.assert_array_equal(present["cxr"], numbers % 3 > 0)
    np.testing.assert_array_equal(present["ecg"], numbers % 4 > 0)
    died = (own["verstorben"] == "J").to_numpy().astype(float)
    first = np.char.replace(np.array(names), "F1", "").astype(int) % 2 == 0  # of each person's two
    deaths = set(own["PatNr"][first & (died == 1)])
    died[~first & own["PatNr"].isin(deaths).to_numpy()] = np.nan  # admitted after the death
    assert np.isnan(died).any()
    np.testing.assert_array_equal(store.outcome("in_hospital_mortality"), died)
    labs = pd.read_csv(raw / "Labor.csv", sep=";", decimal=",")
    times = pd.to_datetime(labs["Abnahme"], format="%d.%m.%Y %H:%M")
    first = labs.assign(time=times).sort_values("time")
    potassium: Any = first[first["Kürzel"] == "Kalium"]
    column = [part.lower() for part in store.manifest["modalities"]["labs"]["parts"]].index(
        "potassium"
    )
    for row, name in enumerate(names):
        admitted = pd.to_datetime(own.loc[name, "Aufnahme"], format="%d.%m.%Y %H:%M")
        own_values: Any = potassium[potassium["PatNr"] == own.loc[name, "PatNr"]]
        after = np.asarray(own_values.loc[own_values["time"] >= admitted, "Wert"])
        assert store.array("labs")[row, column] == np.float32(after[0])


def test_few_values_of_a_code_show_neither_count_nor_median(raw: Path):
    table = pd.read_csv(raw / "Labor.csv", sep=";", dtype=str)
    code = next(name for name in table if "XYZ-17" in table[name].tolist())
    rare = np.flatnonzero(table[code].to_numpy() == "XYZ-17")[9:]
    table.drop(index=rare).to_csv(raw / "Labor.csv", index=False, sep=";")
    (raw / "codes.txt").write_text(propose_cohort("klinik", raw).files["lab_codes.csv"])
    codes = pd.read_csv(raw / "codes.txt", dtype=str).set_index("code")
    assert codes.loc["XYZ-17", "count"] == "<10"
    assert pd.isna(codes.loc["XYZ-17", "median"])
    assert codes.loc["Hb", "count"] == str(2 * N)


def test_lab_codes_are_listed_with_counts_medians_and_likely_loinc(raw: Path):
    files = propose_cohort("klinik", raw).files
    (raw / "codes.txt").write_text(files["lab_codes.csv"])
    codes = pd.read_csv(raw / "codes.txt").set_index("code")
    assert set(codes["count"]) == {2 * N}
    for code, _, level, analyte, loinc in LABS:
        assert codes.loc[code, "median"] == pytest.approx(level, rel=0.15)
        if analyte:
            assert (codes.loc[code, "analyte"], codes.loc[code, "loinc"]) == (analyte, loinc)
            assert f"{analyte},{loinc},lab_{analyte}," in files["labs.csv"]
    assert codes.loc["XYZ-17", "note"] == "TODO unknown code"
    assert "TODO not in the panel: XYZ-17" in files["samples.sql"]


def test_what_the_tables_do_not_say_is_marked(raw: Path):
    definition = propose_cohort("klinik", raw).files["cohort.toml"]
    marked = [line for line in definition.splitlines() if "# TODO" in line]
    assert [line.split()[0] for line in marked[:5]] == [
        *("title", "description", "access", "license", "citation"),
    ]
    assert any("verstorben" in line for line in marked)


def test_notes_say_what_each_table_was_taken_for(raw: Path):
    assert propose_cohort("klinik", raw).notes == (
        "Aufnahmen.csv: admissions; FallNr is the admission, PatNr the person.",
        "Untersuchungen.csv: cxr in Datei, linked by FallNr.",
        "Untersuchungen.csv: ecg in Datei, linked by FallNr.",
        "Labor.csv: labs; 4 of 5 codes are in labs.csv.",
    )


LAYOUTS = {
    "french": {
        "encoding": "latin-1",
        "separator": ";",
        "date": "%d/%m/%Y %H:%M",
        "day": "%d/%m/%Y",
        "tables": ("sejours", "examens", "biologie", "patients"),
        "stays": ("NumSejour", "IPP", "DateEntrée", "DateSortie"),
        "exams": ("NumSejour", "Examen", "DateExamen", "Fichier"),
        "labs": ("IPP", "DatePrelevement", "Analyse", "Resultat", "Unité"),
        "persons": ("IPP", "Sexe", "DateNaissance", "DateDécès"),
        "codes": {"Créatinine": ("µmol/l", 90.0), "Potassium": ("mmol/l", 4.2)},
    },
    "italian": {
        "encoding": "latin-1",
        "separator": ";",
        "date": "%d/%m/%Y %H:%M",
        "day": "%d/%m/%Y",
        "tables": ("ricoveri", "esami", "laboratorio", "pazienti"),
        "stays": ("id_ricovero", "id_paziente", "data_ingresso", "data_dimissione"),
        "exams": ("id_ricovero", "tipo", "data_esame", "percorso"),
        "labs": ("id_paziente", "data_prelievo", "analisi", "risultato", "unità"),
        "persons": ("id_paziente", "sesso", "data_nascita", "data_decesso"),
        "codes": {"Creatinina": ("mg/dl", 1.1), "Emoglobina": ("g/l", 132.0)},
    },
    "spanish": {
        "encoding": "utf-16",
        "separator": "\t",
        "date": "%d-%m-%Y %H:%M",
        "day": "%d-%m-%Y",
        "tables": ("episodios", "pruebas", "laboratorio", "pacientes"),
        "stays": ("Episodio", "NHC", "FechaIngreso", "FechaAlta"),
        "exams": ("Episodio", "Prueba", "FechaPrueba", "Archivo"),
        "labs": ("NHC", "FechaMuestra", "Determinación", "Resultado", "Unidad"),
        "persons": ("NHC", "Sexo", "FechaNacimiento", "FechaFallecimiento"),
        "codes": {"Creatinina": ("mg/dl", 1.1), "Potasio": ("mmol/l", 4.2)},
    },
}


def other_hospital(raw: Path, layout: dict[str, Any], write_image: Callable[..., None]) -> None:
    """Own names, encoding and decimal commas; deaths by their day in a table of persons.

    Of every four persons, one dies in the admission, one a year later, one before it.
    """
    rng = np.random.default_rng(1)
    rows: dict[str, list[Any]] = {name: [] for name in ("stays", "exams", "labs", "persons")}
    for n in range(N):
        person, stay = f"H{n:04d}", f"{5000 + n}"
        admitted = datetime(2031, 1, 13, 7) + timedelta(days=9 * n)
        discharged = admitted + timedelta(days=5)
        day = {0: discharged, 1: discharged + timedelta(days=300), 2: admitted - timedelta(days=2)}
        death = day[n % 4].strftime(layout["day"]) if n % 4 in day else ""
        times = [time.strftime(layout["date"]) for time in (admitted, discharged)]
        rows["stays"].append((stay, person, *times))
        rows["persons"].append((person, "FM"[n % 2], "05/06/1950", death))
        name = f"images/{n}.png"
        write_image(raw / name, rng.integers(0, 256, (64, 64), dtype=np.uint8))
        rows["exams"].append((stay, "Thorax", times[0], name))
        for code, (unit, level) in layout["codes"].items():
            value = f"{level * rng.uniform(0.8, 1.2):.2f}".replace(".", ",")
            rows["labs"].append((person, times[0], code, value, unit))
    for name, table in zip(rows, layout["tables"], strict=True):
        frame = pd.DataFrame(rows[name], columns=list(layout[name]))
        text = frame.to_csv(index=False, sep=layout["separator"])
        (raw / f"{table}.csv").write_bytes(text.encode(layout["encoding"]))


@pytest.mark.parametrize(
    "name",
    [
        "french",
        pytest.param("spanish", marks=pytest.mark.slow),
        pytest.param("italian", marks=pytest.mark.slow),
    ],
)
def test_a_hospital_of_another_language_and_encoding_passes_check_without_an_edit(
    tmp_path: Path, write_image: Callable[..., None], name: str
):
    raw, layout = tmp_path / "raw", LAYOUTS[name]
    other_hospital(raw, layout, write_image)
    catalog = written(raw)
    definition = (catalog / "cohorts/klinik/cohort.toml").read_text()
    assert f'= "{layout["encoding"]}"' in definition
    problems, _ = check_definitions([catalog])
    assert problems == []
    assert check_source([catalog], "klinik", source=raw) == []
    store = prepare_cohort(
        open_catalog([catalog]), "klinik", source=raw, out=tmp_path / "store", bar=no_progress_bar
    )
    assert {*store.modalities} == {"cxr", "labs"}
    assert store.present.all()
    numbers = store.samples["sample"].astype(int).to_numpy() - 5000
    expected = np.array([1, 0, np.nan, 0])[numbers % 4]  # died there, later, before, never
    np.testing.assert_array_equal(store.outcome("in_hospital_mortality"), expected)
    assert [store.samples["group_sex"].iloc[k] for k in range(N)] == ["FM"[n % 2] for n in numbers]
    labs = pd.read_csv(
        raw / f"{layout['tables'][2]}.csv",
        sep=layout["separator"],
        encoding=layout["encoding"],
        decimal=",",
    )
    code = next(iter(layout["codes"]))
    own: Any = labs[labs[layout["labs"][2]] == code]
    values = own[layout["labs"][3]].to_numpy()[numbers]
    place = [part.lower() for part in store.manifest["modalities"]["labs"]["parts"]].index(
        "creatinine"
    )
    np.testing.assert_allclose(store.array("labs")[:, place], values, rtol=1e-6)


def test_tables_of_a_language_that_is_not_known_are_linked_by_their_values(raw: Path):
    names = {
        "Aufnahmen": ["nr_pobytu", "pesel", "ur", "plec", "przyjecie", "wypis", "zgon"],
        "Untersuchungen": ["nr_pobytu", "rodzaj", "czas", "plik"],
        "Labor": ["pesel", "pobranie", "badanie", "wynik", "jednostka"],
    }
    for table, columns in names.items():
        file = raw / f"{table}.csv"
        text = file.read_text(encoding="utf-8").split("\n", 1)[1]
        file.write_text(";".join(columns) + "\n" + text, encoding="utf-8")
    made = propose_cohort("klinik", raw)
    assert made.notes == (
        "Aufnahmen.csv: admissions; nr_pobytu is the admission, pesel the person.",
        "Untersuchungen.csv: cxr in plik, linked by nr_pobytu.",
        "Untersuchungen.csv: ecg in plik, linked by nr_pobytu.",
        "Labor.csv: labs; 4 of 5 codes are in labs.csv.",
    )
    definition = tomllib.loads(made.files["cohort.toml"])
    assert {*definition["outcomes"]} == {"zgon"}
    assert {*definition["subgroups"]} == {"sex"}


def test_tables_of_several_encodings_are_declared_one_by_one(raw: Path):
    table = (raw / "Labor.csv").read_text(encoding="utf-8")
    (raw / "Labor.csv").write_bytes(table.encode("utf-16"))
    catalog = written(raw)
    assert '[encoding]\nlabor = "utf-16"\n' in (
        (catalog / "cohorts/klinik/cohort.toml").read_text(encoding="utf-8")
    )
    assert check_source([catalog], "klinik", source=raw) == []


def test_a_table_that_cannot_be_read_is_named_with_line_and_cells(raw: Path):
    with (raw / "Labor.csv").open("a", encoding="utf-8") as stream:
        stream.write("Ende der Liste\n")
    with pytest.raises(DataError, match=r"Labor.csv: line \d+ has 1 cell where the header has 5"):
        propose_cohort("klinik", raw)


def test_a_folder_without_tables_or_admissions_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no such folder"):
        propose_cohort("klinik", tmp_path / "raw")
    with pytest.raises(DataError, match="no CSV"):
        propose_cohort("klinik", tmp_path)
    pd.DataFrame({"a": [1, 1], "b": [2, 2]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="one row per admission"):
        propose_cohort("klinik", tmp_path)
    pd.DataFrame({"stay": [1, 2, 3], "b": [2, 2, 3]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="no X-rays, ECGs or labs"):
        propose_cohort("klinik", tmp_path)


@pytest.mark.slow
def test_init_writes_the_proposal_and_says_how_to_check_it(
    raw: Path, capsys: pytest.CaptureFixture[str]
):
    at = raw.parent / "at"
    with pytest.raises(SystemExit) as stop:
        main(["init", "cohort", "klinik", "--at", str(at), "--from", str(raw)])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert "Labor.csv: labs; 4 of 5 codes are in labs.csv." in shown
    command = shown.splitlines()[-1].removeprefix("Next: `").removesuffix("`.")
    with pytest.raises(SystemExit) as stop:
        main(command.split()[1:])
    assert stop.value.code == 0
    with pytest.raises(SystemExit) as stop:
        main(["init", "cohort", "klinik", "--at", str(at), "--from", str(raw)])
    assert stop.value.code == 1
    assert "there already" in capsys.readouterr().err

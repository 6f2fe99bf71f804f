"""What no sample has is reported by the dry run, by `prepare` and by `audit`."""

import shutil

import numpy as np
import pandas as pd
import pytest

from clinical_symile.cli.main import main
from clinical_symile.data.audit.audit import audit_store
from clinical_symile.data.audit.finding import Severity
from tests.helpers.hospital import Hospital, run


def reasons(hospital: Hospital) -> dict[str, str]:
    return {one["reason"]: one["sentence"] for one in run(hospital).manifest["coverage"]}


def test_a_hospital_with_every_analyte_has_no_problem(hospital: Hospital) -> None:
    assert reasons(hospital) == {}


def test_an_analyte_that_no_sample_has_is_named(hospital: Hospital) -> None:
    hospital.write(hospital.admissions.assign(k=np.nan))
    assert "no sample of <10 has Potassium" in reasons(hospital)["part-missing"]


def test_a_modality_that_no_sample_has_is_a_warning_and_an_error_of_audit(
    hospital: Hospital,
) -> None:
    hospital.write(hospital.admissions.assign(ecg=None))
    store = run(hospital)
    (problem,) = store.manifest["coverage"]
    assert (
        "modality ecg: no sample of <10 has it, although admissions.csv has <10 rows"
        in (problem["sentence"])
    )
    found = [one for one in audit_store(store) if one.check == "coverage"]
    assert [one.severity for one in found] == [Severity.ERROR]


@pytest.mark.parametrize("censored", ["refused", "limit", "half", "absent"])
def test_the_same_admissions_are_selected_whatever_censored_says(
    hospital: Hospital, censored: str
) -> None:
    hospital.edit('panel = "labs.csv"', f'panel = "labs.csv"\ncensored = "{censored}"')
    store = run(hospital)
    assert store.samples["sample"].tolist() == list(range(100, 108))
    assert store.samples["present_labs"].sum() == 7  # pyright: ignore[reportGeneralTypeIssues]
    assert sum(store.manifest["recorded"].values()) == 9


LABS_QUERY = """
SELECT
    admission, person, split, died, ward,
    any_value(value) FILTER (code = 'CREA') AS crea,
    any_value(value) FILTER (code IN ('K', 'KALIUM')) AS k
FROM admissions LEFT JOIN results USING (person)
GROUP BY ALL
"""


@pytest.fixture
def laboratory(hospital: Hospital) -> Hospital:
    """Sixty admissions with labs alone, in a table of codes and values."""
    for modality, field in (
        ("cxr", 'path = "xray/{xray}"\nsize_px = 32'),
        ("ecg", 'path = "ecg/{ecg}"'),
    ):
        hospital.edit(f"[modalities.{modality}]\n{field}\n", "")
    hospital.edit(
        'admissions = "admissions.csv"', 'admissions = "admissions.csv"\nresults = "r.csv"'
    )
    (hospital.definition.parent / "samples.sql").write_text(LABS_QUERY)
    (hospital.definition.parent / "labs.csv").write_text(
        "analyte,loinc,column,unit,low,high\n"
        "Creatinine,2160-0,crea,mg/dL,0.1,30\nPotassium,2823-3,k,mmol/L,1,12\n"
    )
    people = [f"p{n}" for n in range(60)]
    table = pd.DataFrame({"admission": range(60), "person": people, "ward": "a", "died": "no"})
    hospital.write(table.assign(split=["train", "tuning", "held_out"] * 20))
    return hospital


def results(hospital: Hospital, creatinine: np.ndarray, code: str = "K") -> None:
    people = [f"p{n}" for n in range(60)]
    rows = [(one, "CREA", round(value, 2)) for one, value in zip(people, creatinine, strict=True)]
    rows += [(one, code, 4.2) for one in people]
    table = pd.DataFrame(rows, columns=["person", "code", "value"])
    table.to_csv(hospital.source / "r.csv", index=False)


def said(hospital: Hospital, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The words of the dry run, `prepare` and `audit`, without line breaks."""
    texts = []
    catalog = ["--catalog", str(hospital.definition.parents[2])]
    source = ["--source", str(hospital.source)]
    for words in (
        [*catalog, "prepare", "small", *source, "--dry-run"],
        [*catalog, "prepare", "small", *source, "--out", str(hospital.out)],
        ["audit", str(hospital.out)],
    ):
        with pytest.raises(SystemExit):
            main(words)
        texts.append(" ".join(" ".join(capsys.readouterr()).split()))
    return texts


def test_values_in_another_unit_are_reported_with_share_median_and_unit(
    laboratory: Hospital, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    results(laboratory, 88.4 * rng.lognormal(0, 0.3, 60))
    for text in said(laboratory, capsys):
        assert "60 of 60 values of Creatinine are outside 0.1 to 30 mg/dL" in text
        assert "their median is 8" in text or "their median is 9" in text
        assert "They look like umol/L" in text


def test_values_in_the_panels_unit_are_not_reported(
    laboratory: Hospital, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    results(laboratory, rng.lognormal(0, 0.3, 60))
    for text in said(laboratory, capsys):
        assert "Creatinine" not in text
        assert "warning: modality" not in text


def test_a_code_that_the_table_lacks_is_reported_with_the_codes_that_it_has(
    laboratory: Hospital, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    results(laboratory, rng.lognormal(0, 0.3, 60), code="KAL")
    for text in said(laboratory, capsys):
        assert "no sample of 60 has Potassium" in text
        assert "has no row with code K, KALIUM" in text
        assert "CREA (60), KAL (60)" in text


# Other ids, ids with a fraction, ids with other zeros, and dates of another form.
@pytest.mark.parametrize(
    ("ids", "taken"),
    [
        ("{n}", "2031-01-01"),
        ("p{n}.0", "2031-01-01"),
        ("p{n:04d}", "2031-01-01"),
        ("p{n}", "01.01.2031"),
    ],
)
def test_ids_or_dates_that_match_nothing_are_a_warning_and_an_error_of_audit(
    laboratory: Hospital,
    capsys: pytest.CaptureFixture[str],
    rng: np.random.Generator,
    ids: str,
    taken: str,
) -> None:
    laboratory.edit("[modalities.labs]", '[modalities.cxr]\npath = "{xray}"\n[modalities.labs]')
    laboratory.edit("[modalities.cxr]", "[types.xrays]\n[types.admissions]\n[modalities.cxr]")
    query = LABS_QUERY.replace("FROM adm", ", any_value(file) AS xray FROM adm")
    xrays = "(SELECT person AS own, file FROM xrays WHERE TRY_CAST(taken AS DATE) IS NOT NULL)"
    query = query.replace("GROUP BY", f"LEFT JOIN {xrays} ON own = admissions.person GROUP BY")
    (laboratory.definition.parent / "samples.sql").write_text(query)
    laboratory.edit('results = "r.csv"', 'results = "r.csv"\nxrays = "x.csv"')
    persons = [ids.format(n=n) for n in range(60)]
    taken_at = pd.DataFrame({"person": persons, "file": "x.png", "taken": taken})
    taken_at.to_csv(laboratory.source / "x.csv", index=False)
    results(laboratory, rng.lognormal(0, 0.3, 60))
    dry, prepared, audited = said(laboratory, capsys)
    for text in (dry, prepared, audited):
        assert "modality cxr: no sample of 60 has it, although x.csv has 60 rows" in text
    assert "warning: modality cxr" in dry
    assert "warning: modality cxr" in prepared
    with pytest.raises(SystemExit) as stop:
        main(["audit", str(laboratory.out)])
    assert stop.value.code == 3


@pytest.mark.parametrize(("lost", "count"), [(36, "36"), (4, "<10"), (0, "")])
def test_ids_of_which_a_part_lost_its_zeros_are_a_warning_with_counts(
    laboratory: Hospital, capsys: pytest.CaptureFixture[str], lost: int, count: str
) -> None:
    table = laboratory.admissions
    table["person"] = [f"P{n:04d}" for n in range(60)]
    laboratory.write(table)
    ids = [f"P{n}" if n < lost else f"P{n:04d}" for n in range(60)]
    rows = pd.DataFrame({"person": [*ids, *ids], "code": ["CREA"] * 60 + ["K"] * 60, "value": 4.0})
    rows.to_csv(laboratory.source / "r.csv", index=False)
    rows_lost = str(2 * lost) if lost > 5 else "<10"
    for told in said(laboratory, capsys):
        sentence = (
            f"table results: {rows_lost} of 120 rows have {count} ids in person that admissions "
            "writes otherwise in person"
        )
        assert (sentence in told) == bool(lost)
        assert "P0" not in told


def test_a_header_with_a_column_twice_is_reported_if_the_column_is_used(
    hospital: Hospital,
) -> None:
    file = hospital.source / "admissions.csv"
    head, *rows = file.read_text().splitlines()
    for name, reported in (("other,other", False), ("WARD,other", True)):
        file.write_text("\n".join([f"{head},{name}", *(f"{row},x,y" for row in rows)]) + "\n")
        shutil.rmtree(hospital.out, ignore_errors=True)
        assert ("its header has ward 2 times" in str(reasons(hospital))) == reported


def test_a_column_that_a_conversion_left_empty_is_reported(
    hospital: Hospital, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "SELECT * REPLACE (TRY_CAST(ward AS DATE) AS ward) FROM admissions"
    (hospital.definition.parent / "samples.sql").write_text(query)
    assert "column ward (samples.keep): none of <10 rows has a value" in said(hospital, capsys)[1]


@pytest.mark.parametrize(
    ("cell", "reported"),
    [
        ('"repeat\n' + "".join(f"{n},a,b\n" for n in range(5)) + '1,a,it"', True),
        (
            '"No effusion,\nno pneumothorax, no fracture.\nHeart, lungs, bones: normal.\nEnd"',
            False,
        ),
        ("repeat", False),
    ],
)
def test_rows_inside_a_cell_are_reported_and_prose_is_not(
    hospital: Hospital, cell: str, reported: bool
) -> None:
    hospital.edit("[tables]", '[tables]\nmore = "more.csv"')
    (hospital.source / "more.csv").write_text(f"id,code,comment\n1,a,b\n2,a,{cell}\n")
    assert ("line-breaks" in reasons(hospital)) == reported


def test_a_table_declared_as_latin_1_that_is_not_is_reported(hospital: Hospital) -> None:
    hospital.edit("[samples]", 'encoding = "latin-1"\n[samples]')
    hospital.write(hospital.admissions.assign(ward="Chirurgie Süd"))
    assert "is encoded in UTF-8" in reasons(hospital)["encoding"]


def test_an_outcome_of_which_one_word_is_written_otherwise_is_reported(hospital: Hospital) -> None:
    table = hospital.admissions
    words = {"yes": "yes", "no": "No"}
    hospital.write(table.assign(died=[words.get(value, value) for value in table["died"]]))
    said = reasons(hospital)["outcome-unknown"]
    assert "a tenth or more of the values of column died are not positive or negative" in said
    assert "unknown in these samples" in said


def test_an_outcome_of_other_words_than_the_cohorts_is_reported(hospital: Hospital) -> None:
    table = hospital.admissions
    hospital.write(
        table.assign(died=["ja" if value == "yes" else "nein" for value in table["died"]])
    )
    said = reasons(hospital)["outcome-unknown"]
    assert "outcome died: no value of column died is positive or negative" in said
    assert "[outcomes.died]" in said
    assert "nein" not in said


def test_an_outcome_that_nobody_has_is_no_other_word(hospital: Hospital) -> None:
    table = hospital.admissions
    hospital.write(table.assign(died=table["died"].replace("yes", "no")))
    assert reasons(hospital) == {}

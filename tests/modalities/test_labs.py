from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical_symile.errors import DefinitionError
from clinical_symile.modalities import labs as module
from clinical_symile.modalities._lab_panel import read_panel
from clinical_symile.modalities._ucum import is_ucum_code, unit_factor
from clinical_symile.modalities.base import Rejected
from clinical_symile.modalities.labs import Labs

ROOT = Path(__file__).resolve().parents[2]
PANEL = """analyte,loinc,column,unit,low,high
Creatinine,2160-0,crea,mg/dL,0,150
"Bilirubin, total",1975-2,bili,mg/dL,,
Hemolysis index,,h,{index},,
"""
NAN = float("nan")


@pytest.fixture
def labs(tmp_path: Path) -> Labs:
    (tmp_path / "labs.csv").write_text(PANEL)
    return Labs(tmp_path, panel="labs.csv")


def panel_problems(folder: Path, text: str) -> str:
    (folder / "labs.csv").write_text(text)
    with pytest.raises(DefinitionError) as caught:
        read_panel(folder / "labs.csv")
    return str(caught.value)


def test_labs_stand_in_the_order_of_the_panel(labs: Labs, tmp_path: Path) -> None:
    values = labs.read({"crea": 1.5, "bili": None, "h": 3}, tmp_path)
    np.testing.assert_array_equal(values, np.array([1.5, NAN, 3], dtype=np.float32))
    assert labs.parts == ("Creatinine", "Bilirubin, total", "Hemolysis index")


def test_labs_without_any_value_are_absent(labs: Labs, tmp_path: Path) -> None:
    assert labs.read({"crea": None, "bili": NAN, "h": ""}, tmp_path) is None


@pytest.mark.parametrize("value", [-0.1, 150.1, float("inf")])
def test_an_implausible_value_counts_as_not_measured(
    labs: Labs, tmp_path: Path, value: float
) -> None:
    measured = labs.read({"crea": value, "bili": 1.0, "h": float("-inf")}, tmp_path)
    np.testing.assert_array_equal(measured, np.array([NAN, 1, NAN], dtype=np.float32))


@pytest.mark.parametrize("value", [-0.1, 150.1, float("inf"), 1e39])
def test_labs_of_which_every_value_is_implausible_are_rejected(
    labs: Labs, tmp_path: Path, value: float
) -> None:
    with pytest.raises(Rejected) as caught:
        labs.read({"crea": value, "bili": None, "h": NAN}, tmp_path)
    assert caught.value.reason == "implausible"
    assert str(value) not in caught.value.detail


def test_implausible_values_are_counted_by_analyte(labs: Labs) -> None:
    none = np.full(4, np.nan)
    columns = {"crea": np.array([-1.0, np.nan, 5, 151]), "bili": none + 0, "h": none}
    assert labs.implausible(columns) == {"Creatinine": 2}


def test_percentiles_are_right_continuous_shares_of_training_values() -> None:
    train = np.array([[1], [2], [2], [4]], dtype=np.float32)
    statistics = Labs.fit([train])
    assert statistics["distributions"] == [{"values": [1.0, 2.0, 4.0], "counts": [1, 2, 1]}]
    asked = np.array([[0.5], [1], [1.5], [2], [3], [4], [9]], dtype=np.float32)
    inputs = Labs.transform(asked, statistics)
    np.testing.assert_allclose(inputs[:, 0, 0], [0, 0.25, 0.25, 0.75, 0.75, 1, 1])
    np.testing.assert_array_equal(inputs[:, 1, 0], 1)


def test_a_missing_analyte_has_the_mean_training_percentile_and_is_not_observed() -> None:
    train = np.array([[1], [2], [NAN], [2], [4]], dtype=np.float32)
    inputs = Labs.transform(np.array([[NAN]], dtype=np.float32), Labs.fit([train]))
    # percentiles of the four that were measured: 0.25, 0.75, 0.75, 1
    np.testing.assert_allclose(inputs, [[[2.75 / 4], [0]]])


def test_an_analyte_that_training_never_saw_has_the_middle_percentile() -> None:
    statistics = Labs.fit([np.array([[NAN], [NAN]], dtype=np.float32)])
    inputs = Labs.transform(np.array([[NAN], [7]], dtype=np.float32), statistics)
    np.testing.assert_array_equal(inputs, [[[0.5], [0]], [[0.5], [1]]])


def test_percentiles_equal_the_definition_on_values_that_no_float_holds_exactly(
    rng: np.random.Generator,
) -> None:
    train = np.round(rng.gamma(2, 1, (200, 3)), 1).astype(np.float32)
    train[rng.random(train.shape) < 0.3] = NAN
    inputs = Labs.transform(train, Labs.fit([train]))
    for sample in range(200):
        for analyte in range(3):
            measured = train[:, analyte][~np.isnan(train[:, analyte])]
            if not np.isnan(train[sample, analyte]):
                share = np.mean(measured <= train[sample, analyte])
                assert inputs[sample, 0, analyte] == pytest.approx(share)


def test_the_problems_of_a_panel_are_told_together(tmp_path: Path) -> None:
    told = panel_problems(
        tmp_path,
        "analyte,loinc,column,unit,low,high\nA,,a,,,\nA,,b,g/L,x,\nC,,b,g/L,5,2\n,,d,g/L,,\n",
    )
    assert "line 2: no unit for A. Add it." in told
    assert "line 3: low is 'x'; expected a number." in told
    assert "line 4: low is not below high." in told
    assert "line 5: no analyte. Add it." in told
    assert "name 'A' occurs 2 times" in told
    assert "column 'b' occurs 2 times" in told


def test_headings_are_checked(tmp_path: Path) -> None:
    told = panel_problems(tmp_path, "analyte,loinc,column,units\nA,,a,g/L\n")
    assert "unknown column 'units'" in told
    assert "no column 'unit'. Add it." in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no column 'analyte'"),
        ("analyte,loinc,column,unit\n", "no analytes; expected one row for each"),
        ("analyte,loinc,column,unit\nA, B,,a,g/L\n", "line 2: more cells than headings"),
        ("analyte,loinc,column,unit\nA\n", "line 2: no column for A"),
    ],
)
def test_a_panel_that_is_no_panel_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert told in panel_problems(tmp_path, text)


def test_a_missing_panel_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"labs\.csv: no such file; expected a lab panel"):
        Labs(tmp_path, panel="labs.csv")


UNITS = """analyte,loinc,column,unit,recorded_unit,unit_column,g_per_mol,low,high
Creatinine,2160-0,crea,mg/dL,umol/L,,113.12,0.1,50
Haemoglobin,718-7,hb,g/dL,g/L,,,,
Glucose,2345-7,glu,mg/dL,,glu_unit,180.16,10,2000
"""


def with_units(folder: Path, **arguments: Any) -> Labs:
    (folder / "labs.csv").write_text(UNITS)
    return Labs(folder, panel="labs.csv", **arguments)


def heard(labs: Labs, row: dict[str, Any]) -> tuple[list[float], list[str]]:
    notes: list[str] = []
    values = labs.read(row, Path(), notes.append)
    assert values is not None
    return values.tolist(), notes


def test_values_are_converted_from_the_unit_of_the_site(tmp_path: Path) -> None:
    labs = with_units(tmp_path)
    assert labs.columns == ("crea", "hb", "glu", "glu_unit")
    assert labs.numbers == ("crea", "hb", "glu")
    row = {"crea": 88.4, "hb": 140.0, "glu": 5.0, "glu_unit": "mmol/L"}
    values, notes = heard(labs, row)  # 1 mg/dL is 88.4 umol/L, 5 mmol/L are 90 mg/dL
    assert values == pytest.approx([1.0, 14.0, 90.08], rel=1e-4)
    assert notes == []


def test_a_value_without_a_unit_of_its_own_is_in_that_of_the_panel(tmp_path: Path) -> None:
    row = {"crea": None, "hb": None, "glu": 90.0, "glu_unit": None}
    assert heard(with_units(tmp_path), row)[0][2] == 90


def test_caps_are_in_the_unit_of_the_panel(tmp_path: Path) -> None:
    labs = with_units(tmp_path)
    row = {"crea": 88.4, "hb": 140.0, "glu": 5.0, "glu_unit": "mg/dL"}  # below 10 mg/dL
    values, notes = heard(labs, row)
    assert np.isnan(values[2])
    assert notes == ["implausible"]
    columns = {name: np.array([value]) for name, value in row.items()}
    assert labs.implausible(columns) == {"Glucose": 1}


def test_a_unit_that_cannot_be_converted_leaves_the_value_out_and_is_noted(tmp_path: Path) -> None:
    row = {"crea": 88.4, "hb": None, "glu": 5.0, "glu_unit": "beats/min"}
    values, notes = heard(with_units(tmp_path), row)
    assert np.isnan(values[2])
    assert notes == ["unit-unknown"]


@pytest.mark.parametrize(
    ("censored", "below", "above"), [("limit", 0.4, 20), ("half", 0.2, 20), ("absent", NAN, NAN)]
)
def test_censored_values_are_taken_as_the_cohort_says(
    tmp_path: Path, censored: str, below: float, above: float
) -> None:
    (tmp_path / "labs.csv").write_text(PANEL)
    labs = Labs(tmp_path, panel="labs.csv", censored=censored)
    assert labs.numbers == ()
    for text, expected in (("<0.4", below), (" <= 0.4", below), (">20", above), ("≥ 20", above)):
        values, notes = heard(labs, {"crea": text, "bili": "1.5", "h": 2})
        np.testing.assert_array_equal(values, np.array([expected, 1.5, 2], dtype=np.float32))
        assert notes == ["censored"]


@pytest.mark.parametrize("text", ["see comment", "___", "<", "<1.2.3", "1,5", "3 (haemolysed)"])
def test_a_text_that_is_no_number_is_not_measured_and_noted(tmp_path: Path, text: str) -> None:
    (tmp_path / "labs.csv").write_text(PANEL)
    labs = Labs(tmp_path, panel="labs.csv", censored="half")
    values, notes = heard(labs, {"crea": text, "bili": "1.5", "h": None})
    assert np.isnan(values[0])
    assert notes == ["not-a-number"]


def test_labs_of_which_no_value_can_be_used_are_rejected_with_why(tmp_path: Path) -> None:
    (tmp_path / "labs.csv").write_text(PANEL)
    labs = Labs(tmp_path, panel="labs.csv", censored="absent")
    with pytest.raises(Rejected) as caught:
        labs.read({"crea": "-5", "bili": "sekret", "h": None}, tmp_path)
    assert caught.value.reason == "implausible"
    assert caught.value.detail == "no value is usable: implausible, not-a-number"


# 0.1 is plausible and half of it is not; the bilirubin has an unknown unit.
@pytest.mark.parametrize("row", [("<0.1", None), ("<-1", "sekret"), ("<0.1", "<2"), (None, "<2")])
def test_who_has_labs_does_not_depend_on_the_rule_for_censored_values(
    tmp_path: Path, row: tuple[str | None, str | None]
) -> None:
    (tmp_path / "labs.csv").write_text(
        "analyte,loinc,column,unit,low,high,unit_column\n"
        'Creatinine,2160-0,crea,mg/dL,0.1,150,\n"Bilirubin, total",1975-2,bili,mg/dL,,,u\n'
    )
    found = set()
    for censored in ("limit", "half", "absent"):
        labs = Labs(tmp_path, panel="labs.csv", censored=censored)
        try:
            values = labs.read({"crea": row[0], "bili": row[1], "u": "furlong"}, tmp_path)
        except Rejected as verdict:
            found.add(verdict.reason)
        else:
            assert values is not None
            found.add("labs")
            assert np.isnan(values).all() or censored != "absent"
    assert found == {"implausible" if row[0] is None else "labs"}


def test_labs_of_censored_values_alone_are_noted_where_no_analyte_has_a_value(
    tmp_path: Path,
) -> None:
    (tmp_path / "labs.csv").write_text(PANEL)
    for censored, expected in (
        ("absent", ["censored", "none-observed"]),
        ("half", ["censored"]),
    ):
        labs = Labs(tmp_path, panel="labs.csv", censored=censored)
        values, notes = heard(labs, {"crea": "<0.4", "bili": None, "h": None})
        assert notes == expected
        assert np.isnan(values).all() == (censored == "absent")


def test_a_word_for_censored_values_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="censored is 'zero'; expected refused, limit, half, absent"
    ):
        Labs(tmp_path, panel="labs.csv", censored="zero")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            "Creatinine,,crea,mg/dL,umol/L,,",
            "to convert mass into amount of substance, give",
        ),
        ("Creatinine,,crea,mg/dL,furlong,,", "'furlong' is not a UCUM code"),
        ("Sodium,,na,mmol/L,kPa,,22.99", "'kPa' cannot be converted into 'mmol/L'"),
        ("Calcium,,ca,mmol/L,meq/L,,", "'meq/L' and 'mmol/L' differ by the ion's charge"),
        ("Sodium,,na,mmol/L,mg/L,,heavy", "g_per_mol is 'heavy'; expected a number"),
    ],
)
def test_units_that_do_not_fit_are_told_of_the_panel(tmp_path: Path, row: str, told: str) -> None:
    heading = "analyte,loinc,column,unit,recorded_unit,unit_column,g_per_mol\n"
    assert told in panel_problems(tmp_path, f"{heading}{row}\n")


def test_every_unit_that_is_no_code_of_ucum_is_told_though_nothing_is_converted(
    tmp_path: Path,
) -> None:
    told = panel_problems(
        tmp_path,
        "analyte,loinc,column,unit,recorded_unit\n"
        "Creatinine,,crea,mg per dl,\n"
        "Sodium,,na,mEq/L,mEq/L\n"
        "pH,,ph,[pH],\n"
        "INR,,inr,{INR},\n"
        "pO2,,po2,kPa,mmHg\n",
    )
    assert [line.partition(";")[0].partition(", ")[2] for line in told.splitlines()] == [
        "line 2: unit: 'mg per dl' is not a UCUM code",
        "line 3: unit: 'mEq/L' is not a UCUM code",
        "line 3: recorded_unit: 'mEq/L' is not a UCUM code",
        "line 6: recorded_unit: 'mmHg' is not a UCUM code",
    ]


@pytest.mark.parametrize(
    "file",
    [
        path
        for folder in ("cohorts", "examples", "templates")
        for path in ROOT.glob(f"{folder}/**/labs*.csv")
    ],
    ids=lambda path: path.parent.name + "/" + path.name,
)
def test_every_panel_that_is_shipped_has_units_of_ucum(file: Path) -> None:
    assert all(is_ucum_code(analyte.unit) for analyte in read_panel(file))


@pytest.mark.parametrize(
    ("recorded", "wanted", "times"),
    [
        ("10*3/uL", "10*9/L", 1),
        ("mm[Hg]", "kPa", 0.1333224),
        ("meq/dL", "meq/L", 10),
        ("ng/mL", "ug/L", 1),
        ("pg/mL", "ng/L", 1),
        ("[IU]/L", "U/L", 1),
        ("[pH]", "[pH]", 1),
        ("{INR}", "{INR}", 1),
        ("g/L", "mg/dL", 100),
        ("fL", "um3", 1),
    ],
)
def test_units_of_the_laboratory_are_known(recorded: str, wanted: str, times: float) -> None:
    assert unit_factor(recorded, wanted) == pytest.approx(times, rel=1e-6)


def test_the_distribution_does_not_depend_on_how_many_are_sorted_at_a_time(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    values = np.round(rng.gamma(2, 1, (500, 3)), 1).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = NAN
    parts = np.array_split(values, 23)
    expected = Labs.fit([values])
    monkeypatch.setattr(module, "VALUES_AT_A_TIME", 60)
    assert Labs.fit(parts) == expected


@pytest.mark.parametrize(("recorded", "wanted"), [("mg/dL", "{INR}"), ("{INR}", "1")])
def test_a_word_in_braces_is_not_converted(recorded: str, wanted: str) -> None:
    with pytest.raises(ValueError, match="is a word"):
        unit_factor(recorded, wanted)

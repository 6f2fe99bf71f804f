from pathlib import Path

import numpy as np
import pytest

from clinical_symile.errors import DefinitionError
from clinical_symile.modalities.labs import Labs, read_panel
from clinical_symile.modalities.modality import Rejected

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
    assert "name 'A' stands 2 times" in told
    assert "column 'b' stands 2 times" in told


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
    with pytest.raises(DefinitionError, match=r"labs\.csv: no such file; expected a panel"):
        Labs(tmp_path, panel="labs.csv")

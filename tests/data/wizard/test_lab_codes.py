import pandas as pd
import pytest

from clinical_symile.data.wizard.lab_codes import LabCode, propose_lab_codes, ucum_code
from clinical_symile.modalities._ucum import is_ucum_code


def propose(code: str, values: list[str], unit: str | None) -> LabCode:
    codes = pd.Series([code] * len(values))
    units = None if unit is None else pd.Series([unit] * len(values))
    (found,) = propose_lab_codes(codes, pd.Series(values), units)
    return found


@pytest.mark.parametrize(
    ("code", "values", "unit", "analyte", "loinc"),
    [
        ("CREA", ["0,9", "1,1", "<0,3"], "mg/dl", "creatinine", "2160-0"),
        ("Kreatinin", ["88", "97"], "µmol/l", "creatinine", "14682-9"),
        ("Kreatinin", ["88", "97"], None, "creatinine", "14682-9"),
        ("Leukozyten", ["7.1", "9.3"], "G/l", "leukocytes", "6690-2"),
        ("GLU", ["5.2", "6.0"], "mmol/L", "glucose", "14749-6"),
        ("HB", ["131", "140"], "g/l", "haemoglobin", "718-7"),
        ("Emoglobina", ["13,1", "14,0"], "g/dl", "haemoglobin", "718-7"),
        ("kreatinine", ["88", "97"], "umol/l", "creatinine", "14682-9"),
    ],
)
def test_name_unit_and_median_decide(code, values, unit, analyte, loinc):
    found = propose(code, values, unit)
    assert found.known is not None
    assert (found.known.analyte, found.known.loinc, found.doubt) == (analyte, loinc, "")


@pytest.mark.parametrize(
    ("code", "values", "unit", "doubt"),
    [
        ("HB", ["131", "140"], "mg/l", "unit 'mg/l' is unusual for haemoglobin"),
        ("K", ["42", "43"] * 5, "mmol/l", "median 42.5 is unusual for mmol/L"),
        ("K", ["42", "43"], "mmol/l", "the median is unusual for mmol/L"),
        ("K", ["4.2"], "Striche", "unit 'Striche' is unknown"),
        ("XYZ", ["1"], "mg/dl", "unknown code"),
    ],
)
def test_a_doubt_keeps_a_code_out(code, values, unit, doubt):
    assert propose(code, values, unit).doubt == doubt


def test_two_units_of_one_code_are_a_doubt():
    codes = pd.Series(["GLU"] * 3)
    (found,) = propose_lab_codes(
        codes, pd.Series(["95", "100", "5.2"]), pd.Series(["mg/dl", "mg/dl", "mmol/l"])
    )
    assert found.units == ("mg/dl", "mmol/l")
    assert found.doubt == "recorded in mg/dl, mmol/l"


def test_every_unit_that_is_proposed_is_a_ucum_code():
    for unit in ("mg/dl", "mmol/l", "G/l", "U/l", "/nl", "mU/l", "ng/l", "%"):
        assert is_ucum_code(ucum_code(unit)), unit

"""Keys of `cohort.toml`: each mistake is reported."""

from typing import Any

import pytest

from clinical_symile.config.cohort import Cohort, read_cohort
from clinical_symile.errors import DefinitionError
from tests.helpers.hospital import Hospital


def read(hospital: Hospital) -> Cohort:
    return read_cohort(hospital.definition, name="small")


def problems(hospital: Hospital) -> str:
    with pytest.raises(DefinitionError) as caught:
        read(hospital)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("title = ", "titel = ", "the file has no 'title'. Add it."),
        ("title = ", "titel = ", "unknown key 'titel'; did you mean 'title'?"),
        ('access = "open"', 'access = "free"', "access is 'free'"),
        ("size_px", "size", "modalities.cxr: unknown key 'size'; did you mean 'size_px'?"),
        ('path = "ecg/{ecg}"', "", "modalities.ecg has no 'path'. Add it, or remove the modality."),
        ("[modalities.labs]", "[modalities.lab]", "unknown modality adapter 'lab'; did you mean"),
        ("[modalities.ecg]", '[modalities."12-lead"]', "modalities.12-lead"),
        ("sql =", "sqll =", "samples: unknown key 'sqll'; did you mean 'sql'?"),
        ('"samples.sql"', '"sample.sql"', "samples.sql is 'sample.sql', which is not beside it"),
        ('split = "split"', "", "samples: has no 'split'; expected a column, or"),
        (
            'split = "split"',
            "split = { tuning = 0.6, held_out = 0.4, seed = 1 }",
            "leave nothing for train",
        ),
        ('negative = ["no"]', 'negative = ["yes"]', "outcomes.died: ['yes'] is positive and"),
        ('negative = ["no"]', "negative = []", "outcomes.died.negative is []"),
        ('[tables]\nadmissions = "admissions.csv"', "", "[tables] is empty"),
        ('sql = "samples.sql"', 'tables = { train = "a.csv" }', "'tables' name the splits"),
        ('sql = "samples.sql"', "", "expected either 'sql' or 'tables'"),
        ('sql = "samples.sql"', 'sql = "samples.sql', "not valid TOML"),
        ('keep = ["ward"]', "at_least = 4", "samples.at_least is 4; expected at most the number"),
        ('column = "died"', 'column = "died"\nknown = "h"', "outcomes.died has 'known', and"),
        (
            "[modalities.cxr]",
            '[types.wards]\na = "BIGINT"\n[modalities.cxr]',
            "[types] names wards, not",
        ),
        (
            "[modalities.cxr]",
            '[types.admissions]\nward = "timestamp:%d"\n[modalities.cxr]',
            "or a date format such as 'timestamp:%d.%m.%Y %H:%M'",
        ),
        (
            "[samples]",
            'encoding = "cp500"\n[samples]',
            "encoding is 'cp500'; expected utf-8, utf-16, latin-1",
        ),
        ("[samples]", "encoding = { admissions = [] }\n[samples]", "expected utf-8, utf-16"),
        (
            "[samples]",
            'encoding = { wards = "latin-1" }\n[samples]',
            "[encoding] names wards, not",
        ),
        ("[modalities.cxr]", "[modalities.cxr]\ncandidates = 1", "candidates is no text"),
        (
            'split = "split"',
            'split = { column = "year", train = [1, 2], tuning = [2], held_out = [3] }',
            "2 is in two splits; expected each value in one",
        ),
    ],
)
def test_what_is_wrong_with_a_cohort_is_reported(
    hospital: Hospital, old: str, new: str, told: str
) -> None:
    hospital.edit(old, new)
    message = problems(hospital)
    assert told in message
    assert str(hospital.definition) in message


def test_all_problems_of_a_cohort_are_reported_at_once(hospital: Hospital) -> None:
    hospital.edit("size_px", "size")
    hospital.edit('path = "ecg/{ecg}"', "")
    hospital.edit('"samples.sql"', '"sample.sql"')
    assert len(problems(hospital).splitlines()) == 3


def test_a_generator_has_parameters(hospital: Hospital) -> None:
    text = '[generator]\nwrite = "a.b:write"\nparameters = { subjects = 3 }\n[tables]'
    hospital.edit("[tables]", text)
    generator: Any = read(hospital).generator
    assert (generator.write, generator.parameters) == ("a.b:write", {"subjects": 3})

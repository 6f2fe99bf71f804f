import re
from pathlib import Path

import pytest

from clinical_symile.config.cohort import Cohort, modality_adapter, modality_adapters, read_cohort
from clinical_symile.errors import DefinitionError
from tests.helpers.hospital import Hospital


def read(hospital: Hospital) -> Cohort:
    return read_cohort(hospital.definition, name="small")


def test_a_cohort_is_what_its_file_says(hospital: Hospital) -> None:
    cohort = read(hospital)
    assert (cohort.name, cohort.title, cohort.access) == ("small", "Small", "open")
    assert list(cohort.modalities) == ["cxr", "ecg", "labs"]
    assert cohort.modalities["cxr"].arguments == {"path": "xray/{xray}", "size_px": 32}
    assert cohort.outcomes["died"].positive == ("yes",)
    assert cohort.tables == {"admissions": "admissions.csv"}
    assert cohort.generator is None


def test_an_adapter_has_the_arguments_of_the_cohorts_table(hospital: Hospital) -> None:
    adapters = modality_adapters(read(hospital))
    assert adapters["cxr"].shape == (1, 32, 32)
    assert adapters["labs"].parts == ("Creatinine", "Potassium")


def test_a_modality_may_have_another_name_than_its_adapter(hospital: Hospital) -> None:
    hospital.edit("[modalities.cxr]", '[modalities.lateral]\nadapter = "cxr"')
    cohort = read(hospital)
    assert cohort.modalities["lateral"].adapter == "cxr"
    assert modality_adapter(cohort, "lateral").shape == (1, 32, 32)


def test_an_adapter_from_elsewhere_is_named_as_module_and_class(hospital: Hospital) -> None:
    hospital.edit(
        "[modalities.cxr]", '[modalities.cxr]\nadapter = "clinical_symile.modalities.cxr:Cxr"'
    )
    assert modality_adapter(read(hospital), "cxr").shape == (1, 32, 32)


def test_a_modality_says_which_end_is_worse_by_an_outcome_of_the_cohort(hospital: Hospital) -> None:
    hospital.edit("[modalities.ecg]", '[modalities.ecg]\nworse_with = "died"')
    ecg = read(hospital).modalities["ecg"]
    assert ecg.worse_with == "died"
    assert "worse_with" not in ecg.arguments
    hospital.edit('worse_with = "died"', 'worse_with = "deid"')
    with pytest.raises(
        DefinitionError, match=r"modalities\.ecg\.worse_with: unknown outcome 'deid'"
    ):
        read(hospital)
    hospital.edit('worse_with = "deid"', "worse_with = 1")
    with pytest.raises(DefinitionError, match=r"worse_with is no text; expected an outcome"):
        read(hospital)


def test_another_layout_keeps_the_worse_end(hospital: Hospital) -> None:
    layout = '[layouts.b]\nneeds = ["b"]\n[layouts.b.modalities.ecg]\npath = "b/{ecg}"\n'
    hospital.edit("[modalities.ecg]", f'{layout}[modalities.ecg]\nworse_with = "died"')
    (_, modalities) = read(hospital).layouts["b"]
    assert modalities["ecg"].worse_with == "died"
    assert modalities["cxr"].worse_with is None


def test_the_digest_changes_with_every_file_of_the_folder_and_nothing_else(
    hospital: Hospital,
) -> None:
    folder = hospital.definition.parent
    digests = [read(hospital).digest]
    assert read(hospital).digest == digests[0]
    (folder / ".DS_Store").write_text("x")
    assert read(hospital).digest == digests[0]
    for name in ("labs.csv", "samples.sql", "cohort.toml"):
        (folder / name).write_text((folder / name).read_text() + "\n")
        digests.append(read(hospital).digest)
    assert len(set(digests)) == 4


@pytest.mark.parametrize(("old", "new"), [("size_px = 32", "size_px = 0")])
def test_arguments_that_an_adapter_refuses_are_reported_with_their_place(
    hospital: Hospital, old: str, new: str
) -> None:
    hospital.edit(old, new)
    with pytest.raises(DefinitionError, match=r"cohort.toml: modalities.cxr: size_px is 0; expect"):
        modality_adapter(read(hospital), "cxr")


def test_the_problems_of_all_adapters_are_reported_at_once(hospital: Hospital) -> None:
    hospital.edit("size_px = 32", "size_px = 0")
    (hospital.definition.parent / "labs.csv").unlink()
    with pytest.raises(DefinitionError) as caught:
        modality_adapters(read(hospital))
    assert len(caught.value.problems) == 2


def test_the_example_of_the_readme_is_a_cohort(tmp_path: Path) -> None:
    readme = (Path(__file__).resolve().parents[2] / "cohorts" / "README.md").read_text()
    example, *variants = re.findall(r"```toml\n(.*?)```", readme, flags=re.DOTALL)
    (tmp_path / "samples.sql").write_text("FROM admissions")
    (tmp_path / "cohort.toml").write_text(example)
    assert read_cohort(tmp_path / "cohort.toml", name="example").tables.keys() == {
        "admissions",
        "xrays",
    }
    head, tail = example.split("[samples]")
    _, modalities = tail.split("[modalities.cxr]")
    (tmp_path / "cohort.toml").write_text(
        head + "".join([variants[1], *variants[4:6]]) + "[modalities.cxr]" + modalities
    )
    released = read_cohort(tmp_path / "cohort.toml", name="released")
    assert released.samples.tables["held_out"] == "test.csv"
    assert released.layouts.keys() == {"scans"}
    assert released.generator is not None
    (tmp_path / "cohort.toml").write_text(example + variants[6])
    least = {"example/complete": 3, "example/any": 2}
    for name, number in least.items():
        assert read_cohort(tmp_path / "cohort.toml", name=name).samples.at_least == number


def test_a_missing_cohort_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no such file"):
        read_cohort(tmp_path / "cohort.toml", name="none")


def test_a_query_in_another_encoding_is_named_with_its_line(hospital: Hospital) -> None:
    query = hospital.definition.parent / "samples.sql"
    query.write_bytes(query.read_bytes() + "\n-- Größe\n".encode("latin-1"))
    with pytest.raises(DefinitionError, match=r"samples\.sql.*not UTF-8 in line \d+\. Save it"):
        read(hospital)

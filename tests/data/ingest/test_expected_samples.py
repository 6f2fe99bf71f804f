"""The dry run leaves out what `prepare` leaves out by the tables alone, with the same reasons."""

import pytest

from clinical_symile.config.catalog import open_catalog
from clinical_symile.data.ingest.samples import SelectedSamples
from clinical_symile.data.prepare_cohort import count_cohort
from tests.helpers.hospital import Hospital, run
from tests.helpers.synthetic import quiet


def expected_samples(hospital: Hospital) -> SelectedSamples:
    """Return what the command line's dry run prints."""
    return count_cohort(
        open_catalog([hospital.definition.parents[2]]), "small", source=hospital.source, bar=quiet
    )


UNUSABLE = ["<0.5", ">9", "-3", "haemolysed", "", "1.2", "<0.5 ", "<-1", "1e50"]


@pytest.mark.parametrize("censored", ["limit", "half", "absent"])
@pytest.mark.parametrize("at_least", [1, 2])
def test_the_dry_run_leaves_out_what_prepare_leaves_out_by_the_rules_of_labs(
    hospital: Hospital, censored: str, at_least: int
) -> None:
    hospital.edit('panel = "labs.csv"', f'panel = "labs.csv"\ncensored = "{censored}"')
    hospital.edit('keep = ["ward"]', f'keep = ["ward"]\nat_least = {at_least}')
    (hospital.definition.parent / "labs.csv").write_text(
        "analyte,loinc,column,unit,low,high\nCreatinine,2160-0,crea,mg/dL,0,150\n"
    )
    table = hospital.admissions.assign(crea=UNUSABLE, k=None, xray=None)
    table.loc[table.index > 1, "ecg"] = None
    hospital.write(table)
    expected, store = expected_samples(hospital), run(hospital)
    kept = {name: split["samples"] for name, split in store.manifest["counts"].items()}
    assert {name: n for name, (n, _) in expected.splits.items()} == {
        k: n for k, n in kept.items() if n
    }
    assert expected.left_out == store.manifest["left_out"]
    # With a limit, a bound or without: the same admissions.
    labs_alone, with_ecg = {105, 106, 107}, {100, 101}
    assert {*store.samples["sample"]} == with_ecg | (labs_alone if at_least == 1 else set())


def test_the_dry_run_leaves_out_views_and_empty_columns_that_prepare_leaves_out(
    hospital: Hospital,
) -> None:
    hospital.edit("size_px = 32", 'size_px = 32\nview = "position"')
    hospital.edit('keep = ["ward"]', 'keep = ["ward"]\nrequired = ["age"]')
    table = hospital.admissions.assign(crea=None, k=None, ecg=None, age=60)
    table["position"] = ["PA", "LATERAL", "LL", "AP", "lateral", "PA", "PA", "PA", "PA"]
    table["age"] = [61, 62, 63, None, 65, 66, 67, 68, 69]
    hospital.write(table)
    expected, store = expected_samples(hospital), run(hospital)
    assert expected.left_out == store.manifest["left_out"]
    assert expected.left_out == {"nothing-recorded": 2, "nothing-usable": 2, "no-age": 1}
    assert expected.samples == len(store.samples) == 4
    assert {name: n for name, (_, n) in expected.splits.items()} == {
        name: split["subjects"] for name, split in store.manifest["counts"].items()
    }

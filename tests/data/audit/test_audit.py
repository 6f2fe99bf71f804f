"""Each check of an audit, on a store in which the fault is planted and on one without."""

from pathlib import Path

import numpy as np
import pytest

from clinical_symile.cli.main import main
from clinical_symile.data.audit.audit import CHECKS, audit_store
from clinical_symile.data.audit.finding import Severity
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.modalities.ecg import Ecg
from clinical_symile.modalities.labs import Labs
from tests.helpers.audited import NAN, Made, found, rows, worst


def test_a_store_without_fault_has_nothing_worse_than_notes(made: Made, tmp_path: Path) -> None:
    findings = audit_store(made.write(tmp_path / "store"))
    assert {finding.check for finding in findings} == set(CHECKS)
    assert max(finding.severity for finding in findings) <= Severity.NOTE
    fine = {finding.check for finding in findings if finding.severity == Severity.FINE}
    assert fine == set(CHECKS) - {"availability"}


def test_a_subject_in_two_splits_is_an_error(made: Made, tmp_path: Path) -> None:
    made.samples.loc[[3, 250], "subject"] = 7
    made.samples.loc[0, "subject"] = 1  # two samples of one split
    (finding,) = found(made.write(tmp_path / "store"), "subjects")
    assert finding.severity == Severity.ERROR
    assert "1 subjects are in several splits" in finding.sentence
    assert finding.samples == (5003, 5007, 5250)


def test_measurements_of_the_made_up_hospital_are_not_alike(synthetic_store: CohortStore) -> None:
    assert worst(synthetic_store, "alike") == Severity.FINE


@pytest.mark.parametrize("sign", [1, -1])
def test_an_outcome_that_one_lab_gives_away_is_an_error(
    made: Made, tmp_path: Path, sign: int
) -> None:
    label = made.samples["outcome_died"].to_numpy()
    made.arrays["labs"][:, 4] = 5 + sign * (label + np.linspace(0, 0.5, len(label)))
    (finding,) = found(made.write(tmp_path / "store"), "labels")
    assert finding.severity == Severity.ERROR
    assert "outcome died is predicted by labs lab 4 alone: AUROC 1.000" in finding.sentence


def test_an_outcome_that_one_lab_almost_gives_away_is_a_warning(made: Made, tmp_path: Path) -> None:
    label = made.samples["outcome_died"].to_numpy()
    made.arrays["labs"][:, 4] = label + np.linspace(0, 0.5, len(label))
    made.arrays["labs"][np.flatnonzero(label == 1)[:2], 4] = -1  # 2 of about 60: AUROC 0.97
    (finding,) = found(made.write(tmp_path / "store"), "labels")
    assert finding.severity == Severity.WARNING


def test_statistics_of_all_splits_are_an_error_and_named_as_such(
    made: Made, tmp_path: Path
) -> None:
    there = made.samples["present_ecg"].to_numpy()
    made.statistics = {
        "ecg": Ecg.fit([made.arrays["ecg"][there]]),
        "labs": Labs.fit([made.arrays["labs"][1:]]),
    }
    findings = found(made.write(tmp_path / "store"), "statistics")
    assert [finding.severity for finding in findings] == [Severity.ERROR] * 2
    assert "ecg: the statistics of the manifest are those of all splits" in findings[0].sentence
    assert "labs: the statistics of the manifest are not those of the tr" in findings[1].sentence


def test_values_out_of_their_declared_range_are_a_warning(made: Made, tmp_path: Path) -> None:
    made.samples.loc[4, "kept_age"] = 300
    made.samples.loc[5, "kept_age"] = -1
    made.samples.loc[6, "kept_age"] = NAN
    beyond, missing = found(made.write(tmp_path / "store"), "ranges")
    assert (beyond.severity, missing.severity) == (Severity.WARNING, Severity.NOTE)
    assert "age: 2 samples are not from 0 to 120" in beyond.sentence
    assert beyond.samples == (5004, 5005)
    assert "age: 1 samples have no number" in missing.sentence
    assert "300" not in beyond.sentence


def test_that_no_range_is_declared_is_a_note_and_not_fine(made: Made, tmp_path: Path) -> None:
    made.ranges = {}
    (finding,) = found(made.write(tmp_path / "store"), "ranges")
    assert finding.severity == Severity.NOTE
    assert finding.sentence.startswith("the cohort declares none, so no column was checked.")


def test_an_outcome_that_is_predicted_by_who_was_examined_is_a_warning(
    made: Made, tmp_path: Path
) -> None:
    died = made.samples["outcome_died"].to_numpy() == 1
    for place, row in enumerate(np.flatnonzero(died)):
        if place % 2:
            made.samples.loc[row, "present_ecg"] = False
            made.arrays["ecg"][row] = 0
            made.files.loc[row, "ecg"] = ""
    findings = found(made.write(tmp_path / "store"), "availability")
    modalities, labs = findings
    assert modalities.severity == Severity.WARNING
    assert "outcome died, predicted from the availability of modalities alone: AUROC 0.7" in (
        modalities.sentence
    )
    assert labs.severity == Severity.NOTE


def test_an_outcome_that_is_predicted_by_which_labs_were_measured_is_a_warning(
    made: Made, tmp_path: Path
) -> None:
    died = made.samples["outcome_died"].to_numpy() == 1
    made.arrays["labs"][:, 0] = np.where(died, 1, NAN)
    _, labs = found(made.write(tmp_path / "store"), "availability")
    assert labs.severity == Severity.WARNING
    assert "from the availability of values of labs alone: AUROC 1.000" in labs.sentence


def test_an_outcome_that_is_too_rare_to_check_is_a_note_with_why(
    made: Made, tmp_path: Path
) -> None:
    made.samples["outcome_died"] = 0.0
    made.samples.loc[:9, "outcome_died"] = 1.0
    findings = found(made.write(tmp_path / "store"), "availability")
    assert {finding.severity for finding in findings} == {Severity.NOTE}
    assert "fewer than 20 samples of a class" in findings[0].sentence


def test_held_out_recordings_that_an_encoder_has_seen_are_an_error(
    made: Made, tmp_path: Path
) -> None:
    store = made.write(tmp_path / "store")
    available = [*rows(made, "ecg", "held_out", 2), *rows(made, "ecg", "train", 3)]
    listed = tmp_path / "seen.txt"
    listed.write_text("".join(f"mimic/p1/s{row}/{row}.hea\n" for row in available) + "\nother\n")
    cxr, ecg = found(store, "pretraining", pretraining=listed)
    assert (cxr.severity, ecg.severity) == (Severity.FINE, Severity.ERROR)
    assert "ecg: <10 recordings of tuning and held_out are in the list of <10" in ecg.sentence
    listed.write_text("\n".join(str(row) for row in available[2:]))
    _, ecg = found(store, "pretraining", pretraining=listed)
    assert ecg.severity == Severity.FINE


def test_a_list_that_cannot_be_read_is_reported(made: Made, tmp_path: Path) -> None:
    store = made.write(tmp_path / "store")
    with pytest.raises(DataError, match="cannot be read; expected the name of one recording"):
        audit_store(store, pretraining=tmp_path / "none.txt")
    (tmp_path / "none.txt").write_text("\n \n")
    with pytest.raises(DataError, match="is empty"):
        audit_store(store, pretraining=tmp_path / "none.txt")
    (store.path / "files.parquet").unlink()
    (tmp_path / "none.txt").write_text("a\n")
    with pytest.raises(DataError, match="does not name the files it was made from"):
        audit_store(store, pretraining=tmp_path / "none.txt")


@pytest.mark.parametrize(("plant", "status"), [(None, 0), ("age", 2), ("subject", 3)])
def test_the_program_ends_with_the_worst_severity(
    made: Made,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    plant: str | None,
    status: int,
) -> None:
    if plant == "age":
        made.samples.loc[4, "kept_age"] = 300
    if plant == "subject":
        made.samples.loc[[3, 250], "subject"] = 7
    made.write(tmp_path / "store")
    with pytest.raises(SystemExit) as stop:
        main(["audit", str(tmp_path / "store")])
    assert stop.value.code == status
    told = capsys.readouterr().out
    assert not any(str(sample) in told for sample in made.samples["sample"])
    with pytest.raises(SystemExit):
        main(["audit", str(tmp_path / "store"), "--samples"])
    assert ("5003" in capsys.readouterr().out) == (plant == "subject")


def test_an_outcome_with_too_few_labels_to_look_at_is_not_called_fine(
    made: Made, tmp_path: Path
) -> None:
    made.samples.loc[15:, "outcome_died"] = NAN
    (finding,) = found(made.write(tmp_path / "store"), "labels")
    assert finding.severity == Severity.NOTE
    assert "outcome died: fewer than 20 training samples of a class" in finding.sentence

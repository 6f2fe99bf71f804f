"""Counts of a cohort in words: nothing below ten leaves the store's folder with a bundle."""

import json
import re

from clinical_symile.reporting.cohort_counts import (
    cohort_counts,
    cohort_modalities,
    shareable_cohort,
    subjects_sentence,
)
from tests.helpers.report_data import made_cohort

MODALITY = {"adapter": "cxr", "shape": [1], "dtype": "uint8", "unit": "1", "sha256": "0"}
MANIFEST = made_cohort(
    cohort="small",
    modalities={name: {**MODALITY, "statistics": {"lowest": 3}} for name in ("cxr", "ecg")},
)


def test_words_stand_in_the_place_of_counts_and_say_the_same():
    shared = json.loads(json.dumps(shareable_cohort(MANIFEST)))
    assert cohort_counts(shared) == cohort_counts(MANIFEST)
    assert cohort_modalities(shared) == cohort_modalities(MANIFEST) == ["cxr", "ecg", "labs"]
    assert subjects_sentence(shared) == subjects_sentence(MANIFEST)
    assert subjects_sentence(shared).startswith("3\N{NARROW NO-BREAK SPACE}000 subjects")


def test_no_count_below_ten_and_no_statistic_is_shared():
    shared = shareable_cohort(MANIFEST)
    counts = cohort_counts(shared)
    assert counts.left_out == {"no-modality": "<10", "no-split": "41"}
    assert counts.rejected == {
        "cxr": {"truncated": "12"},
        "ecg": {"leads-missing": "<10"},
        "labs": {},
    }
    assert counts.presence[-1] == [["cxr", "ecg"], 0, "<10"]
    assert counts.presence[-2][1:] == [0, "≥10"], "the small one would follow by subtraction"
    cells = re.findall(r'"([^"]*)"', json.dumps(shared["worded_counts"], ensure_ascii=False))
    assert not [cell for cell in cells if re.fullmatch("[1-9]", cell)]
    assert "statistics" not in json.dumps(shared)
    assert not {"counts", "sizes", "checksums", "left_out"} & shared.keys()


def test_real_subjects_and_measurements_that_are_nearly_as_many_are_bounds():
    present = {"cxr": 405, "ecg": 410, "labs": 300}
    split = {"samples": 424, "subjects": 419, "present": present, "patterns": {}}
    about = {"left_out": {}, "rejected": {}, "access": "open"}
    real = {**about, "generator": None, "counts": {"train": split}}
    (line,) = cohort_counts(real).splits
    # 5 subjects more than one admission, 5 with an ECG and no X-ray
    assert line[1:] == ["424", ">414", "at least 400", "at least 410", "300"]
    assert subjects_sentence(real) == ">414 to train subjects."
    synthetic = {**real, "generator": {}}
    (line,) = cohort_counts(synthetic).splits
    assert line[1:] == ["424", "419", "405", "410", "300"]
    assert subjects_sentence(synthetic) == "419 subjects: 419 to train."

"""Candidate lists that a cohort publishes."""

import pandas as pd

from tests.helpers.hospital import Hospital, refusal, run


def test_published_candidates_become_rows(hospital: Hospital) -> None:
    text = '[candidates.held_out]\ntable = "lists.csv"\nquery = "q"\ncandidate = "c"\n[tables]'
    hospital.edit("[tables]", text)
    lists = pd.DataFrame({"q": [106, 106, 107, 107], "c": [106, 107, 107, 108]})
    lists.to_csv(hospital.source / "lists.csv", index=False)
    store = run(hospital)  # 108 has no recording, so it is nobody's candidate
    assert store.candidates is not None
    assert store.candidates.to_dict("list") == {
        "query": [6, 6, 7],
        "candidate": [6, 7, 7],
        "split": ["held_out"] * 3,
    }
    assert store.manifest["unlisted_candidates"] == 1


def test_a_candidate_table_without_its_columns_is_told(hospital: Hospital) -> None:
    text = '[candidates.held_out]\ntable = "lists.csv"\nquery = "q"\ncandidate = "c"\n[tables]'
    hospital.edit("[tables]", text)
    (hospital.source / "lists.csv").write_text("q,d\n1,2\n")
    assert "no column 'c', which candidates.held_out needs" in refusal(hospital)

"""A result is current while its fingerprint is the one that its question has now."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import candidate_lists
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.fingerprint import expected_fingerprints, result_fingerprints
from clinical_symile.missingness.patterns import parse_pattern

COMPLETE = parse_pattern("complete")


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    made = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(made, Retrieval)
    return made


def test_patterns_without_a_table_share_the_fingerprint_of_their_question(
    task: Retrieval, synthetic_store: CohortStore
):
    fingerprint = expected_fingerprints(task, synthetic_store)
    assert fingerprint("complete") == fingerprint("mcar-30") == fingerprint("without-ecg")


def test_the_expected_fingerprint_is_that_of_a_result(
    task: Retrieval, synthetic_store: CohortStore
):
    lists = candidate_lists(task, synthetic_store).table()
    made = result_fingerprints(task, synthetic_store, lists)(COMPLETE)
    assert made == expected_fingerprints(task, synthetic_store)("complete")


def test_another_seed_other_candidates_and_another_store_are_other_questions(
    task: Retrieval, synthetic_store: CohortStore
):
    lists = candidate_lists(task, synthetic_store).table()
    other = task.model_copy(update={"seed": task.seed + 1})
    manifest = {**synthetic_store.manifest, "cohort_digest": "another"}
    made = {
        result_fingerprints(task, synthetic_store, lists)(COMPLETE),
        result_fingerprints(other, synthetic_store, lists)(COMPLETE),
        result_fingerprints(task, synthetic_store, lists.iloc[1:])(COMPLETE),
        result_fingerprints(task, replace(synthetic_store, manifest=manifest), lists)(COMPLETE),
    }
    assert len(made) == 4


def test_an_edited_mask_file_outdates_the_results_of_its_pattern_alone(
    task: Retrieval, synthetic_store: CohortStore, tmp_path: Path
):
    store = replace(synthetic_store, path=tmp_path)
    fingerprint = result_fingerprints(task, store, pd.DataFrame({"query": [0]}))
    ours = parse_pattern("mask-ours")
    without = fingerprint(ours)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "ours.csv").write_text("sample,ecg\n1,0\n")
    first = fingerprint(ours)
    (tmp_path / "masks" / "ours.csv").write_text("sample,ecg\n1,1\n")
    second = fingerprint(ours)
    question = fingerprint(COMPLETE)
    assert len({without, first, second}) == 3
    assert {one.partition(".")[0] for one in (without, first, second)} == {question}
    assert without.endswith(".none")

"""Scores of others count as those of a model that gives the same, and a file that lacks is told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from clinical_symile.benchmarking.external import ExternalRun, add_scores
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, candidate_lists
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.external.pair_scores import read_pair_scores
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.base import draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.predictors.external_pairs import (
    ExternalPairsPredictor,
    external_pairs_predictor,
)
from clinical_symile.missingness.patterns import expand, parse_pattern
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES
from tests.helpers.synthetic import quiet

NAME = "retrieval/cxr_given_ecg_labs"
FIXED = ("complete", "without-ecg", "without-labs")


pytestmark = pytest.mark.usefixtures("few_resamples", "no_analyses", "no_mlflow_copies")


@pytest.fixture
def predictor(synthetic_store: CohortStore, generator: torch.Generator) -> EmbeddingPredictor:
    """Random embeddings of the whole store."""
    present = torch.from_numpy(synthetic_store.present.copy())
    z = torch.nn.functional.normalize(torch.randn(len(present), 3, 6, generator=generator), dim=2)
    embeddings = Embeddings(
        z * present[:, :, None], present, synthetic_store.modalities, torch.arange(len(present))
    )
    clip = resolve("clip", OBJECTIVES)()
    return EmbeddingPredictor(embeddings, clip, synthetic_store)


@pytest.fixture
def task(catalog: Catalog) -> Callable[..., Retrieval]:
    def read(*overrides: str) -> Retrieval:
        made = read_task(catalog, NAME, overrides=overrides)
        assert isinstance(made, Retrieval)
        return made

    return read


def _lines(task: Retrieval, predictor: EmbeddingPredictor, *patterns: str) -> pd.DataFrame:
    """What a model left behind: its score of every pair of a task, by ids, under some patterns."""
    store, lists = predictor.store, candidate_lists(task, predictor.store)
    name, subject = (store.samples[key].to_numpy() for key in ("sample", "subject"))
    parts = []
    for pattern in patterns:
        request = draw_request(task, store, parse_pattern(pattern))
        request = request.take(np.isin(request.rows, lists.queries))
        rows = request.rows
        if isinstance(lists, CandidateLists):
            candidates = lists.for_queries(rows)
            there = candidates != PADDING
        else:
            candidates = np.tile(lists.queries, (len(rows), 1))
            there = (subject[rows][:, None] != subject[candidates]) | (rows[:, None] == candidates)
        scores = predictor.score(request, candidates)
        query, place = np.nonzero(there)
        columns = {"query": name[rows[query]], "candidate": name[candidates[query, place]]}
        columns |= {"score": scores[query, place], "missingness": pattern}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def of_file(tmp_path: Path, synthetic_store: CohortStore) -> Callable[..., ExternalPairsPredictor]:
    """A function that writes scores to a file and reads them as a predictor."""

    def of_file(
        table: pd.DataFrame, asked: Retrieval, name: str = "theirs.parquet"
    ) -> ExternalPairsPredictor:
        write = table.to_parquet if name.endswith("parquet") else table.to_csv
        write(tmp_path / name, index=False)
        return external_pairs_predictor(read_pair_scores(tmp_path / name), asked, synthetic_store)[
            0
        ]

    return of_file


@pytest.mark.parametrize("candidates", ["10", '"all"'])
def test_the_scores_of_a_model_give_its_numbers_under_random_patterns_too(
    candidates: str, task: Callable, predictor: EmbeddingPredictor, of_file: Callable
) -> None:
    asked = task(f"candidates={candidates}", 'metrics=["recall_at_1", "auc_over_scores"]')
    patterns = expand(["grid"], asked.query)
    own, theirs = (
        evaluate(asked, one, store=predictor.store, run="own", seed=0, missingness=patterns)
        for one in (predictor, of_file(_lines(asked, predictor, *FIXED), asked))
    )
    assert not theirs.unscored
    assert theirs.results == own.results
    for pattern in patterns:
        for column in ("row", "above", "tied", "candidates"):
            assert theirs.outcomes[pattern][column].equals(own.outcomes[pattern][column])


def test_equal_scores_tie(task: Callable, predictor: EmbeddingPredictor, of_file: Callable) -> None:
    asked = task()
    lines = _lines(asked, predictor, "complete").assign(score=3)
    made = evaluate(
        asked,
        of_file(lines, asked, "theirs.csv"),
        store=predictor.store,
        run="theirs",
        seed=0,
        missingness=("complete",),
    )
    (recall,) = [row for row in made.results if row.metric == "recall_at_1"]
    assert recall.value == pytest.approx(0.1)
    assert set(made.outcomes["complete"]["tied"]) == {9}


def test_what_the_file_says_nothing_of_is_unscored_with_its_reason(
    catalog: Catalog, task: Callable, predictor: EmbeddingPredictor, of_file: Callable
) -> None:
    asked = task()
    theirs = of_file(_lines(asked, predictor, "complete", "without-ecg"), asked)
    made = evaluate(asked, theirs, store=predictor.store, run="theirs", seed=0)
    reasons = {row.missingness: row.reason for row in made.unscored}
    assert set(reasons) == {"observed", "without-labs", "mcar-30"}
    assert "no scores of queries with ecg alone" in reasons["without-labs"]
    name = "classification/deterioration"
    other = read_task(catalog, name)
    assert isinstance(other, Classification)
    skipped = evaluate(other, theirs, store=predictor.store, run="theirs", seed=0)
    assert not skipped.results
    assert all("scores candidates only" in row.reason for row in skipped.unscored)


def test_without_a_pattern_scores_are_of_what_was_recorded(
    task: Callable, predictor: EmbeddingPredictor, of_file: Callable
) -> None:
    asked = task()
    lines = _lines(asked, predictor, "observed").drop(columns="missingness")
    own, theirs = (
        evaluate(asked, one, store=predictor.store, run="own", seed=0)
        for one in (predictor, of_file(lines, asked))
    )
    known = ("observed", "complete")
    assert theirs.results == [row for row in own.results if row.missingness in known]
    assert {row.missingness for row in theirs.unscored} == {*FIXED[1:], "mcar-30"}
    assert all("queries" in row.reason for row in theirs.unscored)


def test_pairs_that_are_missing_are_named(
    task: Callable, predictor: EmbeddingPredictor, of_file: Callable
) -> None:
    for asked in (task(), task('candidates="all"')):
        lines = _lines(asked, predictor, "complete")
        theirs, first = of_file(lines.drop(index=[0, 7]), asked), lines.iloc[0]
        with pytest.raises(DataError, match="lacks 2 of ") as caught:
            evaluate(
                asked, theirs, store=predictor.store, run="a", seed=0, missingness=("complete",)
            )
        assert f"such as {first['query']} with {first['candidate']}, " in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"score": "s"}), "has no column score; expected query, cand"),
        (lambda t: t.assign(score=t["score"].where(t.index != 3)), "1 of .* scores are NaN"),
        (lambda t: t.assign(score=t["score"].where(t.index != 3, np.inf)), "1 of .* are infinite"),
        (lambda t: t.assign(query=t["query"].where(t.index != 3)), "1 of .* have no id of query"),
        (lambda t: pd.concat([t, t.head(2)]), "2 of .* repeat a pair of an earlier row"),
        (
            lambda t: t.assign(candidate=t["candidate"] + 1),
            "are of samples that are not in the store",
        ),
        (lambda t: t.assign(missingness="mcar-30"), "under 'mcar-30', which hides at random"),
        (
            lambda t: pd.concat([t, t.assign(missingness="observed", score=t["score"] + 1)]),
            "contradict the score of the same pair under another pattern",
        ),
    ],
)
def test_what_cannot_be_scored_is_told_with_counts(
    change: Callable, message: str, task: Callable, predictor: EmbeddingPredictor, of_file: Callable
) -> None:
    asked = task()
    with pytest.raises(DataError, match=message):
        of_file(change(_lines(asked, predictor, "complete")), asked)


def test_a_file_of_scores_gets_the_report_beside_the_oracle(
    catalog: Catalog, task: Callable, predictor: EmbeddingPredictor, tmp_path: Path
) -> None:
    lines = _lines(task(), predictor, *FIXED)
    twice = lines.head(1).assign(candidate=lines["query"].iloc[-1])
    pd.concat([lines, twice]).to_csv(tmp_path / "theirs.csv", index=False)
    target = ExternalRun(
        name="theirs",
        out=tmp_path / "out",
        store=predictor.store.path,
        tasks=(NAME,),
        catalog=catalog,
        bar=quiet,
    )
    made = add_scores(tmp_path / "theirs.csv", target)
    (unscored,) = [row for row in made.unscored if row.run == "theirs"]
    assert "has scores of complete queries only" in unscored.reason
    own = evaluate(task(), predictor, store=predictor.store, run="own", seed=0)
    theirs = {(row.missingness, row.metric): row for row in made.results if row.run == "theirs"}
    assert {pattern for pattern, _ in theirs} == {*FIXED, "mcar-30"}
    for row in own.results:
        if row.missingness != "observed":
            assert replace(theirs[row.missingness, row.metric], run="own") == row
    assert any("1 of " in note and "does not list" in note for note in made.notes)
    assert made.report.is_file()
    with pytest.raises(DataError, match=r"to one retrieval task; .*\. Name one with --tasks"):
        add_scores(tmp_path / "theirs.csv", replace(target, tasks=("retrieval/*",)))

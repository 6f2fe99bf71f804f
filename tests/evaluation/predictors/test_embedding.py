from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING, CandidateLists, candidate_lists
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.predictors.embedding import CannotScore, EmbeddingScorer, samples
from clinical_symile.missingness.patterns import Pattern, parse_pattern
from clinical_symile.registry import OBJECTIVES, resolve

MODALITIES = ("cxr", "ecg", "labs")
DIM = 6


@pytest.fixture
def retrieval(catalog: Catalog) -> Retrieval:
    name = "retrieval/cxr_given_ecg_labs"
    made = read_task(catalog.path("tasks", name), name=name)
    assert isinstance(made, Retrieval)
    return made


@pytest.fixture
def classification(catalog: Catalog) -> Classification:
    name = "classification/deterioration"
    made = read_task(catalog.path("tasks", name), name=name)
    assert isinstance(made, Classification)
    return made


@pytest.fixture(params=OBJECTIVES)
def scorer(
    request: pytest.FixtureRequest, synthetic_store: CohortStore, generator: torch.Generator
) -> EmbeddingScorer:
    """Random embeddings of the whole store."""
    present = torch.from_numpy(synthetic_store.present.copy())
    z = torch.nn.functional.normalize(torch.randn(len(present), 3, DIM, generator=generator), dim=2)
    embeddings = Embeddings(
        z=torch.where(present[:, :, None], z, 0.0),
        present=present,
        modalities=MODALITIES,
        rows=torch.arange(len(present)),
    )
    objective = resolve(request.param, OBJECTIVES, what="objective")()
    return EmbeddingScorer(embeddings, objective, synthetic_store)


def _spoiled(scorer: EmbeddingScorer, kept: np.ndarray) -> EmbeddingScorer:
    """The same with NaN wherever not `kept` [sample, modality]."""
    z = torch.where(torch.from_numpy(kept)[:, :, None], scorer.embeddings.z, torch.nan)
    return replace(scorer, embeddings=replace(scorer.embeddings, z=z))


RETRIEVAL_PATTERNS = ["observed", "complete", "without-ecg", "without-labs", "mcar-30"]
CLASSIFICATION_PATTERNS = ["observed", "complete", "without-cxr", "only-ecg", "mcar-30"]


@pytest.mark.parametrize("name", RETRIEVAL_PATTERNS)
def test_a_retrieval_rests_on_nothing_but_what_is_seen_and_the_candidates(
    name: str, scorer: EmbeddingScorer, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    rows, available, candidates = _asked(retrieval, name, synthetic_store)
    kept = np.zeros_like(synthetic_store.present)
    kept[np.unique(candidates[candidates != PADDING]), 0] = True
    kept[np.ix_(rows, np.array([1, 2]))] = available
    expected = scorer.score(retrieval, rows, available, candidates)
    found = _spoiled(scorer, kept).score(retrieval, rows, available, candidates)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(found, expected)


def _asked(
    task: Retrieval, pattern: str, store: CohortStore
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lists = candidate_lists(task, store)
    assert isinstance(lists, CandidateLists)
    rows, available = samples(store, "held_out", task.query, parse_pattern(pattern), seed=task.seed)
    asked = np.isin(rows, lists.queries)
    rows, available = rows[asked], available[asked]
    return rows, available, lists.of(rows)


def test_scores_are_the_objectives_own_for_each_candidate(
    scorer: EmbeddingScorer, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    rows, available, candidates = _asked(retrieval, "complete", synthetic_store)
    scores = scorer.score(retrieval, rows, available, candidates)
    z = scorer.embeddings.z.double().numpy()
    symile = "Symile" in type(scorer.objective).__name__
    for place, row in enumerate(rows):
        for column, candidate in enumerate(candidates[place]):
            joined = z[row, 1] * z[row, 2] if symile else z[row, 1] + z[row, 2]
            expected = (joined * z[candidate, 0]).sum()
            assert scores[place, column] == pytest.approx(expected, abs=1e-6)


def test_permuting_candidates_permutes_scores(
    scorer: EmbeddingScorer,
    retrieval: Retrieval,
    synthetic_store: CohortStore,
    rng: np.random.Generator,
) -> None:
    rows, available, candidates = _asked(retrieval, "complete", synthetic_store)
    order = rng.permutation(candidates.shape[1])
    np.testing.assert_array_equal(
        scorer.score(retrieval, rows, available, candidates[:, order]),
        scorer.score(retrieval, rows, available, candidates)[:, order],
    )


def test_nobody_scores_below_everyone(
    scorer: EmbeddingScorer, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    rows, available, candidates = _asked(retrieval, "complete", synthetic_store)
    candidates = np.where(np.arange(candidates.shape[1]) > rows[:, None] % 3, PADDING, candidates)
    scores = scorer.score(retrieval, rows, available, candidates)
    np.testing.assert_array_equal(np.isneginf(scores), candidates == PADDING)


@pytest.mark.parametrize("cells", [1, 100, 1000])
def test_scores_are_the_same_whatever_is_held_at_a_time(
    cells: int,
    scorer: EmbeddingScorer,
    retrieval: Retrieval,
    synthetic_store: CohortStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, available, candidates = _asked(retrieval, "mcar-30", synthetic_store)
    expected = scorer.score(retrieval, rows, available, candidates)
    monkeypatch.setattr("clinical_symile.evaluation.predictors.embedding.CELLS", cells)
    np.testing.assert_array_equal(scorer.score(retrieval, rows, available, candidates), expected)


def test_the_same_candidates_for_all_score_as_a_list_for_each(
    scorer: EmbeddingScorer, retrieval: Retrieval, synthetic_store: CohortStore
) -> None:
    rows, available, candidates = _asked(retrieval, "mcar-30", synthetic_store)
    together = np.unique(candidates)[::-1]
    full = scorer.score_all(retrieval, rows, available, together)
    assert full.shape == (len(rows), len(together))
    listed = np.tile(together, (len(rows), 1))
    np.testing.assert_array_equal(full, scorer.score(retrieval, rows, available, listed))


@pytest.mark.parametrize("name", CLASSIFICATION_PATTERNS)
def test_a_probe_is_fitted_chosen_and_asked_under_the_same_pattern(
    name: str, scorer: EmbeddingScorer, classification: Classification
) -> None:
    # What the pattern hides is spoiled in every split: were it not hidden in training too, the
    # probe could not even be fitted.
    pattern = parse_pattern(name)
    kept = np.zeros_like(scorer.store.present)
    for split in ("train", "tuning", "held_out"):
        rows, available = samples(scorer.store, split, MODALITIES, pattern, seed=0)
        kept[rows] = available
    expected = _probability(scorer, classification, pattern)
    found = _probability(_spoiled(scorer, kept), classification, pattern)
    assert (np.ptp(expected) > 0) & ((expected >= 0) & (expected <= 1)).all()
    np.testing.assert_array_equal(found, expected)


def _probability(
    scorer: EmbeddingScorer, task: Classification, pattern: Pattern, take: slice = slice(None)
) -> np.ndarray:
    rows, available = samples(scorer.store, "held_out", task.inputs, pattern, seed=task.seed)
    return scorer.probability(task, rows[take], available[take], pattern)


def test_what_is_seen_does_count(
    scorer: EmbeddingScorer, retrieval: Retrieval, classification: Classification
) -> None:
    z = scorer.embeddings.z.clone()
    z[:, 2] = z[:, 2].flip(0)
    changed = replace(scorer, embeddings=replace(scorer.embeddings, z=z))
    rows, available, candidates = _asked(retrieval, "without-ecg", scorer.store)
    assert not np.array_equal(
        scorer.score(retrieval, rows, available, candidates),
        changed.score(retrieval, rows, available, candidates),
    )
    pattern = parse_pattern("only-labs")
    assert not np.array_equal(
        _probability(scorer, classification, pattern),
        _probability(changed, classification, pattern),
    )


def test_a_sample_is_predicted_alike_in_any_company(
    scorer: EmbeddingScorer, classification: Classification
) -> None:
    pattern = parse_pattern("mcar-30")
    np.testing.assert_allclose(
        _probability(scorer, classification, pattern, slice(None, 4)),
        _probability(scorer, classification, pattern)[:4],
        rtol=1e-12,
    )


def test_held_out_labels_have_no_part_in_a_prediction(
    scorer: EmbeddingScorer, classification: Classification
) -> None:
    table = scorer.store.samples.copy()
    held_out = scorer.store.rows("held_out")
    table.loc[held_out, "outcome_deterioration"] = 1 - table.loc[held_out, "outcome_deterioration"]
    other = replace(scorer, store=replace(scorer.store, samples=table))
    np.testing.assert_array_equal(
        _probability(scorer, classification, parse_pattern("complete")),
        _probability(other, classification, parse_pattern("complete")),
    )


def test_a_probe_finds_what_an_embedding_shows(
    scorer: EmbeddingScorer, classification: Classification
) -> None:
    label = torch.tensor(scorer.store.outcome("deterioration")).nan_to_num(0.0)
    z = scorer.embeddings.z.clone()
    z[:, 2, 0] = 10 * label - 5
    knowing = replace(scorer, embeddings=replace(scorer.embeddings, z=z))
    rows, _ = samples(scorer.store, "held_out", MODALITIES, parse_pattern("complete"), seed=0)
    found = _probability(knowing, classification, parse_pattern("complete"))
    known = scorer.store.outcome("deterioration")[rows]
    assert found[known == 1].min() > found[known == 0].max()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_outcome_that_nobody_has_cannot_be_learned(
    value: float, scorer: EmbeddingScorer, classification: Classification
) -> None:
    table = scorer.store.samples.copy()
    table["outcome_deterioration"] = value
    other = replace(scorer, store=replace(scorer.store, samples=table))
    with pytest.raises(CannotScore, match="a probe cannot be fitted"):
        _probability(other, classification, parse_pattern("complete"))


@pytest.mark.parametrize("name", ["complete", "without-ecg", "only-labs", "mcar-30"])
def test_patterns_use_the_same_samples(name: str, synthetic_store: CohortStore) -> None:
    rows, available = samples(synthetic_store, "held_out", MODALITIES, parse_pattern(name), seed=0)
    held_out = synthetic_store.rows("held_out")
    complete = held_out[synthetic_store.present[held_out].all(axis=1)]
    np.testing.assert_array_equal(rows, complete)
    assert available.any(axis=1).all()


def test_observed_uses_all_that_have_anything(synthetic_store: CohortStore) -> None:
    rows, available = samples(
        synthetic_store, "held_out", ("ecg", "labs"), parse_pattern("observed"), seed=0
    )
    present = synthetic_store.present[:, [1, 2]]
    held_out = synthetic_store.rows("held_out")
    np.testing.assert_array_equal(rows, held_out[present[held_out].any(axis=1)])
    np.testing.assert_array_equal(available, present[rows])

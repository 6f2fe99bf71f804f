"""A user's own model is evaluated by one method."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluation.evaluate import Evaluation, evaluate
from clinical_symile.evaluation.predictors.base import Request, RetrievalPredictor, RiskPredictor
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.predictors.user_model import as_predictor
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.symile import Symile

RETRIEVAL, DETERIORATION = "retrieval/cxr_given_ecg_labs", "classification/deterioration"


pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def task(catalog: Catalog):
    def read(name: str, *overrides: str) -> Retrieval | Classification:
        made = read_task(catalog, name, overrides=overrides)
        assert isinstance(made, Retrieval | Classification)
        return made

    return read


class Labs:
    """Embeds the labs by a fixed random matrix, and no other modality."""

    def embed(self, store: CohortStore, rows: np.ndarray) -> Embeddings:
        present = store.present[rows][:, [store.modalities.index("labs")]]
        values = np.nan_to_num(store.inputs("labs", rows).reshape(len(rows), -1))
        projection = np.random.default_rng(0).normal(size=(values.shape[1], 4))
        z = np.where(present[:, :, None], (values @ projection)[:, None], 0.0)
        return Embeddings(
            torch.from_numpy(z.astype(np.float32)),
            torch.from_numpy(present),
            ("labs",),
            torch.from_numpy(rows),
        )


@dataclass
class Everything:
    """Embeds every modality by given vectors."""

    z: torch.Tensor
    objective: Any = None

    def embed(self, store: CohortStore, rows: np.ndarray) -> Embeddings:
        present = torch.from_numpy(store.present[rows])
        z = torch.where(present[:, :, None], self.z[rows], 0.0)
        return Embeddings(z, present, store.modalities, torch.from_numpy(rows))


def _evaluate(model: Any, task: Any, store: CohortStore, *patterns: str) -> Evaluation:
    predictor = as_predictor(model, store)
    return evaluate(task, predictor, store=store, run="mine", seed=0, missingness=patterns or None)


def test_an_embedder_of_one_modality_is_evaluated_where_that_is_enough(
    task, synthetic_store: CohortStore
) -> None:
    only_labs = task(DETERIORATION, 'inputs=["labs"]', 'missingness=["complete", "labs-mcar-50"]')
    made = _evaluate(Labs(), only_labs, synthetic_store)
    assert {row.missingness for row in made.results} == {"complete", "labs-mcar-50"}
    whole, half = (made.outcomes[name]["probability"] for name in ("complete", "labs-mcar-50"))
    assert not whole.equals(half), "the labs are embedded again without the hidden analytes"
    made = _evaluate(Labs(), task(RETRIEVAL), synthetic_store, "complete")
    assert [row.reason for row in made.unscored] == ["the model has no embeddings of cxr."]


@pytest.mark.parametrize(
    ("objective", "kind"), [(None, Clip), ("symile", Symile), (Symile(), Symile)]
)
def test_the_objective_attribute_scores_and_without_it_inner_products_do(
    objective: Any, kind: type, task, synthetic_store: CohortStore, generator: torch.Generator
) -> None:
    # Vectors of any length: nothing is normalized.
    z = 3 * torch.randn(len(synthetic_store.samples), 3, 5, generator=generator)
    model = Everything(z, objective)
    predictor = as_predictor(model, synthetic_store)
    assert isinstance(predictor, EmbeddingPredictor)
    assert isinstance(predictor.objective, kind)
    assert torch.equal(predictor.embeddings.z, model.embed(synthetic_store, np.arange(len(z))).z)
    if kind is Clip:
        whole = np.flatnonzero(synthetic_store.present.all(axis=1))[:5]
        available = np.ones((5, 2), dtype=bool)
        request = Request(task(RETRIEVAL), whole, available, parse_pattern("complete"))
        expected = (z[whole, 1] + z[whole, 2]) @ z[whole, 0].T
        np.testing.assert_allclose(predictor.score_shared(request, whole), expected, rtol=1e-5)


def test_a_model_of_outcomes_needs_predict_proba_alone(task, synthetic_store: CohortStore) -> None:
    class Age:
        def predict_proba(self, request: Request) -> list[float]:
            return (request.rows / 10_000).tolist()

    made = _evaluate(Age(), task(DETERIORATION), synthetic_store)
    frame = made.outcomes["complete"]
    np.testing.assert_allclose(frame["probability"], frame["row"] / 10_000)
    made = _evaluate(Age(), task(RETRIEVAL), synthetic_store)
    assert not made.results
    assert all("does not score candidates" in row.reason for row in made.unscored)


def test_a_model_of_candidates_needs_score_alone_and_never_meets_padding(
    task, synthetic_store: CohortStore
) -> None:
    class Nearest:
        def score(self, request: Request, candidates: np.ndarray) -> np.ndarray:
            assert (candidates >= 0).all()
            return -np.abs(candidates - request.rows[:, None])

    for candidates in ("10", '"all"'):
        asked = task(RETRIEVAL, f"candidates={candidates}")
        made = _evaluate(Nearest(), asked, synthetic_store, "complete")
        assert set(made.outcomes["complete"]["above"]) == {0}
    predictor = as_predictor(Nearest(), synthetic_store)
    assert isinstance(predictor, RetrievalPredictor)
    request = Request(
        task(RETRIEVAL), np.array([3]), np.ones((1, 2), dtype=bool), parse_pattern("complete")
    )
    found = predictor.score(request, np.array([[3, 5, PADDING]]))
    assert found.tolist() == [[0.0, -2.0, -np.inf]]


def test_a_model_with_several_methods_answers_both_kinds(
    task, synthetic_store: CohortStore
) -> None:
    class Both(Labs):
        def predict_proba(self, request: Request) -> np.ndarray:
            return np.full(len(request.rows), 0.25)

        def score(self, request: Request, candidates: np.ndarray) -> np.ndarray:
            return np.zeros(candidates.shape)

    predictor = as_predictor(Both(), synthetic_store)
    assert isinstance(predictor, RetrievalPredictor)
    assert isinstance(predictor, RiskPredictor)
    made = evaluate(
        task(DETERIORATION),
        predictor,
        store=synthetic_store,
        run="m",
        seed=0,
        missingness=["complete"],
    )
    assert set(made.outcomes["complete"]["probability"]) == {0.25}
    assert as_predictor(predictor, synthetic_store) is predictor


def test_a_model_that_returns_something_else_is_refused_with_what_was_expected(
    task, synthetic_store: CohortStore
) -> None:
    class Wrong:
        returned: Any = None

        def predict_proba(self, request: Request) -> Any:
            return self.returned

    for returned, message in (
        (np.zeros(3), r"returned shape \[3\]; expected \["),
        (None, r"returned shape \[\]; expected \["),
        (2.0, "one probability for each sample"),
    ):
        Wrong.returned = returned
        with pytest.raises(DataError, match=message):
            _evaluate(Wrong(), task(DETERIORATION), synthetic_store, "complete")

    class LogOdds:
        def predict_proba(self, request: Request) -> np.ndarray:
            return np.linspace(-3, 3, len(request.rows))

    with pytest.raises(DataError, match=r"outside 0 … 1; expected probabilities\. Convert"):
        _evaluate(LogOdds(), task(DETERIORATION), synthetic_store, "complete")
    with pytest.raises(DefinitionError, match="has no method embed, predict_proba or score"):
        as_predictor(object(), synthetic_store)

    class Array:
        def embed(self, store: CohortStore, rows: np.ndarray) -> Any:
            return np.zeros((len(rows), 3, 4))

    with pytest.raises(DataError, match=r"Array\.embed: returned a ndarray; expected"):
        as_predictor(Array(), synthetic_store)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e: {"modalities": ("cxr", "ecg", "echo")}, "modalities echo; expected some of"),
        (
            lambda e: {"z": e.z[1:], "available": e.available[1:], "rows": e.rows[1:]},
            "embeddings for .* rows; expected one for each row",
        ),
        (
            lambda e: {"available": ~e.available},
            "marked available where the store has no measurement",
        ),
        (lambda e: {"z": e.z * torch.nan}, "NaN or infinite"),
    ],
)
def test_embeddings_that_do_not_fit_the_store_are_refused(
    spoil, message: str, synthetic_store: CohortStore
) -> None:
    class Spoiled(Everything):
        def embed(self, store: CohortStore, rows: np.ndarray) -> Embeddings:
            made = super().embed(store, rows)
            return replace(made, **spoil(made))

    z = torch.ones(len(synthetic_store.samples), 3, 2)
    with pytest.raises(DataError, match=message):
        as_predictor(Spoiled(z, "clip"), synthetic_store)


@pytest.mark.parametrize(
    ("objective", "spread", "message"),
    [
        ("probmed", False, "compares means and log variances, and the embeddings have no log"),
        ("clip", True, "compares means alone, and the embeddings have log variances"),
    ],
)
def test_embeddings_that_the_objective_cannot_compare_are_refused(
    objective: str, spread: bool, message: str, synthetic_store: CohortStore
):
    @dataclass
    class WithSpread(Everything):
        def embed(self, store: CohortStore, rows: np.ndarray) -> Embeddings:
            return replace(super().embed(store, rows), spread=spread)

    z = torch.ones(len(synthetic_store.samples), 3, 2)
    with pytest.raises(DefinitionError, match=message):
        as_predictor(WithSpread(z, objective), synthetic_store)

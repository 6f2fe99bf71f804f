import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.compare_query_rules import results_by_rule
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from tests.helpers.objective_values import registered

PATTERNS = ("complete", "without-ecg")
ABOUT = {"run": "a-0", "seed": 0}


pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def retrieval(catalog: Catalog) -> Retrieval:
    made = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(made, Retrieval)
    return made


def _predictor(
    store: CohortStore, objective: str, generator: torch.Generator
) -> EmbeddingPredictor:
    present = torch.from_numpy(store.present.copy())
    z = torch.randn(*present.shape, 6, generator=generator)
    z = torch.nn.functional.normalize(z, dim=2) * present[:, :, None]
    rows, names = torch.arange(len(present)), tuple(store.modalities)
    embeddings = Embeddings(z=z, available=present, modalities=names, rows=rows)
    return EmbeddingPredictor(embeddings, registered(objective, dim=6), store)


def test_each_rule_gives_what_evaluating_by_it_alone_gives(
    retrieval: Retrieval, synthetic_store: CohortStore, generator: torch.Generator
) -> None:
    predictor = _predictor(synthetic_store, "symile", generator)
    rows = results_by_rule(
        retrieval, predictor, store=synthetic_store, missingness=PATTERNS, **ABOUT
    )
    assert [row.missing_query for row in rows] == ["marginalize", "mean_bank", "drop"]
    assert [row.bank_size for row in rows] == [rows[0].bank_size, rows[0].bank_size, None]
    assert {(row.missingness, row.metric) for row in rows} == {("without-ecg", retrieval.primary)}
    for row in rows:
        assert row.missing_query is not None
        alone = evaluate(
            retrieval,
            predictor.with_rule(row.missing_query),
            store=synthetic_store,
            missingness=["without-ecg"],
            **ABOUT,
        )
        assert row in alone.results


def test_another_rule_leaves_the_model_as_it_was(
    synthetic_store: CohortStore, generator: torch.Generator
) -> None:
    predictor = _predictor(synthetic_store, "symile", generator)
    other = predictor.with_rule("drop")
    assert (predictor.missing_query, other.missing_query) == ("marginalize", "drop")
    assert next(other.objective.parameters()) is next(predictor.objective.parameters())


def test_a_complete_query_and_a_score_without_a_product_have_no_rules_to_compare(
    retrieval: Retrieval, synthetic_store: CohortStore, generator: torch.Generator
) -> None:
    for objective, patterns in (("symile", ("complete",)), ("clip", PATTERNS)):
        predictor = _predictor(synthetic_store, objective, generator)
        assert not results_by_rule(
            retrieval, predictor, store=synthetic_store, missingness=patterns, **ABOUT
        )


def test_a_classification_has_no_rules_to_compare(
    catalog: Catalog, synthetic_store: CohortStore, generator: torch.Generator
) -> None:
    task = read_task(catalog, "classification/deterioration")
    predictor = _predictor(synthetic_store, "symile", generator)
    assert not isinstance(task, Retrieval)
    assert not results_by_rule(task, predictor, store=synthetic_store, **ABOUT)  # type: ignore[arg-type]

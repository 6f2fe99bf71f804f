"""The modality that holds the answer: where it is planted, and what shares add up to."""

import numpy as np
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.diagnostics.base import DiagnosticInputs
from clinical_symile.evaluation.diagnostics.importance import Importance
from clinical_symile.evaluation.predictors.base import draw_request
from clinical_symile.evaluation.predictors.oracle import OraclePredictor
from clinical_symile.metrics.classification import auroc
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.registry.base import load_object
from tests.helpers.examined import values
from tests.helpers.predicted import planted

METRICS = ("total", "holds_answer", "shapley")


@pytest.mark.parametrize("place", range(3))
def test_the_modality_with_the_answer_is_found(place: int, rng: np.random.Generator) -> None:
    strengths = [0.0, 0.0, 0.0]
    strengths[place] = 4.0
    found = values(Importance(), planted("importance", strengths, rng, metrics=METRICS))
    shares = [found[f"holds_answer/{name}"] for name in "abc"]
    contributions = [found[f"shapley/{name}"] for name in "abc"]
    assert np.argmax(shares) == np.argmax(contributions) == place
    assert shares[place] > 0.8


def test_shares_sum_to_1_and_shapley_values_to_auroc_above_chance(
    rng: np.random.Generator,
) -> None:
    inputs = planted("importance", (2.0, 1.0, 0.5), rng, metrics=METRICS)
    found = values(Importance(), inputs)
    assert sum(found[f"holds_answer/{name}"] for name in "abc") == pytest.approx(1, abs=1e-12)
    risk = inputs.risk(inputs.request.available, pattern=parse_pattern("complete"))
    full = auroc(inputs.label.astype(int), risk)
    assert found["total"] == pytest.approx(full - 0.5, abs=1e-12)
    assert sum(found[f"shapley/{name}"] for name in "abc") == pytest.approx(full - 0.5, abs=1e-12)


def test_equal_answers_are_shared(rng: np.random.Generator) -> None:
    inputs = planted("importance", (2.0, 2.0, 2.0), rng, metrics=METRICS)
    z = inputs.model.embeddings.z
    z[:] = z[:, :1]
    found = values(Importance(), inputs)
    for name in "abc":
        assert found[f"holds_answer/{name}"] == pytest.approx(1 / 3, abs=1e-12)
        assert found[f"shapley/{name}"] == pytest.approx(found["total"] / 3, abs=1e-9)


@pytest.mark.parametrize("outcome", ["enlarged_heart", "lung_mass", "right_effusion"])
def test_on_the_synthetic_cohort_findings_of_the_x_ray_are_held_by_it(
    outcome: str, catalog: Catalog, synthetic_store: CohortStore
) -> None:
    """The generating model alone is asked, so that no training can hide what was planted."""
    task = read_task(catalog, "diagnostic/importance", overrides=[f"outcome={outcome}"])
    assert isinstance(task, DiagnosticTask)
    generator = synthetic_store.manifest["generator"]
    oracle = load_object(generator["oracle"], what="oracle")(synthetic_store)
    request = draw_request(task, synthetic_store, parse_pattern("complete"))
    model = OraclePredictor(oracle, synthetic_store)
    found = values(Importance(), DiagnosticInputs(request, model, synthetic_store))
    assert found["holds_answer/cxr"] > 0.9
    assert found["shapley/cxr"] == max(found[f"shapley/{name}"] for name in ("cxr", "ecg", "labs"))

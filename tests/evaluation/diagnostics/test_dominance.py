"""The dominance index: 1 where modalities are alike, above 1 where one tells more."""

import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.dominance import Dominance, dominance_index
from tests.helpers.examined import values
from tests.helpers.predicted import planted

METRICS = ("dominance",)


def test_the_index_is_the_largest_share_by_the_mean() -> None:
    shares = np.array([[0.2, 0.1], [0.1, 0.1], [0.0, 0.1]])
    np.testing.assert_allclose(dominance_index(shares, shares.sum(axis=0)), [2, 1])
    assert np.isnan(dominance_index(np.array([[-0.1], [0.1]]), np.zeros(1))).all()


def test_modalities_that_tell_the_same_have_index_1(rng: np.random.Generator) -> None:
    inputs = planted("dominance", (2.0, 2.0, 2.0), rng, metrics=METRICS)
    inputs.model.embeddings.z[:] = inputs.model.embeddings.z[:, :1]
    assert values(Dominance(), inputs)["dominance"] == pytest.approx(1, abs=1e-9)


def test_the_index_rises_when_one_modality_tells_more(rng: np.random.Generator) -> None:
    def index(first: float) -> float:
        inputs = planted("dominance", (first, 1.5, 1.5), np.random.default_rng(0), metrics=METRICS)
        return values(Dominance(), inputs)["dominance"]

    assert 1 <= index(1.5) < index(3.0) < index(6.0) <= 3


def test_one_class_alone_has_no_answer_to_share(rng: np.random.Generator) -> None:
    inputs = planted("dominance", (2.0, 2.0, 2.0), rng, metrics=METRICS)
    inputs.store.samples["outcome_event"] = 0.0
    with pytest.raises(CannotScore, match="no two samples with every modality differ in event"):
        Dominance().measure(inputs)

"""A marker that no longer follows the outcome costs AUROC; one without a tie costs none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.evaluate import Evaluation, evaluate
from clinical_symile.evaluation.leak_checks.fixtures import ToyStore
from clinical_symile.evaluation.predictors.user_model import as_predictor

SAMPLES, EDGE = 1200, 16


class Pixels:
    """Embeds an image by its brightness above, and below on each side."""

    def embed(self, store: CohortStore, rows: np.ndarray) -> Embeddings:
        image = store.inputs("cxr", rows).reshape(len(rows), EDGE, EDGE)
        above, below = image[:, : EDGE // 2], image[:, EDGE // 2 :]
        parts = [above, below[:, :, : EDGE // 2], below[:, :, EDGE // 2 :]]
        z = np.stack([part.mean(axis=(1, 2)) for part in parts], axis=1)[:, None]
        present = torch.ones((len(rows), 1), dtype=torch.bool)
        z = torch.from_numpy((20 * z).astype(np.float32))
        return Embeddings(z, present, ("cxr",), torch.from_numpy(rows))


@pytest.fixture(scope="module")
def images() -> ToyStore:
    """Images whose upper half is a little brighter where the outcome is positive."""
    rng = np.random.default_rng(0)
    outcome = rng.integers(0, 2, SAMPLES)
    image = rng.integers(90, 110, (SAMPLES, 1, EDGE, EDGE))
    image[:, :, : EDGE // 2] += np.rint(rng.normal(1.5 * outcome, 1.5)).astype(int)[
        :, None, None, None
    ]
    names = [f"s{row}" for row in range(SAMPLES)]
    split = np.repeat(["train", "tuning", "held_out"], [500, 200, 500])
    samples = {"sample": names, "subject": names, "split": split}
    about = {"cxr": {"adapter": "cxr", "parts": ["grey"], "statistics": {}}}
    return ToyStore(
        path=Path("images"),
        manifest={"cohort": "images", "cohort_digest": "", "digest": "", "modalities": about},
        samples=pd.DataFrame({**samples, "outcome_deterioration": outcome.astype(float)}),
        modalities=("cxr",),
        present=np.ones((SAMPLES, 1), dtype=bool),
        candidates=None,
        arrays={"cxr": image.astype(np.uint8)},
    )


@pytest.fixture(scope="module")
def found(images: ToyStore, catalog: Catalog) -> dict[str, tuple[float, float, float]]:
    """The AUROC with its interval under each pattern."""
    changes = ('inputs=["cxr"]', 'metrics=["auroc"]', 'missingness=["complete"]')
    task = read_task(catalog, "classification/deterioration", overrides=changes)
    assert isinstance(task, Classification)
    words = ("marker-deterioration-0", "marker-shift-deterioration-0")
    words += ("marker-deterioration-90", "marker-shift-deterioration-90")
    names = ["complete", *(f"cxr-{word}" for word in words)]
    predictor = as_predictor(Pixels(), images)
    made: Evaluation = evaluate(
        task, predictor, store=images, run="pixels", seed=0, missingness=names
    )
    assert not made.unscored
    values = {}
    for row in made.results:
        assert row.low is not None
        assert row.high is not None
        values[row.missingness.removeprefix("cxr-")] = (row.value, row.low, row.high)
    return values


def test_a_marker_without_a_tie_changes_nothing_up_to_the_interval(
    found: dict[str, tuple[float, float, float]],
) -> None:
    value, low, high = found["complete"]
    for name in ("marker-deterioration-0", "marker-shift-deterioration-0"):
        other, other_low, other_high = found[name]
        assert low < other < high
        assert other_low < value < other_high
        assert abs(other - value) < 0.02  # of the same samples
    assert 0.65 < value < 0.85


def test_a_strong_tie_in_training_and_none_after_it_loses_auroc(
    found: dict[str, tuple[float, float, float]],
) -> None:
    *_, high = found["marker-shift-deterioration-90"]
    assert high < found["complete"][1]


def test_a_tie_that_stays_gains_auroc(found: dict[str, tuple[float, float, float]]) -> None:
    """The side alone tells 95 of 100 outcomes."""
    value, low, _ = found["marker-deterioration-90"]
    assert low > found["complete"][2]
    assert value > 0.93

"""A store whose modalities are panels of four values, and masks drawn on it."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from clinical_symile.data.masks import Mask, draw_mask
from clinical_symile.data.store import CohortStore
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.modalities.labs import Labs

MODALITIES = ("cxr", "ecg", "labs")
PARTS = ("a", "b", "c", "d")
SAMPLES = 20_000


@pytest.fixture(scope="session")
def panels(tmp_path_factory: pytest.TempPathFactory) -> CohortStore:
    """Half of the samples are held out; age moves every value, and one in twelve is absent."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("panels")
    age = rng.normal(60, 15, SAMPLES)
    died = rng.random(SAMPLES) < expit((age - 75) / 10)
    present = rng.random((SAMPLES, 3)) < 11 / 12
    present[: SAMPLES // 2] |= True
    present[SAMPLES // 2 :][~present[SAMPLES // 2 :].any(axis=1), 0] = True
    about = {}
    for place, name in enumerate(MODALITIES):
        own = rng.normal(size=(SAMPLES, 1))
        values = own + age[:, None] / 30 + rng.normal(0, 0.3, (SAMPLES, len(PARTS)))
        values[~present[:, place]] = 0
        values = values.round(1).astype(np.float32)
        train = values[SAMPLES // 2 :][present[SAMPLES // 2 :, place]]
        np.save(folder / f"{name}.npy", values)
        about[name] = {"adapter": "labs", "parts": list(PARTS), "statistics": Labs.fit([train])}
    samples = pd.DataFrame(
        {
            "sample": np.arange(SAMPLES) + 1_000_000,
            "subject": np.arange(SAMPLES),
            "split": np.repeat(["held_out", "train"], SAMPLES // 2),
            "outcome_died": died.astype(float),
            "kept_age": age,
            "kept_ward": np.where(rng.random(SAMPLES) < 0.5, "north", "south"),
        }
    )
    manifest = {"cohort": "panels", "modalities": about}
    return CohortStore(folder, manifest, samples, MODALITIES, present, None)


@pytest.fixture(scope="session")
def draw(panels: CohortStore) -> Callable[..., Mask]:
    """A function that draws the mask of a pattern on held-out samples of `panels`."""

    def drawn(
        name: str, *, store: CohortStore = panels, seed: int = 0, modalities=MODALITIES
    ) -> Mask:
        pattern = parse_pattern(name)
        return draw_mask(pattern, store, split="held_out", modalities=modalities, seed=seed)

    return drawn

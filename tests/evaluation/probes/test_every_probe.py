"""What holds for every probe in the table."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.probes.base import (
    EmbeddedSamples,
    Encoders,
    LabelledSamples,
    ProbeInputs,
)
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import PROBES
from clinical_symile.training.learner import build_learner
from tests.helpers.synthetic import tiny

ARGUMENTS = {
    "logistic": {"strengths": [0.01, 1.0]},
    "prototype": {},
    "neighbours": {"k": [3, 10]},
    "head": {},
    "finetune": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01},
}
MODALITIES = ("cxr", "ecg", "labs")

each_probe = pytest.mark.parametrize("name", sorted(PROBES))


def _probe(name: str):
    return resolve(name, PROBES)(**ARGUMENTS[name])


def _samples(
    store: CohortStore, split: str, rng: np.random.Generator, *, separable: bool = True
) -> LabelledSamples:
    """Unit embeddings that lean towards one side for one label, each modality seen at times."""
    rows = store.rows(split)
    label = (np.arange(len(rows)) % 3 == 0).astype(int)
    z = rng.normal(size=(len(rows), 3, 8))
    z[:, :, 0] += separable * 6 * (label[:, None] - 0.5)
    z /= np.linalg.norm(z, axis=2, keepdims=True)
    available = store.present[rows] & (rng.random((len(rows), 3)) < 0.8)
    available[~available.any(axis=1)] = store.present[rows][~available.any(axis=1)]
    z = np.where(available[:, :, None], z, 0).astype(np.float32)
    return LabelledSamples(rows, z, available, MODALITIES, label)


def _shown(samples: LabelledSamples) -> EmbeddedSamples:
    return EmbeddedSamples(samples.rows, samples.z, samples.available, samples.modalities)


def _inputs(
    train: LabelledSamples,
    tuning: LabelledSamples,
    asked: LabelledSamples,
    encoders: Encoders | None,
) -> ProbeInputs:
    """What a probe gets, with the embeddings that a head reads."""
    z, available = torch.from_numpy(asked.z), torch.from_numpy(asked.available)
    embeddings = Embeddings(z, available, MODALITIES, torch.from_numpy(asked.rows))
    return ProbeInputs(
        train,
        tuning,
        _shown(asked),
        encoders,
        seed=0,
        outcome="deterioration",
        embeddings=embeddings,
    )


@pytest.fixture
def encoders(catalog: Catalog, synthetic_store: CohortStore) -> Encoders:
    task = tiny(catalog, "pretraining/objectives/outcome_gated", "norm=l2")
    return Encoders(build_learner(task, synthetic_store, seed=0).eval(), synthetic_store)


@each_probe
def test_it_gives_a_probability_to_each_sample_and_the_same_again(
    name: str, encoders: Encoders, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    train, tuning, asked = (
        _samples(synthetic_store, split, rng) for split in ("train", "tuning", "held_out")
    )
    before = {k: v.clone() for k, v in encoders.learner.state_dict().items()}
    drawn = torch.get_rng_state()
    first, again = (_probe(name).predict(_inputs(train, tuning, asked, encoders)) for _ in range(2))
    assert first.shape == asked.label.shape
    assert ((first >= 0) & (first <= 1)).all()
    np.testing.assert_array_equal(first, again)
    torch.testing.assert_close(encoders.learner.state_dict(), before, rtol=0, atol=0)
    assert (torch.get_rng_state() == drawn).all()


@each_probe
def test_what_is_not_seen_may_hold_anything(
    name: str, encoders: Encoders, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    splits = [_samples(synthetic_store, s, rng) for s in ("train", "tuning", "held_out")]
    train, tuning, asked = splits
    expected = _probe(name).predict(_inputs(train, tuning, asked, encoders))
    # Probes on embeddings are given zero there; fine-tuning must not even read the measurements.
    hidden = np.ones_like(synthetic_store.present)
    for part in splits:
        hidden[part.rows] = ~part.available
    spoiled = replace(encoders, store=_Spoiled(**vars(synthetic_store), hidden=hidden))
    found = _probe(name).predict(_inputs(train, tuning, asked, spoiled))
    np.testing.assert_array_equal(found, expected)


class _Spoiled(CohortStore):
    """A store whose hidden measurements cannot be read."""

    def __init__(self, *, hidden: np.ndarray, **fields):
        super().__init__(**fields)
        object.__setattr__(self, "hidden", hidden)

    def inputs(self, modality: str, rows: np.ndarray) -> np.ndarray:
        column = self.modalities.index(modality)
        read = self.__dict__["hidden"][rows, column] & self.present[rows, column]
        assert not read.any(), f"{modality} is hidden"
        return super().inputs(modality, rows)


@pytest.mark.parametrize("name", sorted(set(PROBES) - {"finetune", "head"}))
def test_it_learns_what_embeddings_tell_and_nothing_else(
    name: str, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    for separable, low, high in ((True, 0.9, 1.0), (False, 0.25, 0.75)):
        parts = [
            _samples(synthetic_store, split, rng, separable=separable)
            for split in ("train", "tuning", "held_out")
        ]
        found = _probe(name).predict(_inputs(parts[0], parts[1], parts[2], None))
        assert low <= roc_auc_score(parts[2].label, found) <= high


@each_probe
def test_the_order_of_samples_asked_changes_nothing(
    name: str, encoders: Encoders, synthetic_store: CohortStore, rng: np.random.Generator
) -> None:
    train, tuning, asked = (
        _samples(synthetic_store, split, rng) for split in ("train", "tuning", "held_out")
    )
    order = rng.permutation(len(asked.rows))
    expected, found = (
        _probe(name).predict(_inputs(train, tuning, some, encoders))
        for some in (asked, asked.take(order))
    )
    np.testing.assert_allclose(found, expected[order], rtol=1e-4, atol=1e-6)

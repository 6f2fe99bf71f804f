import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.probes.base import Encoders, LabelledSamples, ProbeInputs
from clinical_symile.evaluation.probes.finetune import FineTune
from clinical_symile.training.learner import build_learner
from tests.helpers.synthetic import tiny


def _labelled(store: CohortStore, split: str) -> LabelledSamples:
    """Whether the labs show the first factor, which labs alone can tell."""
    rows = store.rows(split)
    rows = rows[store.present[rows].all(axis=1)]
    label = store.samples["kept_shown_labs"].to_numpy()[rows] & 1
    available = np.tile([False, False, True], (len(rows), 1))
    z = np.zeros((len(rows), 3, 8), dtype=np.float32)
    return LabelledSamples(rows, z, available, store.modalities, label)


def test_encoders_learn_what_their_embeddings_did_not_hold(
    catalog: Catalog, synthetic_store: CohortStore
) -> None:
    learner = build_learner(tiny(catalog, "pretraining/symile"), synthetic_store, seed=0).eval()
    train, tuning, asked = (
        _labelled(synthetic_store, split) for split in ("train", "tuning", "held_out")
    )
    probe = FineTune(epochs=60, batch_size=32, learning_rate=0.02)
    found = probe.predict(
        ProbeInputs(train, tuning, asked, Encoders(learner, synthetic_store), seed=0)
    )
    assert roc_auc_score(asked.label, found) > 0.9


def test_without_encoders_there_is_nothing_to_tune(synthetic_store: CohortStore) -> None:
    known = _labelled(synthetic_store, "train")
    with pytest.raises(CannotScore, match="fine-tuning needs the encoders"):
        FineTune(epochs=1, batch_size=4, learning_rate=0.1).predict(
            ProbeInputs(known, known, known, None, seed=0)
        )


def test_training_that_diverges_is_told(catalog: Catalog, synthetic_store: CohortStore) -> None:
    learner = build_learner(tiny(catalog, "pretraining/symile"), synthetic_store, seed=0).eval()
    for parameter in learner.parameters():
        parameter.data.fill_(float("nan"))
    known = _labelled(synthetic_store, "train")
    with pytest.raises(CannotScore, match="diverged in epoch 1"):
        FineTune(epochs=1, batch_size=16, learning_rate=0.1).predict(
            ProbeInputs(known, known, known, Encoders(learner, synthetic_store), seed=0)
        )


def test_no_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="epochs is 0 and batch_size 4; expected whole numbers"):
        FineTune(epochs=0, batch_size=4, learning_rate=0.1)

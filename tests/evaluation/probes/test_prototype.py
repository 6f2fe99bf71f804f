import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs
from clinical_symile.evaluation.probes.prototype import Prototype, _scores


def _labelled(z: list, label: list, available: list | None = None) -> LabelledSamples:
    array = np.array(z, dtype=np.float32)
    shown = np.ones(array.shape[:2], dtype=bool) if available is None else np.array(available)
    return LabelledSamples(np.arange(len(array)), array, shown, ("ecg", "labs"), np.array(label))


def test_prototypes_by_hand():
    # Class 1: ECGs (1, 0) and (0, 1), so (1, 1) / sqrt 2; labs (0, 1) of one sample alone.
    train = _labelled(
        [[[1, 0], [0, 1]], [[0, 1], [9, 9]], [[-1, 0], [0, -1]]],
        [1, 1, 0],
        [[True, True], [True, False], [True, True]],
    )
    h = np.sqrt(0.5)
    np.testing.assert_allclose(Prototype()._prototypes(train, 1), [[h, h], [0, 1]])
    np.testing.assert_allclose(Prototype()._prototypes(train, 0), [[-1, 0], [0, -1]])
    # Shared: (h, h) + (0, 1), brought to length 1.
    both = np.array([h, h + 1]) / np.hypot(h, h + 1)
    np.testing.assert_allclose(Prototype(shared=True)._prototypes(train, 1), [both, both])


def test_a_score_is_the_mean_over_what_is_seen():
    direction = np.array([[1.0, 0.0], [0.0, 2.0]])
    asked = EmbeddedSamples(
        np.arange(3),
        np.array([[[1, 5], [5, 1]], [[1, 5], [np.nan, np.nan]], [[np.nan] * 2, [5, 1]]]),
        np.array([[True, True], [True, False], [False, True]]),
        ("ecg", "labs"),
    )
    np.testing.assert_allclose(_scores(asked, direction), [1.5, 1, 2])


def test_one_class_among_tuning_samples_gives_no_probabilities():
    train = _labelled([[[1, 0], [0, 1]], [[-1, 0], [0, -1]]], [1, 0])
    with pytest.raises(CannotScore, match="the tuning split needs samples with the outcome"):
        Prototype().predict(ProbeInputs(train, train.take(np.array([0])), train, None, seed=0))

"""What a diagnostic gets: vectors of length 1 of what is available, and who has none."""

from dataclasses import replace

import numpy as np
import pytest

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.diagnostics.base import scaled
from clinical_symile.evaluation.ranking import NoInformation
from tests.helpers.examined import examined, fixture_f


def test_vectors_have_length_1_and_what_is_hidden_is_zero() -> None:
    has = np.ones((4, 3), dtype=bool)
    has[2, 1] = False
    samples = examined(3 * fixture_f(), available=has).samples
    np.testing.assert_allclose(np.linalg.norm(samples.z, axis=2), has.astype(float))
    np.testing.assert_array_equal(samples.available, has)
    assert samples.z.dtype == np.float64


def test_a_pattern_hides_modalities_of_train_samples_too() -> None:
    inputs = examined(fixture_f(), pattern="only-a-b")
    for samples in (inputs.samples, inputs.of_split("train"), inputs.of_split("tuning")):
        assert samples.available.all(axis=0).tolist() == [True, True, False]
    rows = [inputs.of_split(split).rows.tolist() for split in ("train", "tuning")]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_means_of_another_cohort_are_those_of_the_cohort_that_the_model_was_trained_on() -> None:
    here, there = examined(fixture_f()), examined(-fixture_f())
    moved = replace(here, predictor=replace(here.model, source=lambda: there.model))
    np.testing.assert_array_equal(moved.of_split("train").z, there.of_split("train").z)
    np.testing.assert_array_equal(moved.samples.z, here.samples.z)


def test_a_model_without_embeddings_is_refused_with_the_reason() -> None:
    inputs = examined(fixture_f())
    without = replace(inputs, predictor=NoInformation())
    with pytest.raises(CannotScore, match="the diagnostic 'gap' reads embeddings"):
        _ = without.samples


def test_a_model_without_a_modality_is_refused_by_its_name() -> None:
    inputs = examined(fixture_f())
    fewer = replace(inputs.model, embeddings=inputs.model.embeddings.select((0, 2)))
    with pytest.raises(CannotScore, match="no embeddings of b"):
        _ = replace(inputs, predictor=fewer).samples


def test_a_vector_of_zeros_stays() -> None:
    np.testing.assert_array_equal(scaled(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 0], [0.6, 0.8]])

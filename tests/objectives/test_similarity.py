"""Similarities of samples by what is known of both."""

import math

import pytest
import torch

from clinical_symile.objectives.similarity import (
    check_similar_by,
    log_weights,
    similarity_tensors,
    smoother,
)

NAN = math.nan
VECTORS = torch.tensor([[0.5, 1.0, NAN], [1.0, NAN, 0.5], [0.0, 0.5, NAN], [NAN, NAN, 1.0]])


def test_the_cosine_is_over_measurements_known_of_both_samples():
    tensors = similarity_tensors(VECTORS.double(), torch.arange(4))
    found = log_weights(temperature=1.0)(tensors, tensors, ())
    assert found[0, 2].item() == pytest.approx(1 / math.sqrt(1.25))
    assert found[0, 1].item() == pytest.approx(1.0)  # one measurement in common
    assert found[0, 3] == -math.inf  # none
    assert found.diagonal().tolist() == [1.0] * 4
    assert torch.equal(found, found.T)


def test_linear_weights_are_half_of_one_and_the_cosine():
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]).double()
    tensors = similarity_tensors(signs, torch.arange(3))
    found = log_weights(temperature=None)(tensors, tensors, ()).exp()
    expected = torch.tensor([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]).double()
    torch.testing.assert_close(found, expected)


def test_only_labels_and_values_give_a_similarity():
    check_similar_by("values")
    with pytest.raises(ValueError, match="expected 'labels' or 'values'"):
        check_similar_by("age")


def test_a_kernel_with_a_negative_eigenvalue_is_smoothed_by_the_rest_of_it():
    kernel = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]], dtype=torch.float64)
    values, vectors = torch.linalg.eigh(kernel)
    assert values.min() < -0.2
    found = smoother(kernel, 0.3)
    positive = (vectors * values.clamp(min=0)) @ vectors.T
    expected = torch.linalg.solve(positive + 0.3 * torch.eye(3, dtype=torch.float64), positive)
    torch.testing.assert_close(found, expected)

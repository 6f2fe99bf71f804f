import math

import pytest
import torch

from clinical_symile.objectives.kernels.base import (
    MATMUL_PRECISIONS,
    check_matmul,
    is_rescaling_exact,
    multilinear_products,
    order_by_size,
    refuse_second_derivative,
)


def test_a_precision_is_one_of_pytorchs():
    for name in MATMUL_PRECISIONS:
        check_matmul(name)
    with pytest.raises(ValueError, match="unknown matmul precision 'low'; expected one of highest"):
        check_matmul("low")


def test_the_smallest_matrix_is_scaled_and_first_and_results_keep_the_given_order():
    matrices = [torch.ones(n, 2) for n in (5, 3, 4)]
    given = []

    def logsumexps(*ordered: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given.extend(ordered)
        return tuple(torch.full((len(one),), float(len(one))) for one in ordered)

    found = order_by_size(matrices, 2.0, logsumexps)
    assert [len(one) for one in given] == [3, 4, 5]
    assert given[0].tolist() == [[2.0, 2.0]] * 3
    assert given[1].tolist() == [[1.0, 1.0]] * 4
    assert [one.tolist() for one in found] == [[5.0] * 5, [3.0] * 3, [4.0] * 4]


def test_a_gradient_of_a_gradient_is_refused_where_it_is_recorded():
    with torch.no_grad():
        refuse_second_derivative()
    with pytest.raises(NotImplementedError, match="expected create_graph=False"):
        refuse_second_derivative()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rescaling_is_exact_within_the_square_root_of_the_smallest_number(dtype: torch.dtype):
    reference = torch.tensor(3.0, dtype=dtype)
    depth = -math.log(torch.finfo(dtype).tiny) / 2
    for distance, is_exact in ((0.0, True), (0.99 * depth, True), (1.01 * depth, False)):
        for sign in (1, -1):
            found = [reference.reshape(1), (reference + sign * distance).reshape(1)]
            assert is_rescaling_exact(found, reference) == is_exact


def test_a_positive_logit_is_the_sum_over_dimensions_of_the_product_of_all_modalities():
    factors = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]) for _ in range(3)]
    assert multilinear_products(factors).tolist() == [1 + 8, 27 + 64]

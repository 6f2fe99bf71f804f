"""Reductions of tiles are those of the whole matrix, whatever the tiles."""

import pytest
import torch

from clinical_symile.objectives.kernels.scores import (
    Excluded,
    ScoreReductions,
    inner_product_score,
    own_scores,
    reduce_scores,
    squared_distance_score,
    squared_distances,
)


def random_sides(rng, left=7, right=5, dim=3):
    return [
        torch.from_numpy(rng.standard_normal(shape)).requires_grad_()
        for shape in ((left, dim), (right, dim))
    ]


@pytest.mark.parametrize("tile_cells", [1, 6, 10_000])
@pytest.mark.parametrize("score", [inner_product_score, squared_distance_score])
def test_values_are_those_of_the_whole_matrix(score, tile_cells, rng):
    left, right = random_sides(rng)
    scale = torch.tensor(3.0, dtype=torch.float64)
    matrix = score([left], [right], [scale])
    found = reduce_scores(score, [left], [right], [scale], tile_cells=tile_cells)
    torch.testing.assert_close(found.rows, matrix.logsumexp(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.columns, matrix.logsumexp(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.row_sums, matrix.sum(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.column_sums, matrix.sum(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tile_cells", [4, 1000])
def test_gradients_are_those_of_finite_differences(tile_cells, rng):
    left, right = random_sides(rng)
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    excluded = Excluded(torch.arange(7), torch.tensor([0, 1, 1, 9, 9]))

    def reductions(*tensors):
        return tuple(
            reduce_scores(
                inner_product_score,
                [tensors[0]],
                [tensors[1]],
                [tensors[2]],
                excluded=excluded,
                tile_cells=tile_cells,
            )
        )

    assert torch.autograd.gradcheck(reductions, (left, right, scale))


def test_excluded_cells_take_no_part(rng):
    left, right = random_sides(rng, 4, 4)
    codes = torch.tensor([0, 1, 2, 0])
    matrix = (left @ right.T).detach()
    kept = codes[:, None] != codes
    one = torch.ones((), dtype=torch.float64)
    found = reduce_scores(
        inner_product_score, [left], [right], [one], excluded=Excluded(codes, codes), tile_cells=3
    )
    for i in range(4):
        row = [matrix[i, j] for j in range(4) if kept[i, j]]
        assert found.rows[i].item() == pytest.approx(torch.stack(row).logsumexp(0).item())
        assert found.row_sums[i].item() == pytest.approx(sum(float(v) for v in row))


def test_a_row_without_cells_has_minus_infinity_and_no_gradient(rng):
    left, right = random_sides(rng, 2, 2)
    codes = Excluded(torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long))
    one = torch.ones((), dtype=torch.float64)
    found = reduce_scores(inner_product_score, [left], [right], [one], excluded=codes)
    assert (found.rows == -torch.inf).all()
    assert (found.row_sums == 0).all()
    (found.row_sums.sum() + found.column_sums.sum()).backward()
    assert left.grad is not None
    assert (left.grad == 0).all()


@pytest.mark.parametrize("count", [1, 16, 37])
def test_own_scores_are_the_diagonal(count, rng):
    left, right = random_sides(rng, count, count)
    one = torch.ones((), dtype=torch.float64)
    found = own_scores(inner_product_score, [left], [right], [one])
    torch.testing.assert_close(found, (left * right).sum(dim=1))


def test_large_scores_do_not_overflow():
    z = torch.tensor([[1000.0], [1.0]])
    found = reduce_scores(inner_product_score, [z], [z], [torch.tensor(1000.0)])
    assert found.rows[0].item() == pytest.approx(1e9)


def test_no_more_than_the_inputs_and_two_vectors_is_kept_for_backward(rng):
    left, right = random_sides(rng, 300, 200)
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        reduce_scores(inner_product_score, [left], [right], [scale])
    assert sum(kept) == left.numel() + right.numel() + 1 + 300 + 200


def test_second_derivatives_are_refused(rng):
    left, right = random_sides(rng)
    one = torch.ones((), dtype=torch.float64)
    found = reduce_scores(inner_product_score, [left], [right], [one]).rows.sum()
    with pytest.raises(NotImplementedError, match="has no gradient itself"):
        torch.autograd.grad(found, left, create_graph=True)


def test_squared_distances_are_never_negative():
    z = torch.full((3, 4), 0.1)
    assert (squared_distances(z, z) >= 0).all()
    assert squared_distances(z, z + 1)[0, 0].item() == pytest.approx(4)


@pytest.mark.parametrize("name", ScoreReductions._fields)
def test_one_reduction_alone_is_the_same_to_the_bit_and_the_others_are_unknown(name, rng):
    sides = random_sides(rng)
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    excluded = Excluded(torch.arange(7), torch.tensor([0, 1, 1, 9, 9]))
    found, gradients = {}, {}
    for only in (None, name):
        reduced = reduce_scores(
            inner_product_score, sides[:1], sides[1:], [scale], excluded=excluded, only=only
        )
        found[only] = getattr(reduced, name)
        gradients[only] = torch.autograd.grad(found[only].square().sum(), [*sides, scale])
        others = [value for key, value in reduced._asdict().items() if key != name]
        assert all(value.isnan().all() for value in others) == (only is not None)
    assert torch.equal(found[None], found[name])
    for whole, alone in zip(gradients[None], gradients[name], strict=True):
        assert torch.equal(whole, alone)

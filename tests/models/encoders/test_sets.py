"""Labs as a set: the order of analytes and those that are not measured change nothing."""

import pytest
import torch
from torch import Tensor

from clinical_symile.models.encoders.sets import AnalyteSet


@pytest.fixture
def encoder() -> AnalyteSet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AnalyteSet((2, 5), 6, width=8, layers=2, heads=2).double()


@pytest.fixture
def labs(generator: torch.Generator) -> Tensor:
    values = torch.rand(4, 5, generator=generator, dtype=torch.float64)
    measured = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]])
    return torch.stack([values, measured.double()], dim=1)


def test_the_order_of_analytes_changes_nothing(encoder: AnalyteSet, labs: Tensor) -> None:
    before, order = encoder(labs), torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        encoder.analytes.copy_(encoder.analytes[order].clone())
    torch.testing.assert_close(encoder(labs[:, :, order]), before)


def test_an_analyte_that_is_not_measured_is_no_token(encoder: AnalyteSet, labs: Tensor) -> None:
    before = encoder(labs)
    hidden = labs[:, 1] == 0
    for value in (torch.nan, 7.0):
        changed = labs.clone()
        changed[:, 0][hidden] = value
        assert torch.equal(encoder(changed), before)
    # A model that never knew the second and the fourth analyte encodes sample 1 alike.
    kept = torch.tensor([0, 2, 4])
    smaller = AnalyteSet((2, 3), 6, width=8, layers=2, heads=2).double()
    weights = encoder.state_dict()
    smaller.load_state_dict({**weights, "analytes": weights["analytes"][kept]})
    torch.testing.assert_close(smaller(labs[1:2, :, kept]), before[1:2])


def test_a_sample_without_any_has_a_vector_of_its_own(encoder: AnalyteSet, labs: Tensor) -> None:
    found = encoder(labs)
    assert torch.isfinite(found).all()
    assert not torch.allclose(found[3], found[2])
    encoder.zero_grad()
    found[3].sum().backward()
    assert encoder.analytes.grad is not None
    assert (encoder.analytes.grad == 0).all()


def test_its_tokens_say_which_analytes_are_measured(encoder: AnalyteSet, labs: Tensor) -> None:
    tokens = encoder.tokens(labs)
    assert encoder.token_shape == tokens.shape[1:] == (6, 9)
    assert torch.equal(encoder.exists(tokens)[:, 1:], labs[:, 1] == 1)
    assert encoder.exists(tokens)[:, 0].all()  # the learned one
    standardized = (labs[1, 0, 2:3] - 0.5) * 12**0.5  # uniform from 0 to 1
    expected = encoder.analytes[2] + encoder.values(standardized)
    torch.testing.assert_close(tokens[1, 3, :-1], expected)


def test_a_value_moves_its_token_visibly_from_the_start() -> None:
    """From the 10th to the 90th percentile a token moves by a good part of its own length.

    With the percentiles as they are it moved by less than a fifth, and was not learned.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = AnalyteSet((2, 25), 16)
    ends = [torch.stack([torch.full((1, 25), at), torch.ones(1, 25)], dim=1) for at in (0.1, 0.9)]
    low, high = (encoder.tokens(labs)[:, 1:, :-1] for labs in ends)
    assert (high - low).norm(dim=2).mean() > 0.2 * encoder.analytes.norm(dim=1).mean()


def test_the_scale_of_percentiles_is_kept_with_the_weights(
    encoder: AnalyteSet, labs: Tensor
) -> None:
    """So that weights that were trained without one read percentiles as they are."""
    encoder.load_state_dict({**encoder.state_dict(), "read_as": torch.tensor([0.0, 1.0])})
    expected = encoder.analytes[2] + encoder.values(labs[1, 0, 2:3])
    torch.testing.assert_close(encoder.tokens(labs)[1, 3, :-1], expected)


@pytest.mark.parametrize("shape", [(1, 8, 8), (5,), (3, 5), (12, 100)])
def test_inputs_that_are_no_labs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[2, analyte\]"):
        AnalyteSet(shape, 6)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="heads is 3; expected a divisor of the width 64"):
        AnalyteSet((2, 5), 6, heads=3)
    with pytest.raises(ValueError, match="layers is 0"):
        AnalyteSet((2, 5), 6, layers=0)

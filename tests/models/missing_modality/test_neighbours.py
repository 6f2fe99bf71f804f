"""A missing embedding is taken from similar train samples, on what both have."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.models.missing_modality.neighbours import fit_neighbours, neighbour_vectors

MODALITIES = ("cxr", "ecg", "labs")


def bank(z: Tensor, available: Tensor) -> Embeddings:
    hidden = torch.where(available[:, :, None], z, 0.0)
    return Embeddings(hidden, available, MODALITIES, torch.arange(len(z)))


def drawn(samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return normalize(torch.randn(samples, 3, 4, generator=generator), dim=2)


def test_one_neighbour_that_is_identical_gives_its_vector():
    z = drawn(6)
    train = bank(z, torch.ones(6, 3, dtype=torch.bool))
    without_labs = torch.tensor([[True, True, False]] * 6)
    asked = torch.where(without_labs[:, :, None], z, 0.0)
    found = neighbour_vectors(train, 1, asked, without_labs)
    torch.testing.assert_close(found[:, 2], z[:, 2])


def test_weights_are_a_softmax_of_mean_cosines_of_what_both_have_by_hand():
    z, available = drawn(4), torch.ones(4, 3, dtype=torch.bool)
    available[1, 0] = False  # compared by the ECG alone
    available[2, 2] = False  # has no labs to give
    asked = torch.where(torch.tensor([1, 1, 0])[None, :, None] == 1, drawn(5)[4:], 0.0)
    has = torch.tensor([[True, True, False]])
    found = neighbour_vectors(bank(z, available), 10, asked, has)[0, 2]
    cosines = [
        (asked[0, 0] @ z[0, 0] + asked[0, 1] @ z[0, 1]) / 2,
        asked[0, 1] @ z[1, 1],
        (asked[0, 0] @ z[3, 0] + asked[0, 1] @ z[3, 1]) / 2,
    ]
    weights = (torch.stack(cosines) / 0.1).softmax(dim=0)
    torch.testing.assert_close(found, weights @ z[[0, 1, 3], 2])


def test_nothing_in_common_gives_the_mean_and_no_sample_gives_zeros():
    z, available = drawn(4), torch.ones(4, 3, dtype=torch.bool)
    available[:, 0] = False
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    found = neighbour_vectors(bank(z, available), 2, torch.zeros(2, 3, 4), nothing)
    torch.testing.assert_close(found[:, 1], z[:, 1].mean(dim=0).expand(2, -1))
    assert (found[:, 0] == 0).all()
    alone = torch.tensor([[True, False, False]])
    (fill,) = fit_neighbours(bank(z, available), 0)
    torch.testing.assert_close(fill(drawn(1), alone)[:, 2], z[:, 2].mean(dim=0)[None])


def test_many_samples_are_compared_in_parts(monkeypatch):
    train, asked = bank(drawn(9), torch.ones(9, 3, dtype=torch.bool)), drawn(9).flip(0)
    has = torch.tensor([[True, False, True]] * 9)
    whole = neighbour_vectors(train, 3, asked, has)
    monkeypatch.setattr("clinical_symile.models.missing_modality.neighbours._CELLS", 30)
    torch.testing.assert_close(neighbour_vectors(train, 3, asked, has), whole)
    assert neighbour_vectors(train, 3, asked[:0], has[:0]).shape == (0, 3, 4)

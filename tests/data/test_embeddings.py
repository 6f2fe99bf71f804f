from dataclasses import replace

import pytest
import torch

from clinical_symile.data.embeddings import Embeddings

MODALITIES = ("cxr", "ecg", "labs")


@pytest.fixture
def embeddings(generator: torch.Generator) -> Embeddings:
    """Four samples; the second has no X-ray, the fourth labs alone."""
    available = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 1, 1], [0, 0, 1]], dtype=torch.bool)
    z = torch.randn(4, 3, 5, generator=generator)
    return Embeddings(
        z=torch.where(available[:, :, None], z, 0.0),
        available=available,
        modalities=MODALITIES,
        rows=torch.tensor([10, 11, 12, 13]),
    )


def _visible(*rows: tuple[int, int, int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


WITHOUT_ECG = _visible(*[(1, 0, 1)] * 4)


def test_what_is_hidden_is_zero_and_not_present(embeddings: Embeddings) -> None:
    hidden = embeddings.with_visible(WITHOUT_ECG)
    assert not hidden.available[:, 1].any()
    assert not hidden.z[:, 1].any()
    assert torch.equal(hidden.z[:, [0, 2]], embeddings.z[:, [0, 2]])
    assert torch.equal(hidden.available[:, [0, 2]], embeddings.available[:, [0, 2]])
    assert torch.equal(hidden.rows, embeddings.rows)


def test_hiding_twice_is_hiding_once(embeddings: Embeddings) -> None:
    once = embeddings.with_visible(WITHOUT_ECG)
    twice = once.with_visible(WITHOUT_ECG)
    assert torch.equal(once.z, twice.z)
    assert torch.equal(once.available, twice.available)


def test_nothing_absent_becomes_visible(embeddings: Embeddings) -> None:
    shown = embeddings.with_visible(torch.ones(4, 3, dtype=torch.bool))
    assert torch.equal(shown.available, embeddings.available)
    assert torch.equal(shown.z, embeddings.z)


def test_not_even_nan_shines_through_what_is_hidden(embeddings: Embeddings) -> None:
    embeddings.z[:, 1] = torch.nan
    embeddings.z[~embeddings.available] = torch.nan
    assert embeddings.with_visible(WITHOUT_ECG).z.isfinite().all()


def test_hiding_leaves_the_embeddings_it_was_asked_of_as_they_were(embeddings: Embeddings) -> None:
    before = embeddings.z.clone(), embeddings.available.clone()
    embeddings.with_visible(WITHOUT_ECG)
    assert torch.equal(embeddings.z, before[0])
    assert torch.equal(embeddings.available, before[1])


def test_samples_are_taken_in_the_order_asked_for(embeddings: Embeddings) -> None:
    taken = embeddings.take(torch.tensor([2, 0, 2]))
    assert taken.rows.tolist() == [12, 10, 12]
    for place, sample in enumerate((2, 0, 2)):
        assert torch.equal(taken.z[place], embeddings.z[sample])
        assert torch.equal(taken.available[place], embeddings.available[sample])


def test_without_a_substitute_only_what_is_present_counts(embeddings: Embeddings) -> None:
    z, counts = embeddings.with_substitutes()
    assert torch.equal(z, embeddings.z)
    assert torch.equal(counts, embeddings.available)


def test_a_substitute_stands_in_every_absent_slot_and_nowhere_else(embeddings: Embeddings) -> None:
    substitute = torch.arange(15.0).reshape(3, 5)
    z, counts = Embeddings(
        z=embeddings.z,
        available=embeddings.available,
        modalities=MODALITIES,
        rows=embeddings.rows,
        substitute=substitute,
    ).with_substitutes()
    assert counts.all()
    for sample in range(4):
        for modality in range(3):
            own = embeddings.z[sample, modality]
            expected = own if embeddings.available[sample, modality] else substitute[modality]
            assert torch.equal(z[sample, modality], expected)


def test_means_and_log_variances_are_kept_together(embeddings: Embeddings) -> None:
    assert torch.equal(embeddings.means, embeddings.z)
    assert embeddings.log_variance is None
    both = replace(embeddings, z=torch.cat([embeddings.z, embeddings.z + 1], dim=2), spread=True)
    index = torch.tensor([2, 0])
    for kept in (both.take(index), both.take(index).to("cpu"), both.take(index).select((0, 1, 2))):
        assert kept.log_variance is not None
        assert torch.equal(kept.means, embeddings.z[index])
        assert torch.equal(kept.log_variance, embeddings.z[index] + 1)
    hidden = both.with_visible(WITHOUT_ECG)
    assert hidden.log_variance is not None
    assert (hidden.log_variance[:, 1] == 0).all()
    assert (hidden.log_variance[0, [0, 2]] == embeddings.z[0, [0, 2]] + 1).all()


def test_an_odd_width_cannot_hold_variances(embeddings: Embeddings) -> None:
    with pytest.raises(ValueError, match="with variances have width 5; expected an even one"):
        replace(embeddings, spread=True)

import pytest
import torch

from clinical_symile.models.augmentations import ShiftImage, ShiftSignal


def test_an_image_is_moved_by_whole_pixels_and_its_edges_are_repeated(
    generator: torch.Generator,
) -> None:
    images = torch.randn(50, 1, 6, 5, generator=generator)
    seed = torch.Generator().manual_seed(3)
    moved = ShiftImage(most_px=2)(images, generator=torch.Generator().manual_seed(3))
    down, across = torch.randint(-2, 3, (2, 50), generator=seed).tolist()
    assert set(down) == set(across) == {-2, -1, 0, 1, 2}
    for sample in range(50):
        for y in range(6):
            for x in range(5):
                top, left = y - down[sample], x - across[sample]
                expected = images[sample, 0, min(max(top, 0), 5), min(max(left, 0), 4)]
                assert moved[sample, 0, y, x] == expected


def test_the_leads_of_a_recording_are_moved_together(generator: torch.Generator) -> None:
    signals = torch.randn(40, 3, 20, generator=generator)
    moved = ShiftSignal(most_ms=4)(signals, generator=torch.Generator().manual_seed(3))
    (later,) = torch.randint(-2, 3, (1, 40), generator=torch.Generator().manual_seed(3)).tolist()
    for sample, by in enumerate(later):
        for time in range(20):
            expected = signals[sample, :, min(max(time - by, 0), 19)]
            assert torch.equal(moved[sample, :, time], expected)


@pytest.mark.parametrize(
    ("change", "shape"), [(ShiftImage(most_px=3), (1, 8, 8)), (ShiftSignal(most_ms=8), (12, 30))]
)
def test_what_is_absent_stays_zero_and_the_same_seed_moves_alike(
    change: ShiftImage | ShiftSignal, shape: tuple[int, ...], generator: torch.Generator
) -> None:
    inputs = torch.rand(6, *shape, generator=generator) + 1
    inputs[2] = 0
    first, again, other = (
        change(inputs, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not first[2].any()
    assert (first[[0, 1, 3, 4, 5]] >= 1).all()


def test_a_shift_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="most_px moves by 0 stored values; expected at least 1"):
        ShiftImage(most_px=0)
    with pytest.raises(ValueError, match="most_ms moves by 0 stored values"):
        ShiftSignal(most_ms=1)

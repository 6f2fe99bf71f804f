import math

import pytest
import torch

from clinical_symile.models.augmentations import (
    ShiftImage,
    ShiftSignal,
    VaryImage,
    VarySignal,
    VaryValues,
)


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


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


STILL = [
    (VaryImage(shift=0.0, degrees=0.0, contrast=0.0, brightness=0.0), (1, 9, 7)),
    (VaryValues(noise=0.0, hidden=0.0), (2, 6)),
]
MOVING = [(VaryImage(), (1, 9, 7)), (VarySignal(), (12, 80)), (VaryValues(hidden=0.4), (2, 6))]


@pytest.mark.parametrize(("change", "shape"), STILL)
def test_limits_of_zero_change_nothing(change, shape, generator: torch.Generator) -> None:
    inputs = torch.rand(5, *shape, generator=generator)
    if shape[0] == 2:
        inputs[:, 1] = 1
    torch.testing.assert_close(change(inputs, generator=drawn()), inputs)


@pytest.mark.parametrize(("change", "shape"), MOVING)
def test_a_seed_varies_alike_and_what_is_absent_stays_zero(
    change, shape, generator: torch.Generator
) -> None:
    inputs = torch.rand(6, *shape, generator=generator) + 0.5
    inputs[2] = 0
    first, again, other = (change(inputs, generator=drawn(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not first[2].any()
    assert (first[[0, 1, 3, 4, 5]] != inputs[[0, 1, 3, 4, 5]]).flatten(1).any(dim=1).all()


def test_an_image_is_shifted_by_a_share_of_its_side() -> None:
    image = torch.zeros(200, 1, 21, 21)
    image[:, :, 10, 10] = 1.0
    moved = VaryImage(shift=0.2, degrees=0.0, contrast=0.0, brightness=0.0)(
        image, generator=drawn()
    )
    places = torch.arange(21, dtype=torch.float32)
    for profile in (moved.sum(dim=(1, 2)), moved.sum(dim=(1, 3))):
        by = (profile * places).sum(dim=1) - 10
        assert by.abs().max() <= 0.2 * 21 + 1e-3
        assert by.abs().max() > 3
        assert abs(by.mean()) < 0.5


def test_an_image_is_turned_about_its_middle_by_no_more_than_the_limit() -> None:
    image = torch.zeros(100, 1, 41, 41)
    image[:, :, 20, 35] = 1.0
    turned = VaryImage(shift=0.0, degrees=30.0, contrast=0.0, brightness=0.0)(
        image, generator=drawn()
    )
    places = torch.arange(41, dtype=torch.float32) - 20
    mass = turned.sum(dim=(1, 2, 3))
    x = (turned.sum(dim=(1, 2)) * places).sum(dim=1) / mass
    y = (turned.sum(dim=(1, 3)) * places).sum(dim=1) / mass
    angles = torch.atan2(y, x).rad2deg()
    assert 25 < angles.abs().max() <= 30 + 1
    torch.testing.assert_close(x.hypot(y), torch.full((100,), 15.0), rtol=0.02, atol=0)


def test_exposure_moves_the_mean_and_scales_the_differences(generator: torch.Generator) -> None:
    image = torch.rand(50, 1, 8, 8, generator=generator)
    varied = VaryImage(shift=0.0, degrees=0.0, contrast=0.2, brightness=0.3)(
        image, generator=drawn()
    )
    before, after = image.flatten(1), varied.flatten(1)
    factor = after.std(dim=1) / before.std(dim=1)
    assert ((factor - 1).abs() <= 0.2 + 1e-5).all()
    assert (factor - 1).abs().max() > 0.15
    moved = (after.mean(dim=1) - before.mean(dim=1)) / before.std(dim=1, correction=0)
    assert (moved.abs() <= 0.3 + 1e-5).all()
    assert moved.abs().max() > 0.2


def test_leads_are_silenced_by_themselves_and_one_is_kept(generator: torch.Generator) -> None:
    signals = torch.rand(300, 12, 10, generator=generator) + 1
    varied = VarySignal(most_ms=2, scale=0.0, silent=0.25)(signals, generator=drawn(7))
    silent = (varied == 0).all(dim=2)
    assert silent.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (varied[~silent] >= 1).all()
    all_but_one = VarySignal(most_ms=2, scale=0.0, silent=1.0)(signals, generator=drawn())
    assert ((all_but_one == 0).all(dim=2).sum(dim=1) == 11).all()
    louder = VarySignal(most_ms=2, scale=0.1, silent=0.0)(torch.ones(200, 3, 10), generator=drawn())
    assert (louder == louder[:, :1, :1]).all()
    assert 0.9 <= louder.min() < 0.92
    assert 1.08 < louder.max() <= 1.1


def test_values_are_noisy_where_measured_and_hidden_ones_count_as_not_measured(
    generator: torch.Generator,
) -> None:
    percentiles = torch.rand(400, 5, generator=generator)
    measured = (torch.rand(400, 5, generator=generator) < 0.7).float()
    values = torch.stack([percentiles, measured], dim=1)
    varied = VaryValues(noise=0.05, hidden=0.3)(values, generator=drawn(7))
    kept, was = varied[:, 1] > 0, measured > 0
    assert not (kept & ~was).any()
    assert (was & ~kept).sum() / was.sum() == pytest.approx(0.3, abs=0.03)
    assert (varied[:, 0][was & ~kept] == 0.5).all()
    assert torch.equal(varied[:, 0][~was], percentiles[~was])
    inner = kept & (percentiles > 0.2) & (percentiles < 0.8)
    assert (varied[:, 0] - percentiles)[inner].std().item() == pytest.approx(0.05, abs=0.005)
    assert varied[:, 0].min() >= 0
    assert varied[:, 0].max() <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VaryImage(shift=1.5), "shift is 1.5; expected a number from 0 to 1"),
        (lambda: VaryImage(brightness=math.inf), "brightness is inf"),
        (lambda: VarySignal(silent=-0.1), "silent is -0.1"),
        (lambda: VarySignal(most_ms=1), "most_ms moves by 0 stored values"),
        (
            lambda: VaryValues(hidden=2.0, noise=-1.0),
            r"noise is -1.0; expected .* hidden is 2.0; expected",
        ),
    ],
)
def test_limits_out_of_range_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

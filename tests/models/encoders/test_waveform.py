from typing import Any

import pytest
import torch

from clinical_symile.models.encoders.waveform import ResNet1d, ResNet18Raster


def test_a_rate_that_does_not_divide_500_hz_is_refused() -> None:
    with pytest.raises(ValueError, match="sampling_rate_hz is 120; expected a divisor of 500"):
        ResNet1d((12, 5000), 8, sampling_rate_hz=120)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 0}, "width is 0"),
        ({"blocks": 0, "stem_stride": 0}, "stem_stride is 0, blocks is 0"),
        ({"sampling_rate_hz": -100}, "sampling_rate_hz is -100"),
    ],
)
def test_a_network_over_time_that_carries_nothing_is_refused(
    wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{said}; expected a whole number of 1 or more"):
        ResNet1d((12, 5000), 8, **wrong)


def test_signals_are_averaged_down_to_the_rate(generator: torch.Generator) -> None:
    # 500 / 100 = 5: the mean of every five values is all that is seen.
    encoder = ResNet1d((12, 1000), 8, sampling_rate_hz=100, width=4).eval()
    signal = torch.randn(2, 12, 1000, generator=generator)
    flat = signal.unflatten(2, (200, 5)).mean(dim=3).repeat_interleave(5, dim=2)
    torch.testing.assert_close(encoder(signal), encoder(flat), rtol=1e-4, atol=1e-5)


def test_the_order_of_leads_matters_to_the_raster(generator: torch.Generator) -> None:
    encoder = ResNet18Raster((12, 500), 8).eval()
    signal = torch.randn(2, 12, 500, generator=generator)
    assert not torch.allclose(encoder(signal), encoder(signal.flip(1)))

"""The DenseNet of torchxrayvision reads gray levels on that library's scale."""

from pathlib import Path

import torch
import torchxrayvision
from safetensors.torch import load_file

from clinical_symile.models.encoders.xrayvision import XRayVision
from tests.helpers.tiny_encoders import xrayvision_arguments


def test_features_are_those_of_the_library_on_its_own_scale(
    tmp_path: Path, generator: torch.Generator
):
    with torch.random.fork_rng(devices=[]):
        arguments = xrayvision_arguments(tmp_path)
        encoder = XRayVision((1, 224, 224), 6, **arguments).eval()
        plain = torchxrayvision.models.DenseNet(weights=None)
    plain.load_state_dict(load_file(arguments["weights"]))
    levels = torch.randint(0, 256, (1, 1, 224, 224), generator=generator)
    image = levels / 255
    normalized = torch.from_numpy(torchxrayvision.datasets.normalize(levels.float().numpy(), 255))
    torch.testing.assert_close(encoder.prepare(image), normalized, rtol=0, atol=1e-3)
    assert encoder.prepare(torch.tensor([[[[0.0, 1.0]]]]).expand(1, 1, 224, 2)).aminmax() == (
        -1024.0,
        1024.0,
    )
    with torch.no_grad():
        features = plain.eval().features2(normalized)
        torch.testing.assert_close(encoder(image), encoder.head(features), rtol=1e-3, atol=1e-4)

"""The example of the plug-in guide that reads labels does what its first line says."""

import re
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from clinical_symile.objectives.clip import Clip
from tests.helpers.objective_values import loss_value

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "plugin.md"


def test_the_objective_of_the_guide_is_clip_without_negatives_of_equal_labels(
    generator: torch.Generator,
):
    z = normalize(torch.randn(4, 3, 5, generator=generator, dtype=torch.float64), dim=-1)
    section = GUIDE.read_text(encoding="utf-8").partition("### An objective that reads labels")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {"__name__": "guide"}
    exec(found.group(1), names)

    def loss(labels: list[float]) -> float:
        made = names["OtherLabels"](temperature=0.1)
        column = torch.tensor(labels, dtype=torch.float32)[:, None]
        return loss_value(made, z, temperature=0.1, labels=column)

    clip = loss_value(Clip(temperature=0.1), z, temperature=0.1)
    assert abs(loss([torch.nan, torch.nan, -1, -1]) - clip) < 1e-10
    assert loss([1, 1, 1, 1]) == 0, "all are alike: there is no negative"
    assert 0 < loss([1, 1, 0, torch.nan]) < clip

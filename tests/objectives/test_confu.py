"""ConFu against CLIP's losses of its parts and known values."""

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.confu import ConFu, Fusion
from tests.helpers.dense import dense_clip_loss
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch


class Mean(nn.Module):
    """The normalized sum, with which known values were computed."""

    def forward(self, z):
        return normalize(z.sum(dim=1), dim=1)


def with_means(modalities=3, **arguments) -> ConFu:
    objective = ConFu(**arguments)
    connected(objective, dim=3, modalities=modalities)
    objective.fusions = nn.ModuleList([Mean() for _ in range(modalities)])
    return objective


def test_it_has_its_known_values(fixture_f, without_last_labs):
    found = loss_value(with_means(), fixture_f, temperature=0.1)
    assert found == pytest.approx(5.748931532274, abs=1e-10)
    found = loss_value(with_means(), fixture_f, without_last_labs, temperature=0.1)
    assert found == pytest.approx(5.897265599610, abs=1e-10)


@pytest.mark.parametrize("modalities", [3, 4])
def test_the_loss_is_the_sum_of_its_parts(modalities, rng):
    z = unit_batch(rng, 6, modalities)
    available = torch.from_numpy(rng.random((6, modalities)) < 0.8)
    available[:2] = True
    objective = connected(ConFu(fused_share=0.3), modalities=modalities)
    found = loss_value(objective, z, available, temperature=0.2)
    five = torch.tensor(5.0, dtype=torch.float64)
    complete = z[available.all(dim=1)]
    fused = []
    with torch.no_grad():
        for target, fusion in enumerate(objective.fusions):
            others = [m for m in range(modalities) if m != target]
            both = torch.stack([fusion(complete[:, others]), complete[:, target]], dim=1)
            whole = torch.ones(both.shape[:2], dtype=torch.bool)
            fused.append(dense_clip_loss(both, five, whole))
    pairs = dense_clip_loss(z, five, available)
    expected = (0.3 * torch.stack(fused).mean() + 0.7 * pairs) / 2
    assert found == pytest.approx(expected.item(), rel=1e-11)


def test_without_a_fused_share_it_is_half_of_clip(rng):
    z = unit_batch(rng, 5)
    every = torch.ones(5, 3, dtype=torch.bool)
    five = torch.tensor(5.0, dtype=torch.float64)
    found = loss_value(connected(ConFu(fused_share=0.0)), z, temperature=0.2)
    assert found == pytest.approx(dense_clip_loss(z, five, every).item() / 2, rel=1e-12)


def test_the_score_is_the_fusion_or_the_modality_that_is_left(fixture_f):
    available = torch.tensor([[True, True, True], [True, True, False]])
    query = Embeddings(fixture_f[:2], available, MODALITIES[:3], torch.arange(2))
    scores = with_means().score(query, fixture_f[:, 0], target="cxr")
    known = [-0.774596669241, 0.387298334621, 0.150755672289, 1.0]
    assert scores[0].tolist() == pytest.approx(known, abs=1e-11)
    torch.testing.assert_close(scores[1], fixture_f[1, 1] @ fixture_f[:, 0].T)


def test_a_fusion_has_unit_length_and_seeded_weights(rng):
    z = unit_batch(rng, 5, 2)
    first, second = (
        Fusion(2, 4, hidden=8, generator=torch.Generator().manual_seed(3)).double()
        for _ in range(2)
    )
    assert torch.equal(first(z), second(z))
    assert first(z).norm(dim=1).tolist() == pytest.approx([1] * 5)


def interaction(fusion: nn.Module, z: torch.Tensor) -> float:
    """Return the share of a fusion of two modalities that is no sum of a function of each."""
    n = len(z)
    grid = torch.stack([z[:, None, 0].expand(n, n, -1), z[None, :, 1].expand(n, n, -1)], dim=2)
    with torch.no_grad():
        fused = fusion(grid.flatten(0, 1)).unflatten(0, (n, n))
    whole = fused - fused.mean(dim=(0, 1))
    rest = whole - whole.mean(dim=0, keepdim=True) - whole.mean(dim=1, keepdim=True)
    return (rest.square().sum() / whole.square().sum()).item()


def test_a_new_fusion_is_far_from_a_sum_and_is_not_without_its_factor(rng):
    z = unit_batch(rng, 40, 2, dim=64)
    fusion = Fusion(2, 64, hidden=128, generator=torch.Generator().manual_seed(0)).double()
    assert interaction(fusion, z) > 0.1
    with torch.no_grad():
        fusion.input_scale.fill_(1.0)
    assert interaction(fusion, z) < 0.05


def test_weights_of_a_fusion_without_the_factor_are_refused():
    fusion = Fusion(2, 4, hidden=8, generator=torch.Generator().manual_seed(0))
    before = {name: value for name, value in fusion.state_dict().items() if name != "input_scale"}
    with pytest.raises(RuntimeError, match="input_scale"):
        fusion.load_state_dict(before)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"fused_share is 2.0; .* hidden is 0; expected a"):
        ConFu(fused_share=2.0, hidden=0)
    with pytest.raises(ValueError, match="expected 3 or more, found 2"):
        connected(ConFu(), modalities=2)

"""CoMM against its definition in loops and known values."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import Batch
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.comm import CoMm
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.slots import FewSamplesError
from clinical_symile.objectives.views import EncodedView
from tests.helpers.objective_values import MODALITIES, connected, unit_batch


class Mean(nn.Module):
    """The normalized mean of what is visible, with which known values were computed."""

    def forward(self, z, visible):
        return normalize((z * visible[:, :, None]).sum(dim=1), dim=1)


def _made(*, dim: int = 4, tokens: int = 2, temperature: float = 0.1) -> CoMm:
    objective = connected(CoMm(width=8, heads=2, tokens=tokens), dim=dim)
    assert objective.log_logit_scale is not None
    with torch.no_grad():
        objective.log_logit_scale.copy_(torch.tensor(-math.log(temperature), dtype=torch.float64))
    return objective


def _batch(z: Tensor, available: Tensor | None = None) -> Embeddings:
    if available is None:
        available = torch.ones(z.shape[:2], dtype=torch.bool)
    return Embeddings(z, available, MODALITIES[: z.shape[1]], torch.arange(len(z)))


def _loss(objective: CoMm, first: Embeddings, second: Embeddings):
    inputs = ObjectiveInput(first, SideInformation(first.rows), (EncodedView(second),))
    return objective.training_loss(inputs, group=None)


def _nt_xent(x, y, tau: float) -> float:
    tokens, n, total = [*x, *y], len(x), 0.0
    for i, token in enumerate(tokens):
        logits = {j: float(token @ other) / tau for j, other in enumerate(tokens) if j != i}
        total += math.log(sum(map(math.exp, logits.values()))) - logits[(i + n) % (2 * n)]
    return total / (2 * n)


def test_it_has_its_known_values(fixture_f) -> None:
    objective = _made(dim=3, tokens=3)
    objective.add_module("fusion", Mean())
    loss = _loss(objective, _batch(fixture_f), _batch(fixture_f))
    assert loss.total.item() == pytest.approx(3.129728696303, abs=1e-10)
    alone = (4.461553732708 + 4.327913682214 + 3.704036333768) / 4
    assert loss.terms["single"].item() == pytest.approx(alone, abs=1e-10)


def test_the_loss_is_its_definition_in_loops(rng) -> None:
    objective = _made(temperature=0.2)
    available = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0], [1, 0, 0]]).bool()
    views = [_batch(unit_batch(rng, 5), available) for _ in range(2)]
    found = _loss(objective, *views)

    def fused(view: Embeddings, sample: int, columns: list[int]) -> Tensor:
        seen = torch.zeros(1, 3, dtype=torch.bool)
        seen[0, columns] = True
        with torch.no_grad():
            return objective.fusion(view.z[sample][None] * seen[:, :, None], seen)[0]

    has = [available[i].nonzero()[:, 0].tolist() for i in range(5)]
    everything = [[fused(view, i, has[i]) for i in range(5)] for view in views]
    terms = [_nt_xent(everything[0], everything[1], 0.2)]
    for k in range(3):
        rows = [i for i in range(5) if k in has[i]]
        alone = [[fused(view, i, [k]) for i in rows] for view in views]
        whole = [[of_view[i] for i in rows] for of_view in everything]
        terms.append((_nt_xent(alone[0], whole[1], 0.2) + _nt_xent(alone[1], whole[0], 0.2)) / 2)
    assert found.total.item() == pytest.approx(sum(terms) / 4, rel=1e-10)
    assert found.terms["fused"].item() == pytest.approx(terms[0] / 4, rel=1e-10)


def test_a_modality_of_one_sample_has_no_term(rng) -> None:
    available = torch.ones(4, 3, dtype=torch.bool)
    available[1:, 2] = False
    objective, views = _made(), [_batch(unit_batch(rng, 4), available) for _ in range(2)]
    with torch.no_grad():
        fused = [objective.fusion(v.z * available[:, :, None], available) for v in views]
    terms = _loss(objective, *views).terms
    assert terms["fused"].item() == pytest.approx(_nt_xent(fused[0], fused[1], 0.1) / 3, rel=1e-10)


def test_both_views_hide_other_stretches_and_neither_is_the_batch(generator) -> None:
    inputs = {"ecg": torch.ones(6, 2, 40), "cxr": torch.ones(6, 1, 5, 40)}
    batch = Batch(inputs, torch.ones(6, 2, dtype=torch.bool), tuple(inputs), torch.arange(6))
    first, second = CoMm(hidden=0.25).views(batch, generator=generator, progress=0.0)
    for name, value in inputs.items():
        hidden = [view.batch.inputs[name] == 0 for view in (first, second)]
        assert all(mask.double().mean() == 0.25 for mask in hidden)
        assert not torch.equal(*hidden)
        assert (value == 1).all()
    assert first.needs_gradient
    assert second.needs_gradient


def test_both_views_have_gradients(rng) -> None:
    objective = _made()
    views = [unit_batch(rng, 5).requires_grad_() for _ in range(2)]
    _loss(objective, *map(_batch, views)).total.backward()
    assert all(view.grad is not None and (view.grad != 0).all() for view in views)
    assert all(weights.grad is not None for weights in objective.parameters())


def test_a_score_compares_what_a_query_has_with_the_candidate_alone(rng) -> None:
    objective, z = _made(), unit_batch(rng, 3)
    available = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 1]]).bool()
    candidates = unit_batch(rng, 4)[:, 0]
    scores = objective.score(_batch(z, available), candidates, target="cxr")
    for i, seen in enumerate(([1, 2], [1], [2])):
        mask = torch.zeros(1, 3, dtype=torch.bool)
        mask[0, seen] = True
        alone = torch.tensor([[True, False, False]])
        for j in range(4):
            with torch.no_grad():
                query = objective.fusion(z[i][None] * mask[:, :, None], mask)
                placed = candidates[j][None, None] * alone[:, :, None]
                answer = objective.fusion(placed, alone)
            assert scores[i, j].item() == pytest.approx((query @ answer.T).item(), abs=1e-12)


def test_what_it_cannot_do_is_refused(rng) -> None:
    with pytest.raises(ValueError, match=r"heads is 0; .*hidden is 1"):
        CoMm(heads=0, hidden=1.0)
    with pytest.raises(ValueError, match="width is 30; expected a multiple of 4"):
        CoMm(width=30)
    with pytest.raises(ValueError, match="dim is 4; expected a multiple of 3"):
        connected(CoMm(tokens=3), dim=4)
    lone = _batch(unit_batch(rng, 3), torch.tensor([[1, 1, 1], [0, 0, 0], [0, 0, 0]]).bool())
    with pytest.raises(FewSamplesError, match="this batch of 3 has 1"):
        _loss(_made(), lone, lone)

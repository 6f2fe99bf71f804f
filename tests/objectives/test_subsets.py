from dataclasses import replace
from itertools import combinations

import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.clip import Clip
from clinical_symile.objectives.infonce import clip_loss
from clinical_symile.objectives.subsets import SubsetSum
from clinical_symile.objectives.symile import Symile, symile_loss
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES

MODALITIES = ("cxr", "ecg", "labs")


@pytest.fixture
def embeddings(generator: torch.Generator) -> Embeddings:
    """Ten samples: four complete, three pairs of those that lack one modality."""
    z = torch.nn.functional.normalize(torch.randn(10, 3, 4, generator=generator).double(), dim=2)
    available = torch.ones(10, 3, dtype=torch.bool)
    for place in range(6):
        available[4 + place, place // 2] = False
    return Embeddings(z=z, available=available, modalities=MODALITIES, rows=torch.arange(10))


def test_the_loss_is_each_subsets_own_weighted_by_how_many_samples_are_whole_in_it(embeddings):
    z, available = embeddings.z, embeddings.available
    total, whole = 0.0, 0
    for size in (2, 3):
        for subset in combinations(range(3), size):
            columns = list(subset)
            n = int(available[:, columns].all(dim=1).sum())
            assert n == (4 if size == 3 else 6)
            total += n * symile_loss(z[:, columns], 10.0, available=available[:, columns])
            whole += n
    found = SubsetSum(Symile, 3).double()(embeddings)
    assert found.item() == pytest.approx(float(total / whole), rel=1e-6)


def test_where_all_lack_the_same_modality_it_is_clip_of_the_other_two(embeddings):
    few = embeddings.take(torch.arange(6)).with_visible(torch.tensor([[False, True, True]]))
    expected = clip_loss(few.z, 10.0, available=few.available)
    assert SubsetSum(Symile, 3).double()(few).item() == pytest.approx(float(expected), rel=1e-6)


def test_what_is_absent_changes_neither_loss_nor_gradient(embeddings):
    found = []
    for junk in (0.0, torch.nan):
        z = torch.where(embeddings.available[:, :, None], embeddings.z, junk).requires_grad_()
        objective = SubsetSum(Symile, 3).double()
        loss = objective(Embeddings(z, embeddings.available, MODALITIES, embeddings.rows))
        found.append((loss, *torch.autograd.grad(loss, [z, *objective.parameters()])))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_a_query_has_the_mean_of_its_subsets_scores_times_their_scales(embeddings):
    objective = SubsetSum(Symile, 3).double()
    with torch.no_grad():
        for size, scale in ((2, 2.0), (3, 5.0)):
            parameter = objective._of_size(size).log_logit_scale
            assert parameter is not None
            parameter.fill_(torch.tensor(scale).log())
    z = embeddings.z
    scores = objective.score(embeddings, z[:, 0], target="cxr")
    # Sample 0 has ECG and labs: two pairs and the triple; sample 6 has no ECG, 8 no labs.
    ecg, labs, both = z[0, 1], z[0, 2], z[0, 1] * z[0, 2]
    expected = z[:, 0] @ (2 * ecg + 2 * labs + 5 * both) / 3
    torch.testing.assert_close(scores[0], expected)
    torch.testing.assert_close(scores[6], 2 * z[:, 0] @ z[6, 2])
    torch.testing.assert_close(scores[8], 2 * z[:, 0] @ z[8, 1])


def test_it_is_made_of_any_objective(embeddings):
    objective = SubsetSum(Clip, 3).double()
    pairs = clip_loss(embeddings.z, 1 / 0.07, available=embeddings.available)
    few = [embeddings.select(pair) for pair in ((0, 1), (0, 2), (1, 2))]
    losses = [6 * clip_loss(one.z, 1 / 0.07, available=one.available) for one in few]
    expected = (sum(losses) + 4 * pairs) / 22
    assert objective(embeddings).item() == pytest.approx(float(expected), rel=1e-5)
    assert objective.logit_scale.item() == pytest.approx(1 / 0.07)
    assert objective.n_candidates(10, modalities=3) is None


def test_the_scale_of_every_size_is_limited():
    objective = SubsetSum(Clip, 3)
    with torch.no_grad():
        for scale in objective.parameters():
            scale.fill_(6.0)
    objective.after_step()
    scales = [scale.exp().item() for scale in objective.parameters()]
    assert scales == pytest.approx([100.0, 100.0])


def test_a_batch_without_a_pair_is_refused(embeddings):
    alone = embeddings.with_visible(torch.eye(3, dtype=torch.bool).repeat(4, 1)[:10])
    with pytest.raises(ValueError, match="at least 2 samples with the same two modalities"):
        SubsetSum(Symile, 3).double()(alone)
    nothing = embeddings.with_visible(torch.tensor([[True, False, False]]))
    with pytest.raises(ValueError, match="have no other modality available"):
        SubsetSum(Symile, 3).double().score(nothing, embeddings.z[:, 0], target="cxr")


@pytest.mark.parametrize("name", ["cacr", "decoupled_uniformity", "pcme", "probmed"])
def test_a_score_without_a_scale_or_of_gaussians_is_averaged_over_subsets(name, embeddings):
    objective = SubsetSum(resolve(name, OBJECTIVES), 3).double()
    of_pairs = objective.by_size["2"]
    assert isinstance(of_pairs, Objective)
    given = replace(embeddings, spread=objective.spread)
    pair = given.take(torch.tensor([4])).select((1, 2))  # has no X-ray
    scores = objective.score(given.take(torch.tensor([4])), given.z[:, 1], target="ecg")
    expected = of_pairs.score(pair, given.z[:, 1], target="ecg")
    scale = 1.0 if of_pairs.log_logit_scale is None else of_pairs.logit_scale
    torch.testing.assert_close(scores, scale * expected)
    drawn = torch.Generator().manual_seed(0)
    assert torch.isfinite(objective(given, generator=drawn))


def test_embeddings_alone_are_refused_for_an_objective_that_reads_more(embeddings):
    refused = []
    for name in sorted(OBJECTIVES):
        objective = SubsetSum(resolve(name, OBJECTIVES), 3).double()
        if not objective.needs:
            continue
        given = replace(embeddings, spread=objective.spread)
        with pytest.raises(ValueError, match="embeddings alone do not suffice"):
            objective(given)
        refused.append(name)
    assert {"m3co", "intra"} <= set(refused)


@pytest.mark.parametrize("name", ["mlem", "rebar"])
def test_an_objective_that_reads_one_modality_is_refused(name):
    objective = SubsetSum(resolve(name, OBJECTIVES), 3)
    drawn = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="it reads the inputs of one modality, which not every"):
        objective.connect(modalities=MODALITIES, dim=4, norm="l2", generator=drawn)

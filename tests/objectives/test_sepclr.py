"""SepCLR against loops, and what its parts learn of a planted salient factor."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks.fixtures import toy_input
from clinical_symile.objectives.sepclr import SepClr, common_width, joint_entropy_loss
from clinical_symile.synthetic.world import World
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch

LABELS = torch.tensor([[1.0], [0.0], [1.0], [math.nan], [0.0], [-1.0], [1.0]])


def _kernel(x, y, factor: float) -> float:
    return math.exp(-factor * float((x - y).square().sum()))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_the_loss_is_its_definition_in_loops(rng) -> None:
    z, factor = unit_batch(rng, 7), 0.7
    available = torch.ones(7, 3, dtype=torch.bool)
    available[1, 0] = available[2, 1] = available[5, 2] = False
    objective = SepClr(
        factor=factor, salient_weight=2.0, background_weight=3.0, dependence_weight=5.0
    )
    found = loss_value(objective, z, available, labels=LABELS)
    c, s = normalize(z[:, :, :2], dim=2), z[:, :, 2:]
    target, background = [0, 2, 6], [1, 4]
    zero = torch.zeros(2, dtype=torch.float64)
    aligned, salient, uniform, salient_uniform, silent, dependence = ([] for _ in range(6))
    for a, b in combinations(range(3), 2):
        both = [i for i in range(7) if available[i, a] and available[i, b]]
        aligned.append(_mean([float((c[i, a] - c[i, b]).square().sum()) for i in both]))
        kept = [i for i in both if i in target]
        salient.append(_mean([float((s[i, a] - s[i, b]).square().sum()) for i in kept]))
    for m in range(3):
        has = [i for i in range(7) if available[i, m]]
        known = [i for i in has if i in target + background]
        part = {i: s[i, m] if i in target else zero for i in known}
        cells = [_kernel(c[i, m], c[j, m], factor) for i in has for j in has if i != j]
        uniform.append(math.log(_mean(cells)))
        cells = [_kernel(part[i], part[j], factor) for i in known for j in known if i != j]
        salient_uniform.append(math.log(_mean(cells)))
        silent.append(_mean([float(s[i, m].square().sum()) for i in has if i in background]))
        sums = [
            sum(
                _kernel(c[i, m], c[j, m], factor) * _kernel(part[i], part[j], factor) for j in known
            )
            for i in known
        ]
        dependence.append(_mean([math.log(one) for one in sums]))
    expected = factor * _mean(aligned) + 2 * _mean(uniform)
    expected += 2 * (factor * _mean(salient) + 2 * _mean(salient_uniform))
    expected += 3 * factor * _mean(silent) + 5 * _mean(dependence)
    assert found == pytest.approx(expected, rel=1e-10)


def test_the_dependence_of_two_parts_is_at_least_0_and_less_if_one_does_not_follow_the_other(
    generator,
) -> None:
    x = 3 * torch.randn(300, 1, generator=generator, dtype=torch.float64)
    y = x[torch.randperm(300, generator=generator)]
    dependent, free = (joint_entropy_loss(x, other, factor=1.0) for other in (x, y))
    assert 0 < free < 0.6 * dependent
    far = 100 * torch.arange(5, dtype=torch.float64)[:, None]
    assert joint_entropy_loss(far, far, factor=1.0).item() == pytest.approx(0, abs=1e-12)
    same = torch.zeros(5, 1, dtype=torch.float64)
    assert joint_entropy_loss(same, same, factor=1.0).item() == pytest.approx(math.log(5))


def test_salient_parts_of_background_samples_go_to_0_and_those_of_targets_do_not(generator) -> None:
    objective = connected(SepClr(), modalities=2, dim=4)
    raw = torch.randn(40, 2, 4, generator=generator, dtype=torch.float64).requires_grad_()
    labels = (torch.arange(40) % 2)[:, None].float()
    adam = torch.optim.Adam([raw], lr=0.05)
    has = torch.ones(40, 2, dtype=torch.bool)
    for _ in range(150):
        adam.zero_grad()
        batch = Embeddings(normalize(raw, dim=2), has, MODALITIES[:2], torch.arange(40))
        inputs = toy_input(objective, batch, SideInformation(batch.rows, labels))
        objective.training_loss(inputs, group=None).total.backward()
        adam.step()
    _, salient = objective.parts(normalize(raw.detach(), dim=2))
    length = salient.norm(dim=2).mean(dim=1)
    assert length[::2].max() < 0.1
    assert length[1::2].min() > 0.3


def test_a_batch_without_targets_or_without_labels_has_its_common_terms_alone(rng) -> None:
    z, has = unit_batch(rng, 5), torch.ones(5, 3, dtype=torch.bool)
    objective = connected(SepClr())

    def terms(labels: torch.Tensor) -> dict[str, float]:
        batch = Embeddings(z, has, MODALITIES[:3], torch.arange(5))
        inputs = toy_input(objective, batch, SideInformation(batch.rows, labels))
        found = objective.training_loss(inputs, group=None).terms
        return {name: term.item() for name, term in found.items()}

    unknown = terms(torch.full((5, 1), math.nan))
    assert unknown.pop("common") != 0
    assert set(unknown.values()) == {0.0}
    healthy = terms(torch.zeros(5, 1))
    assert healthy["salient"] == pytest.approx(0, abs=1e-12)
    assert healthy["background"] > 0
    assert terms(torch.zeros(5, 2)) == pytest.approx(healthy)
    for open_label in (math.nan, -1.0):
        may_be_positive = terms(torch.tensor([[0.0, open_label]] * 5))
        assert may_be_positive.pop("common") != 0
        assert set(may_be_positive.values()) == {0.0}


def test_a_score_reads_common_parts_alone(rng) -> None:
    objective, z = connected(SepClr(salient_share=0.25)), unit_batch(rng, 4)
    has = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 1]]).bool()
    query = Embeddings(z, has, MODALITIES[:3], torch.arange(4))
    scores = objective.score(query, z[:, 0], target="cxr")
    c = normalize(z[:, :, :3], dim=2)
    for i in range(4):
        for j in range(4):
            some = sum(float(c[i, m] @ c[j, 0]) for m in (1, 2) if has[i, m])
            assert scores[i, j].item() == pytest.approx(some, abs=1e-12)
    other = z.clone()
    other[:, :, 3] = 5.0
    changed = Embeddings(other, has, MODALITIES[:3], torch.arange(4))
    assert torch.equal(objective.score(changed, other[:, 0], target="cxr"), scores)


def test_both_parts_have_a_number_and_bad_arguments_are_refused() -> None:
    found = {(dim, share): common_width(dim, share) for dim in (2, 3, 64) for share in (0.01, 0.5)}
    assert found == {
        (2, 0.01): 1,
        (2, 0.5): 1,
        (3, 0.01): 2,
        (3, 0.5): 2,
        (64, 0.01): 63,
        (64, 0.5): 32,
    }
    with pytest.raises(ValueError, match="has 1 number; expected 2 or more"):
        common_width(1, 0.5)
    with pytest.raises(
        ValueError, match=r"salient_share is 1\.0; .*factor is 0\.0; .*_weight is -1"
    ):
        SepClr(salient_share=1.0, factor=0.0, background_weight=-1.0)


@pytest.mark.slow
@pytest.mark.parametrize("label", ["shared", "deterioration"])
def test_salient_parts_tell_the_label_as_well_as_common_ones_if_all_modalities_show_it(
    label: str,
) -> None:
    """Words of the synthetic world, seen through noise, and perceptrons as encoders."""
    world = World(redundant=1, unique=1, synergistic=3, synergy=1.0, flip=0.05)
    train, other = (seen_words(world, 1500, seed=seed, label=label) for seed in (1, 2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoders = nn.ModuleList(
            nn.Sequential(nn.Linear(world.bits, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(3)
        )
    objective = SepClr()
    objective.label_names = (label,)
    generator = torch.Generator().manual_seed(0)
    objective.connect(modalities=MODALITIES[:3], dim=32, norm="l2", generator=generator)
    adam = torch.optim.AdamW(encoders.parameters(), lr=4e-3, weight_decay=0.05)

    def encoded(seen: Tensor) -> Tensor:
        return torch.stack(
            [normalize(one(seen[:, m]), dim=1) for m, one in enumerate(encoders)], dim=1
        )

    for _ in range(250):
        rows = torch.randperm(len(train[0]), generator=generator)[:128]
        has = torch.ones(len(rows), 3, dtype=torch.bool)
        batch = Embeddings(encoded(train[0][rows]), has, MODALITIES[:3], rows)
        inputs = toy_input(objective, batch, SideInformation(rows, train[1][rows, None]))
        adam.zero_grad()
        objective.training_loss(inputs, group=None).total.backward()
        adam.step()
    with torch.no_grad():
        learned, asked = (objective.parts(encoded(seen)) for seen, _ in (train, other))
    common, salient = (
        probe_area(a.flatten(1), train[1], b.flatten(1), other[1])
        for a, b in zip(learned, asked, strict=True)
    )
    inputs_tell = probe_area(train[0].flatten(1), train[1], other[0].flatten(1), other[1])
    if label == "shared":
        assert salient > 0.99
        assert salient >= common - 0.005
        length = asked[1].norm(dim=2).mean(dim=1)
        assert length[other[1] == 1].mean() > 2 * length[other[1] == 0].mean()
    else:
        # Each modality shows it in another way, and the common part has all that inputs tell.
        assert common > inputs_tell - 0.02
        assert 0.6 < salient < common


def seen_words(world: World, samples: int, *, seed: int, label: str) -> tuple[Tensor, Tensor]:
    """Words of admissions as 1 and -1 with noise, and the label: deterioration, or a shared bit."""
    rng = np.random.default_rng(seed)
    bits, deteriorates = zip(*(world.draw(rng) for _ in range(samples)), strict=True)
    words = np.stack(bits)
    outcome = np.array(deteriorates) if label == "deterioration" else words[:, 0, 0]
    seen = 2.0 * words - 1 + 0.4 * rng.normal(size=words.shape)
    return torch.from_numpy(seen).float(), torch.from_numpy(outcome.astype(np.float32))


def probe_area(train: Tensor, labels: Tensor, asked: Tensor, truth: Tensor) -> float:
    """AUROC of a logistic probe, fitted to some vectors and asked of others."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(train.numpy(), labels.numpy())
    return float(roc_auc_score(truth.numpy(), probe.decision_function(asked.numpy())))

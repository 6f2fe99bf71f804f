"""FarconVAE: its contrast by hand, its pairs, and that latents hide the attribute."""

import math

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.evaluation.leak_checks.objectives import objective_leaks
from clinical_symile.objectives.farcon import (
    FarconVae,
    draw_of,
    draw_partners,
    pair_contrast,
    symmetric_divergence,
)
from clinical_symile.objectives.inputs import ObjectiveInput
from tests.helpers.objective_values import connected

NAN = math.nan


def gaussians(rng: np.random.Generator, count: int = 5, dim: int = 3) -> Tensor:
    return torch.from_numpy(rng.normal(size=(count, 2 * dim)))


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_divergence_is_the_mean_of_both_of_pytorchs(rng: np.random.Generator) -> None:
    first, second = gaussians(rng), gaussians(rng)
    p, q = (Normal(of[:, :3], (of[:, 3:] / 2).exp()) for of in (first, second))
    expected = (kl_divergence(p, q) + kl_divergence(q, p)).mean(dim=1) / 2
    torch.testing.assert_close(symmetric_divergence(first, second), expected)
    assert symmetric_divergence(first, first).abs().max() == 0


@pytest.mark.parametrize(("kernel", "near"), [("gaussian", math.exp(-1)), ("student", 0.5)])
def test_the_contrast_of_unit_gaussians_is_that_by_hand(kernel: str, near: float) -> None:
    def at(mean: float) -> Tensor:
        return torch.tensor([[mean, 0.0]], dtype=torch.float64)

    # N(a, 1) and N(b, 1) have D = (a - b)² / 2: here 0 for q_x, and 1 for the other three pairs.
    root = math.sqrt(2)
    found = pair_contrast(at(0), at(0), at(root), at(-root), kernel=kernel)
    far = math.exp(-4) if kernel == "gaussian" else 0.2
    assert found.item() == pytest.approx(far + 2 * near, rel=1e-12)


def test_partners_have_the_same_labels_and_the_other_attribute(rng: np.random.Generator) -> None:
    labels = torch.from_numpy(rng.choice([0.0, 1.0, NAN], size=(60, 3)))
    labels[:, 2] = NAN
    attribute = torch.from_numpy(rng.choice([0.0, 1.0, NAN], size=60))
    partners = draw_partners(labels, attribute, generator=drawn())
    kinds = labels.nan_to_num(nan=2.0)
    for i, j in enumerate(partners.tolist()):
        fitting = [
            k
            for k in range(60)
            if torch.equal(kinds[k], kinds[i]) and attribute[k] + attribute[i] == 1
        ]
        if labels[i].isnan().all() or not fitting:
            assert j == -1
        else:
            assert j in fitting
    assert (partners >= 0).any()


def test_the_attribute_teaches_no_head(rng: np.random.Generator) -> None:
    objective = connected(FarconVae())
    z = torch.from_numpy(rng.normal(size=(8, 3, 4)))
    labels = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).repeat(4, 1)
    loss = objective.training_loss(inputs_of(z, labels), group=None, generator=drawn()).total
    loss.backward()
    assert objective.head.weight.grad is not None
    assert (objective.head.weight.grad[1] == 0).all()
    assert (objective.head.weight.grad[0] != 0).any()


def inputs_of(z: Tensor, labels: Tensor) -> ObjectiveInput:
    rows = torch.arange(len(z))
    available = torch.ones(z.shape[:2], dtype=torch.bool)
    embeddings = Embeddings(z, available, ("cxr", "ecg", "labs"), rows)
    return ObjectiveInput(embeddings, SideInformation(rows, labels=labels))


def biased(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Vectors of which some numbers show a label and others an attribute that goes with it."""
    label = rng.integers(0, 2, count)
    attribute = np.where(rng.random(count) < 0.7, label, 1 - label)
    centres = np.zeros((count, 3, 4))
    centres[:, :, 0] = 2 * label[:, None] - 1
    centres[:, :, 1] = 2 * attribute[:, None] - 1
    z = torch.from_numpy(centres + rng.normal(size=centres.shape))
    return z, torch.from_numpy(np.stack([label, attribute], axis=1).astype(np.float64))


def area(latents: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor], column: int) -> float:
    """The area of a logistic probe of latents, fitted to some samples and asked about others."""
    probe = LogisticRegression().fit(latents[0].numpy(), labels[0][:, column].numpy())
    return float(
        roc_auc_score(labels[1][:, column].numpy(), probe.decision_function(latents[1].numpy()))
    )


def trained(objective: FarconVae, samples: tuple[Tensor, Tensor]) -> FarconVae:
    made = connected(objective)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.03)
    for step in range(80):
        optimizer.zero_grad()
        loss = made.training_loss(inputs_of(*samples), group=None, generator=drawn(step))
        loss.total.backward()
        optimizer.step()
    return made


def area_within_labels(latents: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor]) -> float:
    """The area of boosted trees that tell the attribute, as a mean over the label's values."""
    areas = []
    for value in (0, 1):
        (x, known), (other, asked) = (
            (z[of[:, 0] == value].numpy(), of[of[:, 0] == value, 1].numpy())
            for z, of in zip(latents, labels, strict=True)
        )
        trees = HistGradientBoostingClassifier(random_state=0).fit(x, known)
        areas.append(float(roc_auc_score(asked, trees.predict_proba(other)[:, 1])))
    return float(np.mean(areas))


@pytest.mark.slow
def test_the_mean_that_the_head_reads_shows_more_of_the_attribute_than_draws(
    rng: np.random.Generator,
) -> None:
    train, other = biased(rng, 600), biased(rng, 600)
    made = trained(FarconVae(), train)
    with torch.no_grad():
        embeddings = [inputs_of(*samples).embeddings for samples in (train, other)]
        draws = [made.fair_latents(one, generator=drawn(1)) for one in embeddings]
        gaussians = [made.gaussians(made.fused_vectors(one))[0] for one in embeddings]
    means = [one.chunk(2, dim=1)[0] for one in gaussians]
    labels = train[1], other[1]
    told = [area_within_labels((one[0], one[1]), labels) for one in (draws, means)]
    assert told[0] < 0.6
    assert told[1] > told[0] + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["gaussian", "student"])
def test_latents_hide_the_attribute_and_the_label_is_predicted_as_well(
    kernel: str, rng: np.random.Generator
) -> None:
    train, other = biased(rng, 600), biased(rng, 600)
    labels = train[1], other[1]
    hidden, shown, predicted = [], [], []
    for weight in (1.0, 0.0):
        made = trained(FarconVae(kernel=kernel, contrast=weight, swapped=weight), train)
        with torch.no_grad():
            embeddings = [inputs_of(*samples).embeddings for samples in (train, other)]
            one, two = (made.fair_latents(some, generator=drawn(1)) for some in embeddings)
            risk = made.log_odds(embeddings[1])[:, 0].numpy()
        hidden.append(area((one, two), labels, 1))
        shown.append(area((one, two), labels, 0))
        predicted.append(float(roc_auc_score(labels[1][:, 0].numpy(), risk)))
    # The label alone tells the attribute with an area of 0.7: no more need be hidden.
    assert hidden[1] > 0.95
    assert hidden[0] < 0.72
    assert shown[0] > 0.9
    assert predicted[0] > predicted[1] - 0.02


def test_a_draw_is_the_mean_with_noise_of_its_variance() -> None:
    logs = torch.tensor([[2 * math.log(0.5), 0.0]], dtype=torch.float64)
    gaussian = torch.cat([torch.tensor([[3.0, -1.0]], dtype=torch.float64), logs], dim=1)
    found = draw_of(gaussian.expand(20_000, -1), generator=drawn())
    assert found.mean(dim=0).tolist() == pytest.approx([3, -1], abs=0.03)
    assert found.std(dim=0).tolist() == pytest.approx([0.5, 1], abs=0.03)


def test_predictions_are_the_mean_of_those_of_draws(rng: np.random.Generator) -> None:
    objective = connected(FarconVae())
    embeddings = inputs_of(
        torch.from_numpy(rng.normal(size=(3, 3, 4))), torch.zeros(3, 2)
    ).embeddings
    with torch.no_grad():
        draws = [
            objective.head(objective.fair_latents(embeddings, generator=drawn(seed)))[:, 0]
            for seed in range(4000)
        ]
        found = objective.log_odds(embeddings)[:, 0]
    assert torch.stack(draws).mean(dim=0).tolist() == pytest.approx(found.tolist(), abs=0.05)


def test_its_log_odds_of_the_attribute_come_from_the_sensitive_latents(rng) -> None:
    objective = connected(FarconVae(sensitive="first"))
    z = torch.from_numpy(rng.normal(size=(6, 3, 4)))
    embeddings = inputs_of(z, torch.zeros(6, 2)).embeddings
    before = objective.log_odds(embeddings)
    with torch.no_grad():
        objective.head.weight.zero_()
    after = objective.log_odds(embeddings)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])
    latents = [objective.fair_latents(embeddings, generator=drawn(s)) for s in (0, 0, 1)]
    assert latents[0].shape == (6, 4)
    assert torch.equal(latents[0], latents[1])
    assert not torch.equal(latents[0], latents[2])


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel is 'other'; expected 'gaussian' or 'student'"):
        FarconVae(kernel="other")
    with pytest.raises(ValueError, match=r"sensitive is 'third'; expected one of the labels .*sec"):
        connected(FarconVae(sensitive="third"))
    alone = FarconVae()
    alone.label_names = ("first",)
    with pytest.raises(ValueError, match="the task names one label; expected two or more"):
        connected(alone)
    objective = connected(FarconVae())
    with pytest.raises(ValueError, match="draws samples and pairs; expected a generator"):
        objective.training_loss(inputs_of(torch.zeros(4, 3, 4), torch.zeros(4, 2)), group=None)


@pytest.mark.parametrize("kernel", ["gaussian", "student"])
def test_nothing_hidden_leaks(kernel: str) -> None:
    assert not list(objective_leaks(FarconVae(kernel=kernel)))

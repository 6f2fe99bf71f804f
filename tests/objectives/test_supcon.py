"""SupCon equals the paper's equation in loops and values computed elsewhere."""

import math

import pytest
import torch
from torch import Tensor

from clinical_symile.objectives.supcon import SupCon
from tests.helpers.objective_values import connected, loss_value, unit_batch

LABELS = torch.tensor([[0.0], [1.0], [0.0], [2.0]])
UNKNOWN = torch.full((4, 1), torch.nan)


def in_loops(z: Tensor, available: Tensor, labels: Tensor, *, skip: bool = False) -> float:
    """Khosla et al., equation 2, at temperature 0.1: an embedding after the other."""
    tokens = [(i, m) for i in range(len(z)) for m in range(z.shape[1]) if available[i, m]]
    losses = []
    for i, m in tokens:
        others = [(j, k) for j, k in tokens if (j, k) != (i, m)]
        scores = {(j, k): 10 * float(z[i, m] @ z[j, k]) for j, k in others}
        total = math.log(sum(math.exp(score) for score in scores.values()))
        positives = [o for o in others if o[0] == i or bool((labels[o[0]] == labels[i]).all())]
        if positives:
            losses.append(sum(total - scores[o] for o in positives) / len(positives))
        elif not skip:
            losses.append(0.0)
    return sum(losses) / len(losses)


@pytest.mark.parametrize(
    ("labels", "expected", "masked"),
    [(LABELS, 10.940208125785, 10.917042370130), (UNKNOWN, 12.175920554289, 12.265092292135)],
)
def test_the_golden_values(
    labels: Tensor,
    expected: float,
    masked: float,
    fixture_f: Tensor,
    without_last_labs: Tensor,
):
    objective = SupCon(temperature=0.1)
    found = loss_value(objective, fixture_f, temperature=0.1, labels=labels)
    assert found == pytest.approx(expected, abs=1e-10)
    found = loss_value(objective, fixture_f, without_last_labs, temperature=0.1, labels=labels)
    assert found == pytest.approx(masked, abs=1e-10)


@pytest.mark.parametrize(("skip", "expected"), [(False, 10.071787935803), (True, 11.190875484226)])
def test_an_embedding_without_a_positive_counts_zero_or_is_skipped(
    skip: bool, expected: float, fixture_f: Tensor
):
    available = torch.ones(4, 3, dtype=torch.bool)
    available[3, 1:] = False
    objective = SupCon(temperature=0.1, skip_unpaired=skip)
    found = loss_value(objective, fixture_f, available, temperature=0.1, labels=LABELS)
    assert found == pytest.approx(expected, abs=1e-10)
    assert found == pytest.approx(in_loops(fixture_f, available, LABELS, skip=skip), abs=1e-10)


SHARES = torch.tensor([0.2], dtype=torch.float64)


def with_prior(objective: SupCon, z: Tensor, labels: Tensor, shares: Tensor) -> float:
    return loss_value(objective, z, temperature=0.1, labels=labels, positive_shares=shares)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_a_candidate_s_logit_has_its_log_prior_in_loops(weight: float, rng):
    z = unit_batch(rng, 5)
    labels = torch.tensor([[1.0], [0.0], [0.0], [math.nan], [1.0]])
    found = with_prior(SupCon(temperature=0.1, prior_weight=weight), z, labels, SHARES)
    added = {1.0: math.log(0.2), 0.0: math.log(0.8)}
    prior = [weight * added.get(label, math.log(0.5)) for label in labels[:, 0].tolist()]
    tokens, losses = [(i, m) for i in range(5) for m in range(3)], []
    for i, m in tokens:
        others = [o for o in tokens if o != (i, m)]
        logits = {(j, k): 10 * float(z[i, m] @ z[j, k]) + prior[j] for j, k in others}
        total = math.log(sum(math.exp(one) for one in logits.values()))
        positives = [o for o in others if o[0] == i or labels[o[0]] == labels[i]]
        losses.append(sum(total - logits[o] for o in positives) / len(positives))
    assert found == pytest.approx(sum(losses) / len(losses), abs=1e-10)


def test_a_uniform_prior_changes_nothing_and_no_weight_reads_none(rng):
    z, labels = unit_batch(rng, 4), torch.tensor([[1.0], [0.0], [math.nan], [1.0]])
    plain = loss_value(SupCon(temperature=0.1), z, temperature=0.1, labels=labels)
    even = with_prior(SupCon(temperature=0.1, prior_weight=1.0), z, labels, torch.tensor([0.5]))
    assert even == pytest.approx(plain, abs=1e-12)
    assert with_prior(SupCon(temperature=0.1), z, labels, SHARES) == plain


def test_subjects_have_no_prior():
    with pytest.raises(ValueError, match="expected labels, which alone have a prior"):
        SupCon(by="subjects", prior_weight=1.0)
    with pytest.raises(ValueError, match=r"prior_weight is -1.0; expected a number of at least 0"):
        SupCon(prior_weight=-1.0)


def test_one_class_is_contrasted_with_itself():
    z = torch.eye(2, dtype=torch.float64)[:, None].expand(2, 2, 2)
    found = loss_value(SupCon(temperature=1.0), z, temperature=1.0, labels=torch.zeros(2, 1))
    assert found == pytest.approx(math.log(math.e + 2) - 1 / 3, abs=1e-10)


def test_several_labels_must_agree_where_both_are_known(rng):
    z = unit_batch(rng, 6)
    available = torch.ones(6, 3, dtype=torch.bool)
    nan = torch.nan
    labels = torch.tensor([[0, 1], [0, nan], [1, 1], [nan, nan], [0, -1], [1, 0.0]])
    found = loss_value(SupCon(temperature=0.1), z, temperature=0.1, labels=labels)
    groups = torch.arange(6.0)[:, None]

    def of_alike(alike: set[tuple[int, int]]) -> float:
        """The loss in loops, with the pairs of samples that agree."""
        expected, tokens = [], [(i, m) for i in range(6) for m in range(3)]
        for i, m in tokens:
            others = [o for o in tokens if o != (i, m)]
            scores = torch.stack([10 * (z[i, m] @ z[j, k]) for j, k in others])
            pairs = [(min(i, j), max(i, j)) for j, _ in others]
            chosen = [n for n, (a, b) in enumerate(pairs) if a == b or (a, b) in alike]
            expected.append((scores.logsumexp(0) - scores[chosen].mean()).item())
        return sum(expected) / len(expected)

    # Jointly known labels are equal; -1 is unknown.
    fully = {(0, 1), (0, 4), (1, 4)}
    found = loss_value(SupCon(temperature=0.1), z, temperature=0.1, labels=labels)
    assert found == pytest.approx(of_alike(fully), abs=1e-10)
    # Samples 0 and 2, and 2 and 5, know both labels of each other and share one.
    half = SupCon(temperature=0.1, least_agreement=0.5)
    found = loss_value(half, z, temperature=0.1, labels=labels)
    assert found == pytest.approx(of_alike(fully | {(0, 2), (2, 5)}), abs=1e-10)
    alone = loss_value(SupCon(temperature=0.1), z, available, temperature=0.1, labels=groups)
    assert alone == pytest.approx(in_loops(z, available, groups), abs=1e-10)


def test_samples_of_one_subject_are_positives_when_asked_and_no_label_is_read(fixture_f: Tensor):
    objective = connected(SupCon(temperature=0.1, by="subjects"), dim=3)
    assert objective.reads == ("subjects",)
    found = loss_value(
        objective, fixture_f, temperature=0.1, subjects=torch.tensor([2**40, 7, 2**40, 9])
    )
    assert found == pytest.approx(10.940208125785, abs=1e-10)


def test_a_batch_of_one_subject_is_refused(fixture_f: Tensor):
    objective = SupCon(by="subjects")
    with pytest.raises(ValueError, match="samples of at least 2 subjects; this batch of 4"):
        loss_value(objective, fixture_f, subjects=torch.zeros(4, dtype=torch.long))


def test_settings_out_of_range_are_refused_together():
    with pytest.raises(ValueError, match=r"by is 'label'.*least_agreement is 0"):
        SupCon(by="label", least_agreement=0.0)


def test_labels_that_are_not_given_are_named(fixture_f: Tensor):
    with pytest.raises(ValueError, match="there are no labels"):
        loss_value(SupCon(), fixture_f)

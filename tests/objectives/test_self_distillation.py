"""The prediction from some modalities learns from that from all: loops, ends and a trained run."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clinical_symile.api.runs import evaluate, train
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.leak_checks.objectives import objective_leaks
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.outcome import Supervised
from clinical_symile.objectives.self_distillation import distillation_loss, draw_subsets
from clinical_symile.tracking.run import Run
from tests.helpers.objective_values import connected, unit_batch

MODALITIES = ("cxr", "ecg", "labs")
LABELS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0], [math.nan, math.nan], [0.0, 1.0]])
AVAILABLE = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
WEIGHT = 0.5


def made(fusion: str = "concat") -> Supervised:
    return connected(Supervised(fusion={"name": fusion}, distillation=WEIGHT))


def inputs_of(z: Tensor, rows: Tensor, substitute: Tensor | None = None) -> ObjectiveInput:
    embeddings = Embeddings(z[rows], AVAILABLE[rows], MODALITIES, rows, substitute)
    return ObjectiveInput(embeddings, SideInformation(rows, labels=LABELS[rows]))


def term(objective: Supervised, inputs: ObjectiveInput, *, seed: int = 1) -> Tensor:
    """The part of the loss that distillation adds, with its gradient."""
    drawn = torch.Generator().manual_seed(seed)
    total = objective.training_loss(inputs, group=None, generator=drawn).total
    objective.distillation = 0.0
    plain = objective.training_loss(inputs, group=None).total
    objective.distillation = WEIGHT
    return total - plain


def chances(objective: Supervised, vectors: Tensor, available: Tensor) -> list[float]:
    about = (MODALITIES, torch.zeros(1, dtype=torch.long))
    with torch.no_grad():
        found = objective.log_odds(Embeddings(vectors[None], available[None], *about))
    return found[0].sigmoid().tolist()


def test_the_term_is_that_of_its_definition_in_loops(rng: np.random.Generator) -> None:
    objective, z = made(), unit_batch(rng, 5)
    inputs = inputs_of(z, torch.arange(5))
    taught = [0, 1, 2, 4]  # with a known label
    drawn = torch.Generator().manual_seed(1)
    kept = draw_subsets(AVAILABLE[taught], torch.tensor(taught), generator=drawn)
    assert not torch.equal(kept, AVAILABLE[taught])
    divergences = []
    for place, i in enumerate(taught):
        whole = chances(objective, z[i], AVAILABLE[i])
        part = chances(objective, z[i], kept[place])
        for p, q in zip(whole, part, strict=True):
            divergences.append(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    found = objective.training_loss(
        inputs, group=None, generator=torch.Generator().manual_seed(1)
    ).terms["distillation"]
    assert found.item() == pytest.approx(WEIGHT * np.mean(divergences), rel=1e-9)
    assert term(objective, inputs).item() == pytest.approx(found.item(), rel=1e-9)


def test_the_full_set_has_no_term_and_no_gradient(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "clinical_symile.objectives.outcome.draw_subsets",
        lambda available, rows, *, generator: available,
    )
    objective = made()
    z = unit_batch(rng, 5).requires_grad_()
    loss = objective.training_loss(inputs_of(z, torch.arange(5)), group=None)
    assert loss.terms["distillation"].item() == pytest.approx(0, abs=1e-15)
    (gradient,) = torch.autograd.grad(term(objective, inputs_of(z, torch.arange(5))), z)
    torch.testing.assert_close(gradient, torch.zeros_like(z), atol=1e-12, rtol=0)


def test_the_teacher_gets_no_gradient() -> None:
    teacher = torch.tensor([[0.3, -2.0]], dtype=torch.float64, requires_grad=True)
    student = torch.tensor([[-1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    distillation_loss(teacher, student).backward()
    assert teacher.grad is None
    # Of the cross-entropy the gradient is p(student) - p(teacher), over two numbers.
    expected = (student.sigmoid() - teacher.sigmoid()).detach() / 2
    torch.testing.assert_close(student.grad, expected)


def test_vectors_that_the_student_does_not_read_get_no_gradient(rng: np.random.Generator) -> None:
    objective, rows = made("mean"), torch.arange(5)
    z = unit_batch(rng, 5).requires_grad_()
    drawn = torch.Generator().manual_seed(1)
    taught = torch.tensor([0, 1, 2, 4])
    kept = torch.zeros_like(AVAILABLE)
    kept[taught] = draw_subsets(AVAILABLE[taught], taught, generator=drawn)
    (gradient,) = torch.autograd.grad(term(objective, inputs_of(z, rows)), z)
    moved = gradient.abs().amax(dim=2) > 1e-12
    assert not (moved & ~kept).any()
    assert moved.any()


def test_every_subset_that_is_not_empty_is_equally_likely(generator: torch.Generator) -> None:
    count = 7000
    available = torch.ones(count, 3, dtype=torch.bool)
    available[-1] = False
    available[-2] = torch.tensor([False, True, False])
    kept = draw_subsets(available, torch.arange(count), generator=generator)
    assert kept[-1].tolist() == [False] * 3  # it has none
    assert kept[-2].tolist() == [False, True, False]
    counts = Counter(tuple(one) for one in kept[:-2].tolist())
    assert len(counts) == 7
    assert (False, False, False) not in counts
    expected = (count - 2) / 7
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 22.5  # 0.1 % of 6
    some = torch.tensor([True, False, True]).repeat(count, 1)
    kept = draw_subsets(some, torch.arange(count), generator=generator)
    assert not kept[:, 1].any()
    assert len({tuple(one) for one in kept.tolist()}) == 3


def test_the_term_does_not_depend_on_the_order_of_the_batch(rng: np.random.Generator) -> None:
    objective, z = made(), unit_batch(rng, 5)
    orders = (torch.arange(5), torch.tensor([3, 0, 2, 4, 1]))
    first, second = (term(objective, inputs_of(z, rows)).item() for rows in orders)
    assert first == pytest.approx(second, rel=1e-9)


def test_the_student_reads_what_replaces_a_missing_modality_as_in_use(
    rng: np.random.Generator,
) -> None:
    objective, z = made(), unit_batch(rng, 5)
    substitute = unit_batch(rng, 1)[0].requires_grad_()
    found = term(objective, inputs_of(z, torch.arange(5), substitute))
    (gradient,) = torch.autograd.grad(found, substitute)
    assert gradient.abs().max() > 1e-6


def test_nothing_hidden_is_read_and_a_wrong_weight_is_refused() -> None:
    class Distilling(Supervised):
        def __init__(self) -> None:
            super().__init__(distillation=1.0)

    assert list(objective_leaks(Distilling)) == []
    with pytest.raises(ValueError, match="distillation is -1"):
        Supervised(distillation=-1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("few_resamples")
def test_a_run_trains_and_predicts_from_every_set_of_modalities(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    mlps = [f'encoders.{name}={{name="mlp", hidden=[8]}}' for name in MODALITIES]
    run = train(
        "pretraining/robustness/outcome_masd",
        synthetic_store,
        out=tmp_path / "runs",
        seed=0,
        overrides=[*mlps, "dim=8", "batch_size=16", "epochs=2"],
        progress=False,
    )
    history = Run(tmp_path / "runs" / run.name).history
    assert all(epoch["loss/distillation"] > 0 for epoch in history)
    patterns = ["complete", "without-ecg", "only-labs"]
    frame = evaluate(
        run,
        synthetic_store,
        tasks=["classification/more/deterioration_by_head"],
        missingness=patterns,
        progress=False,
    ).to_frame()
    assert {*frame.query("metric == 'auroc'").missingness} == {*patterns}

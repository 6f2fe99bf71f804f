"""Metrics of the tuning split, by which the best epoch is selected."""

import math

import numpy as np
import torch

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import BatchLoader, shuffled_batches
from clinical_symile.data.store import CohortStore
from clinical_symile.metrics.representation import representation_metrics
from clinical_symile.metrics.retrieval import expected_ranks
from clinical_symile.models.multimodal import embed_rows
from clinical_symile.objectives.base import Objective
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import RETRIEVAL_METRICS
from clinical_symile.training.learner import Learner

TC_ESTIMATE = "tuning/tc_estimate"


def selection_metric(task: Pretraining) -> str:
    """Return the key of the metric that selects the best epoch."""
    return f"tuning/{task.selection.metric}"


def tuning_metrics(
    learner: Learner,
    store: CohortStore,
    task: Pretraining,
    *,
    seed: int,
    loader: BatchLoader,
) -> dict[str, float]:
    """Compute the metrics of the complete tuning samples.

    These are the task's selection metric, metrics of the representation and, if the objective gives
    one, an estimate of the total correlation.

    Args:
        learner: the learner after an epoch.
        store: the store of the tuning samples.
        task: has the metric, the targets it is averaged over, and the batch size.
        seed: seed of the division into batches, the same in every epoch.
        loader: of the store, to the encoders' device.
    """
    rows = store.complete_rows("tuning", task.modalities)
    embeddings = embed_rows(learner.model, store, rows, loader=loader)
    metrics = {selection_metric(task): _selection_value(learner, embeddings, task, loader.device)}
    metrics |= representation_metrics(embeddings.means.double().numpy(), embeddings.modalities)
    estimate = tc_estimate(
        learner.objective, embeddings, batch_size=task.batch_size, seed=seed, device=loader.device
    )
    return metrics if estimate is None else {**metrics, TC_ESTIMATE: estimate}


@torch.inference_mode()
def tc_estimate(
    objective: Objective,
    embeddings: Embeddings,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> float | None:
    """Estimate the total correlation in nats as log K - loss; None if the loss gives no estimate.

    K is the number of candidates of an anchor, its own included. It is n for shuffled negatives,
    n^(M-1) for all, with n the samples of the batch. The samples must be complete, so that K is the
    same for all anchors, and not from the training split. The expectation of log K - loss is at
    most the total correlation if candidates are drawn from the product of the marginals. The
    candidates of one batch share members, so that a finite sample may lie above. The estimate is at
    most log K.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024. https://arxiv.org/abs/2411.01053

    Args:
        objective: computes the loss.
        embeddings: the embeddings of complete samples.
        batch_size: n, unless there are fewer samples.
        seed: seed of the division into batches and of the objective's draws.
        device: the device of the objective.
    """
    modalities, estimates = len(embeddings.modalities), []
    generator = torch.Generator().manual_seed(seed)
    batches = shuffled_batches(
        len(embeddings.rows), batch_size=batch_size, rng=np.random.default_rng(seed)
    )
    for index in batches:
        candidates = objective.n_candidates(len(index), modalities=modalities)
        if candidates is None:
            return None
        batch = embeddings.take(torch.from_numpy(index)).to(device)
        loss = objective(batch, generator=generator)
        estimates.append(math.log(candidates) - float(loss))
    return float(np.mean(estimates))


def _selection_value(
    learner: Learner, embeddings: Embeddings, task: Pretraining, device: torch.device
) -> float:
    """Average the selection metric over the task's targets."""
    metric = resolve(task.selection.metric, RETRIEVAL_METRICS)
    objective = learner.objective.cpu()
    values = []
    for target in task.selection.targets:
        column = embeddings.modalities.index(target)
        visible = torch.ones_like(embeddings.available)
        visible[:, column] = False
        with torch.inference_mode():
            scores = objective.score(
                embeddings.with_visible(visible), embeddings.z[:, column], target=target
            )
        values.append(
            metric.compute(*expected_ranks(scores.numpy(), np.arange(len(embeddings.rows))))
        )
    learner.objective.to(device)
    return float(np.mean(values))

"""What is measured on the tuning split after each epoch."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.batch import shuffled_batches
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import BatchLoader
from clinical_symile.data.store import CohortStore
from clinical_symile.metrics.representation import representation_metrics
from clinical_symile.metrics.retrieval import expected_ranks
from clinical_symile.models.multimodal import embed_rows
from clinical_symile.objectives.base import Objective
from clinical_symile.registry import RETRIEVAL_METRICS, resolve
from clinical_symile.training.learner import Learner

TC_ESTIMATE = "tuning/tc_estimate"


def selection_metric(task: Pretraining) -> str:
    """The measure by which the best epoch is chosen."""
    return f"tuning/{task.selection.metric}"


def complete_rows(
    store: CohortStore, split: str, modalities: Sequence[str]
) -> Int[np.ndarray, " complete"]:
    """The rows of a split that have all of some modalities."""
    rows = store.rows(split)
    columns = [store.modalities.index(name) for name in modalities]
    return rows[store.present[rows][:, columns].all(axis=1)]


def tuning_metrics(
    learner: Learner,
    store: CohortStore,
    task: Pretraining,
    *,
    seed: int,
    feed: BatchLoader,
) -> dict[str, float]:
    """The task's metric on complete tuning samples, and what else can be said of them.

    That is the health of their embeddings and, where there is one, `tc_estimate`.

    Args:
        learner: as it is after an epoch.
        store: of the tuning samples.
        task: says the metric, the targets it is averaged over, and the size of a batch.
        seed: divides the samples into batches, the same in every epoch.
        feed: of the store, to where the encoders are.
    """
    rows = complete_rows(store, "tuning", task.modalities)
    embeddings = embed_rows(learner.model, store, rows, feed=feed)
    measured = {selection_metric(task): _retrieval(learner, embeddings, task, feed.device)}
    measured |= representation_metrics(embeddings.z.double().numpy(), embeddings.modalities)
    estimate = tc_estimate(
        learner.objective, embeddings, batch_size=task.batch_size, seed=seed, device=feed.device
    )
    return measured if estimate is None else {**measured, TC_ESTIMATE: estimate}


@torch.inference_mode()
def tc_estimate(
    objective: Objective,
    embeddings: Embeddings,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> float | None:
    """Total correlation in nats, estimated as log K - loss; None where a loss gives none.

    K is the number of candidates of an anchor, its own included: n for shuffled negatives, n^(M-1)
    for all, with n the samples of the batch. Samples are complete, so that K is the same for all
    anchors, and not of the training split, so that nothing is remembered. The expectation of log K
    - loss is at most the total correlation if candidates are drawn from the product of the
    marginals; those of one batch share members, and a finite sample scatters, so that it may lie
    above. It is never more than log K.

    Source: Saporta et al., "Contrasting with Symile", NeurIPS 2024. https://arxiv.org/abs/2411.01053

    Args:
        objective: whose loss is taken.
        embeddings: of complete samples.
        batch_size: n, unless there are fewer samples.
        seed: of the division into batches, and of what the objective draws.
        device: where the objective is.
    """
    modalities, estimates = len(embeddings.modalities), []
    generator = torch.Generator().manual_seed(seed)
    batches = shuffled_batches(
        len(embeddings.rows), batch_size=batch_size, rng=np.random.default_rng(seed)
    )
    for index in batches:
        candidates = objective.candidates_per_anchor(len(index), modalities=modalities)
        if candidates is None:
            return None
        batch = embeddings.take(torch.from_numpy(index)).to(device)
        loss = objective(batch, generator=generator)
        estimates.append(math.log(candidates) - float(loss))
    return float(np.mean(estimates))


def _retrieval(
    learner: Learner, embeddings: Embeddings, task: Pretraining, device: torch.device
) -> float:
    metric = resolve(task.selection.metric, RETRIEVAL_METRICS, what="retrieval metric")
    objective = learner.objective.cpu()
    values = []
    for target in task.selection.targets:
        column = embeddings.modalities.index(target)
        query = torch.ones_like(embeddings.present)
        query[:, column] = False
        with torch.inference_mode():
            scores = objective.score(embeddings.hide(query), embeddings.z[:, column], target=target)
        values.append(
            metric.compute(*expected_ranks(scores.numpy(), np.arange(len(embeddings.rows))))
        )
    learner.objective.to(device)
    return float(np.mean(values))

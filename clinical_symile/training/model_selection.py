"""Metrics of the tuning split, by which the best epoch is selected."""

import math

import numpy as np
import torch
from scipy.special import expit

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.loader import BatchLoader, shuffled_batches
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.metrics.representation import representation_metrics
from clinical_symile.metrics.retrieval import expected_ranks
from clinical_symile.models.row_embeddings import embed_rows
from clinical_symile.objectives.base import Objective
from clinical_symile.objectives.label_predictor import LabelPredictor
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import CLASSIFICATION_METRICS, RETRIEVAL_METRICS
from clinical_symile.training.learner import Learner

TC_ESTIMATE = "tuning/tc_estimate"


def selection_metric(task: Pretraining) -> str:
    """Return the key of the metric that selects the best epoch."""
    return f"tuning/{task.selection.metric}"


def check_selection(objective: Objective, store: CohortStore, task: Pretraining) -> None:
    """Refuse a selection metric that the objective or the tuning samples cannot give.

    Raises:
        DefinitionError: the metric is of retrieval and the objective predicts labels, or the
            reverse; or a modality to retrieve is hidden in every train sample.
        DataError: a label has one class among the complete tuning samples.
    """
    predicts = task.selection.metric in CLASSIFICATION_METRICS
    if predicts == objective.retrieves:
        does, expected = (
            ("scores candidates", "mean_reciprocal_rank or a recall, and modalities as targets")
            if objective.retrieves
            else ("predicts labels", "auroc or auprc, and labels as targets")
        )
        raise DefinitionError(
            f"task '{task.name}': selection.metric is '{task.selection.metric}', but the objective "
            f"'{task.objective.name}' {does}; expected {expected}. Change [selection].",
            code="CS-F020",
        )
    if not predicts:
        untrained = [name for name in task.selection.targets if name not in task.trained_modalities]
        if untrained:
            raise DefinitionError(
                f"task '{task.name}': selection.targets names {', '.join(untrained)}, which the "
                f"pattern '{task.missingness}' hides in every train sample; expected modalities "
                f"that are trained: {', '.join(task.trained_modalities)}. Change [selection].",
                code="CS-F020",
            )
        return
    rows = store.complete_rows("tuning", task.modalities)
    of_one_class = [
        name
        for name in task.selection.targets
        if len({*store.outcome(name)[rows]} & {0.0, 1.0}) < 2
    ]
    if of_one_class:
        raise DataError(
            *(
                f"task '{task.name}': label '{name}' has fewer than two classes among the complete "
                "tuning samples, by which the best epoch is selected; expected positive and "
                "negative ones. Select by another label, or prepare a larger cohort."
                for name in of_one_class
            ),
            code="CS-D034",
        )


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
    one, an estimate of the total correlation. A modality that the task's pattern hides in every
    train sample has an encoder that learned nothing: it does not take part in selection, and there
    is no estimate.

    Args:
        learner: the learner after an epoch.
        store: the store of the tuning samples.
        task: has the metric, the targets it is averaged over, and the batch size.
        seed: seed of the division into batches, the same in every epoch.
        loader: of the store, to the encoders' device.

    Raises:
        DataError: the weights are not finite any more.
    """
    rows = store.complete_rows("tuning", task.modalities)
    embeddings = embed_rows(learner.model, store, rows, loader=loader)
    if not embeddings.means.isfinite().all():
        raise DataError(
            f"task '{task.name}': training diverged: its embeddings are not finite; expected "
            "numbers. Lower optimiser.learning_rate, and train under another name or remove the "
            "run's folder, which exists after a complete epoch.",
            code="CS-R008",
        )
    is_trained = torch.tensor([name in task.trained_modalities for name in embeddings.modalities])
    selected_by = (
        embeddings
        if is_trained.all()
        else embeddings.restricted_to(is_trained.expand(len(rows), -1))
    )
    if isinstance(learner.objective, LabelPredictor):
        value = _prediction_value(learner.objective, store, selected_by, task, loader.device)
    else:
        value = _selection_value(learner, selected_by, task, loader.device)
    metrics = {selection_metric(task): value}
    metrics |= representation_metrics(embeddings.means.double().numpy(), embeddings.modalities)
    if not is_trained.all():
        return metrics  # an estimate needs vectors of all modalities
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
        for of_set in _sets_to_select_by(embeddings, target=column):
            with torch.inference_mode():
                scores = objective.score(
                    of_set.with_visible(visible), of_set.z[:, column], target=target
                )
            values.append(
                metric.compute(*expected_ranks(scores.numpy(), np.arange(len(embeddings.rows))))
            )
    learner.objective.to(device)
    return float(np.mean(values))


def _prediction_value(
    objective: LabelPredictor,
    store: CohortStore,
    embeddings: Embeddings,
    task: Pretraining,
    device: torch.device,
) -> float:
    """Average the selection metric over the labels that it is computed of."""
    metric, values = resolve(task.selection.metric, CLASSIFICATION_METRICS), []
    for of_set in _sets_to_select_by(embeddings):
        with torch.inference_mode():
            log_odds = objective.cpu().log_odds(of_set).double().numpy()
        for name in task.selection.targets:
            label = store.outcome(name)[embeddings.rows.numpy()]
            known = ~np.isnan(label)
            risk = expit(log_odds[known, objective.label_names.index(name)])
            values.append(metric.compute(label[known].astype(int), risk))
    objective.to(device)
    return float(np.mean(values))


def _sets_to_select_by(embeddings: Embeddings, *, target: int | None = None) -> list[Embeddings]:
    """Return the complete samples, or what a method that encodes by set makes of incomplete ones.

    Such a method changes nothing of complete samples, so that these select no epoch.

    Args:
        embeddings: of complete samples.
        target: the column that is retrieved; a set has it, and another modality.
    """
    if embeddings.sets is None:
        return [embeddings]
    count, made = len(embeddings.modalities), []
    for code in range(1, 2**count - 1):
        in_set = [bool(code >> column & 1) for column in range(count)]
        if target is None or (in_set[target] and sum(in_set) > 1):
            made.append(
                embeddings.restricted_to(torch.tensor(in_set).expand(len(embeddings.z), -1))
            )
    return made or [embeddings]

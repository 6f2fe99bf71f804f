"""Train encoders and a linear layer to predict one outcome."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from clinical_symile.config.tasks.pretraining import Optimiser
from clinical_symile.data.loader import Batch, load_batch, shuffled_batches
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.training.optim import learning_rate, parameter_groups

_BATCH_ROWS = 256


@dataclass(frozen=True, repr=False)
class LabelledRows:
    """Samples with a known outcome.

    Attributes:
        rows: the samples, as rows of the store.
        available: True where a modality may be used; its columns are the classifier's modalities.
        label: 1 where the outcome is positive, else 0.
    """

    rows: Int[np.ndarray, " sample"]
    available: Bool[np.ndarray, "sample modality"]
    label: Int[np.ndarray, " sample"]


class Classifier(nn.Module):
    """A model and a linear layer on its available embeddings and on which are available.

    The layer starts from zero, so that its weights are not random.

    Args:
        model: makes embeddings of a batch.
        modalities: the modalities of the model to use.
    """

    def __init__(self, model: MultimodalEncoder, modalities: tuple[str, ...]):
        super().__init__()
        self.model = model
        self.modalities = modalities
        width = len(modalities) * (model.dim + 1)
        self.weight, self.bias = nn.Parameter(torch.zeros(1, width)), nn.Parameter(torch.zeros(1))

    def forward(self, batch: Batch) -> Float[Tensor, " sample"]:
        """Return the log odds of the outcome."""
        embeddings = self.model(batch)
        columns = [self.model.modalities.index(name) for name in self.modalities]
        z, available = embeddings.means[:, columns], batch.available[:, columns]
        z = torch.where(available[:, :, None], z, torch.zeros_like(z)).flatten(1)
        features = torch.cat([z, available.to(z.dtype)], dim=1)
        return functional.linear(features, self.weight, self.bias)[:, 0]


def fit_classifier(
    classifier: Classifier,
    store: CohortStore,
    train: LabelledRows,
    tuning: LabelledRows,
    *,
    optimiser: Optimiser,
    epochs: int,
    batch_size: int,
    seed: int,
    keep_statistics: bool,
) -> Classifier:
    """Train with the log loss and keep the epoch with the lowest loss on tuning samples.

    Args:
        classifier: changed in place.
        store: the store of the samples; only available measurements are read.
        train: samples to train on.
        tuning: samples to select the epoch by.
        optimiser: settings of the optimiser.
        epochs: passes over the training samples.
        batch_size: samples in a step.
        seed: seed of the batches and of random layers; the global random state is left unchanged.
        keep_statistics: True keeps the statistics of batch normalisation and turns dropout off, for
            weights that were trained before.

    Raises:
        CannotScore: training diverged.
    """
    steps = epochs * (len(train.rows) // min(batch_size, len(train.rows)))
    adam = torch.optim.AdamW(parameter_groups(classifier, optimiser), lr=0.0)
    kept, lowest, step = copy.deepcopy(classifier.state_dict()), np.inf, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(epochs):
            classifier.train(not keep_statistics)
            rng = np.random.default_rng([seed, epoch])
            for index in shuffled_batches(len(train.rows), batch_size=batch_size, rng=rng):
                for group in adam.param_groups:
                    group["lr"] = learning_rate(optimiser, step, steps)
                logit = classifier(
                    _batch(classifier, store, train.rows[index], train.available[index])
                )
                target = torch.from_numpy(train.label[index]).to(logit.dtype)
                adam.zero_grad()
                functional.binary_cross_entropy_with_logits(logit, target).backward()
                nn.utils.clip_grad_norm_(classifier.parameters(), optimiser.gradient_clip)
                adam.step()
                step += 1
            logit = predict_log_odds(classifier, store, tuning.rows, tuning.available)
            if not np.isfinite(logit).all():
                raise CannotScore(
                    f"training for the outcome diverged in epoch {epoch + 1}. Lower learning_rate.",
                    code="CS-S012",
                )
            loss = float(np.logaddexp(0, np.where(tuning.label == 1, -logit, logit)).mean())
            if loss < lowest:
                kept, lowest = copy.deepcopy(classifier.state_dict()), loss
    classifier.load_state_dict(kept)
    return classifier.eval()


@torch.inference_mode()
def predict_log_odds(
    classifier: Classifier,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    available: Bool[np.ndarray, "sample modality"],
) -> Float[np.ndarray, " sample"]:
    """Predict the log odds of the outcome for some rows from their available modalities."""
    classifier.eval()
    chunks = [slice(start, start + _BATCH_ROWS) for start in range(0, len(rows), _BATCH_ROWS)]
    parts = [
        classifier(_batch(classifier, store, rows[chunk], available[chunk])).double().numpy()
        for chunk in chunks
    ]
    return np.concatenate([np.zeros(0), *parts])


def _batch(
    classifier: Classifier,
    store: CohortStore,
    rows: Int[np.ndarray, " sample"],
    available: Bool[np.ndarray, "sample modality"],
) -> Batch:
    every = classifier.model.modalities
    visible = np.zeros((len(rows), len(every)), dtype=bool)
    visible[:, [every.index(name) for name in classifier.modalities]] = available
    return load_batch(store, rows, modalities=every, visible=visible)

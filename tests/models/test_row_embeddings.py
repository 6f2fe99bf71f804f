import numpy as np
import torch

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.models.multimodal import build_model
from clinical_symile.models.row_embeddings import embed_rows


def test_embedding_in_batches_is_embedding_at_once(
    tiny_task: Pretraining, synthetic_store: CohortStore
) -> None:
    model, rows = build_model(tiny_task, synthetic_store, seed=0), np.arange(20)[::-1].copy()
    at_once, in_batches = [
        embed_rows(model, synthetic_store, rows, batch_size=size) for size in (256, 7)
    ]
    torch.testing.assert_close(in_batches.z, at_once.z, rtol=1e-4, atol=1e-6)
    assert torch.equal(in_batches.available, at_once.available)
    assert in_batches.rows.tolist() == rows.tolist()
    assert torch.equal(at_once.available, torch.from_numpy(synthetic_store.present[rows]))


def test_embedding_changes_nothing_in_the_model(
    tiny_task: Pretraining, synthetic_store: CohortStore
) -> None:
    model = build_model(tiny_task, synthetic_store, seed=0).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    embedded = embed_rows(model, synthetic_store, np.arange(5))
    assert model.training
    assert not embedded.z.requires_grad
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_nobody_has_embeddings_of_the_same_width(
    tiny_task: Pretraining, synthetic_store: CohortStore
) -> None:
    none = embed_rows(
        build_model(tiny_task, synthetic_store, seed=0), synthetic_store, np.zeros(0, dtype=int)
    )
    assert none.z.shape == (0, 3, tiny_task.dim)

from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.predictors.bank import draw_bank, read_bank, write_bank
from clinical_symile.objectives.missing_query import Bank

MODALITIES, DIM = ("cxr", "ecg", "labs"), 4


def test_the_bank_holds_train_embeddings_alone(synthetic_store: CohortStore) -> None:
    z = torch.arange(len(synthetic_store.samples), dtype=torch.float32)[:, None, None]
    embeddings = Embeddings(
        z.expand(-1, 3, DIM).clone(),
        torch.from_numpy(synthetic_store.present.copy()),
        MODALITIES,
        torch.arange(len(synthetic_store.samples)),
    )
    train = synthetic_store.rows("train")
    bank = draw_bank(embeddings.take(torch.from_numpy(train.copy())), size=20, seed=0)
    for column, name in enumerate(MODALITIES):
        drawn = bank.z[name][:, 0].long().numpy()
        assert len(drawn) == len(set(drawn.tolist())) == 20
        assert np.isin(drawn, train).all()
        assert synthetic_store.present[drawn, column].all()
    again = draw_bank(embeddings.take(torch.from_numpy(train.copy())), size=20, seed=0)
    other = draw_bank(embeddings.take(torch.from_numpy(train.copy())), size=20, seed=1)
    assert torch.equal(again.z["ecg"], bank.z["ecg"])
    assert not torch.equal(other.z["ecg"], bank.z["ecg"])


def test_a_bank_is_read_as_it_was_written(tmp_path: Path) -> None:
    bank = Bank({"ecg": torch.randn(4, 3), "labs": torch.randn(2, 3)}, seed=7)
    assert read_bank(tmp_path, seed=7) is None
    write_bank(bank, tmp_path)
    found = read_bank(tmp_path, seed=7)
    assert found is not None
    assert {name: z.tolist() for name, z in found.z.items()} == {
        name: z.tolist() for name, z in bank.z.items()
    }
    (tmp_path / "bank.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match="draws the same bank again"):
        read_bank(tmp_path, seed=7)


def test_a_modality_has_as_many_entries_as_train_samples_have_it_or_none(
    synthetic_store: CohortStore,
) -> None:
    available = torch.zeros(len(synthetic_store.samples), 3, dtype=torch.bool)
    train = synthetic_store.rows("train")
    available[train[:5].tolist(), 0] = True
    available[synthetic_store.rows("held_out").tolist(), 1] = True
    z = torch.zeros(*available.shape, DIM)
    embeddings = Embeddings(z, available, MODALITIES, torch.arange(len(available)))
    bank = draw_bank(embeddings.take(torch.from_numpy(train.copy())), size=20, seed=0)
    assert {name: len(entries) for name, entries in bank.z.items()} == {"cxr": 5}

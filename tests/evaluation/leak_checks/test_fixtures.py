"""The toy data of the leakage check lack something, and differ."""

import numpy as np
import torch

from clinical_symile.evaluation.leak_checks.fixtures import (
    TOY_SPLITS,
    toy_embeddings,
    toy_labelled_rows,
)


def test_toy_samples_differ_and_each_split_has_missing_modalities_and_both_classes():
    z, present = toy_embeddings(4, samples=len(TOY_SPLITS))
    assert len(np.unique(z.numpy().reshape(len(z), -1), axis=0)) == len(z)
    for split in np.unique(TOY_SPLITS):
        some = present[torch.from_numpy(split == TOY_SPLITS)]
        assert (~some).any(dim=0).all()
        assert some.any(dim=1).all()
        assert len(np.unique(toy_labelled_rows(split, present.numpy()).label)) == 2

"""Leaks of replacements that are fitted to train embeddings are named."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.leak_checks.components import missing_modality_leaks
from clinical_symile.evaluation.leak_checks.fitted import fitted_leaks
from clinical_symile.models.missing_modality.base import (
    DropModality,
    Fill,
    ImputeValues,
    MissingModalityMethod,
    PanelImputation,
    missing_modality_method,
)
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.registry.families import MISSING_MODALITY_METHODS


def fit_to_others_of_the_batch(train: Embeddings, seed: int) -> Sequence[Fill]:
    del train, seed

    def fill(z: Tensor, available: Tensor) -> Tensor:
        del available
        return z.mean(dim=0).expand_as(z) + 1.0

    return (fill,)


def fit_to_the_order(train: Embeddings, seed: int) -> Sequence[Fill]:
    """It takes the samples that are replaced for the first of the train samples."""
    del seed
    first = torch.arange(1.0, 1 + len(train.z))[:, None] ** torch.arange(train.z.shape[2])
    return (lambda z, available: z + first[: len(z), None].flip(0),)


@pytest.mark.parametrize("fit", [fit_to_others_of_the_batch, fit_to_the_order])
def test_a_replacement_that_depends_on_the_company_is_named(fit):
    method = MissingModalityMethod(handler=DropModality, fit=fit)
    leaks = list(missing_modality_leaks(method))
    assert leaks == ["replacement 1 of an embedding depends on the other samples."]


def impute_by_the_batch(values: np.ndarray, seed: int) -> ImputeValues:
    del values, seed
    return lambda asked, names: np.where(np.isnan(asked), np.nanmean(asked) + len(names), asked)


def impute_all(values: np.ndarray, seed: int) -> ImputeValues:
    del values, seed
    return lambda asked, names: np.zeros_like(asked)


@pytest.mark.parametrize(
    ("fit_values", "leak"),
    [
        (impute_by_the_batch, "an imputed value depends on the other samples."),
        (impute_all, "an imputation of values changes measured ones."),
    ],
)
def test_an_imputation_of_values_that_leaks_is_named(fit_values, leak):
    panel = PanelImputation(
        number=1, fit_values=fit_values, fit_vectors=lambda train, seed: lambda z, available: z
    )
    method = MissingModalityMethod(handler=DropModality, panel=panel)
    assert list(missing_modality_leaks(method)) == [leak]


def test_a_method_that_fits_nothing_has_no_such_leaks():
    towers = {name: torch.nn.Linear(4, 8) for name in ("cxr", "ecg", "labs")}
    model = MultimodalEncoder(towers, dim=8, norm="l2", missing_modality="drop")
    assert list(fitted_leaks(model)) == []


def test_some_registered_methods_fit_and_train_nothing():
    fitting = {
        name for name in MISSING_MODALITY_METHODS if missing_modality_method(name).fit is not None
    }
    assert fitting == {"imputed", "imputed_values", "neighbours", "prototypes"}
    for name in fitting:
        assert missing_modality_method(name).handler is DropModality

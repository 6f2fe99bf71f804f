"""Find leaks of what a missing-modality method fits to train embeddings and to panels."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.evaluation.leak_checks._comparison import Outputs, differences
from clinical_symile.evaluation.leak_checks.fixtures import (
    TOY_DIM,
    TOY_MODALITIES,
    TOY_SAMPLES,
    toy_embeddings,
)
from clinical_symile.models.missing_modality.base import PanelImputation
from clinical_symile.models.multimodal import MultimodalEncoder


def fitted_leaks(model: MultimodalEncoder) -> Iterator[str]:
    """Yield a sentence for each leak of replacements that are fitted to train embeddings.

    Hidden slots are those of the train samples and of the samples whose slots are replaced. A
    replacement must not depend on other samples that are replaced, and no imputed value on other
    samples that are imputed.

    Args:
        model: has the method, and encoders that are not used.
    """
    z, available = toy_embeddings(TOY_DIM)
    rows = torch.arange(TOY_SAMPLES)

    def replaced(slots: Tensor, some: Tensor = rows) -> Outputs:
        train = Embeddings(slots, available, TOY_MODALITIES, rows)
        asked = train.take(some.flip(0))
        with torch.inference_mode():
            return {
                f"replacement {number} of an embedding": fill(asked.z, asked.available)
                for number, fill in enumerate(model.fitted(train, seed=0), start=1)
            }

    yield from differences(replaced, z, available)
    alone = replaced(z, rows[-1:])
    for name, together in replaced(z).items():
        if not torch.allclose(alone[name], together[:1], atol=1e-6):
            yield f"{name} depends on the other samples."
    if model.panel is not None:
        yield from _panel_leaks(model.panel)


def _panel_leaks(panel: PanelImputation) -> Iterator[str]:
    """Yield a sentence for each leak of imputed values, with toy slots as values of three analytes.

    Imputations get NaN for what is withheld; see `complete_panels`.
    """
    z, available = toy_embeddings(TOY_DIM)
    values = np.where(available, z[:, :, 0], np.nan)
    names = [f"sample-{row}" for row in range(TOY_SAMPLES)]
    fill_in = panel.fit_values(values, 0)
    together = fill_in(values[::-1], names[::-1])
    measured = ~np.isnan(values[::-1])
    if not np.array_equal(together[measured], values[::-1][measured]):
        yield "an imputation of values changes measured ones."
    each = [fill_in(values[row : row + 1], names[row : row + 1]) for row in range(TOY_SAMPLES)]
    if not np.allclose(np.concatenate(each[::-1]), together, atol=1e-6, equal_nan=True):
        yield "an imputed value depends on the other samples."

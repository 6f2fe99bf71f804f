"""An objective gets the side information that it reads, and its absence is named."""

import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.inputs import ObjectiveInput, gather_input


def _input(**side: torch.Tensor) -> ObjectiveInput:
    rows = torch.arange(2)
    z, available = torch.zeros(2, 2, 3), torch.ones(2, 2, dtype=torch.bool)
    return ObjectiveInput(Embeddings(z, available, ("a", "b"), rows), SideInformation(rows, **side))


def test_what_is_given_is_read_and_what_is_not_is_named():
    labels = torch.tensor([[1.0], [0.0]])
    inputs = _input(labels=labels)
    assert inputs.labels is labels
    for kind in ("subjects", "values"):
        with pytest.raises(ValueError, match=f"there are no {kind}"):
            getattr(inputs, kind)


def test_one_process_has_the_whole_batch():
    inputs = _input()
    assert gather_input(inputs, None) is inputs

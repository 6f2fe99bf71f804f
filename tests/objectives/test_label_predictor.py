"""What objectives that predict labels share: which samples teach, and what is refused."""

import math

import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.side_information import SideInformation
from clinical_symile.objectives.inputs import ObjectiveInput
from clinical_symile.objectives.label_predictor import (
    LabelPredictor,
    known_labels,
    teaching_samples,
)
from clinical_symile.objectives.slots import FewSamplesError
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import OBJECTIVES
from tests.helpers.objective_values import connected

NAN = math.nan
LABELS = torch.tensor([[1.0, 0.0], [NAN, -1.0], [NAN, NAN], [-1.0, 1.0]])


def test_an_uncertain_label_is_as_an_unknown_one() -> None:
    rows = torch.arange(4)
    has = torch.ones(4, 2, dtype=torch.bool)
    embeddings = Embeddings(torch.zeros(4, 2, 3), has, ("cxr", "ecg"), rows)
    found = known_labels(ObjectiveInput(embeddings, SideInformation(rows, labels=LABELS)))
    assert found.nan_to_num(nan=9.0).tolist() == [[1, 0], [9, 9], [9, 9], [9, 1]]


def test_samples_teach_that_have_a_known_label_and_a_modality() -> None:
    labels = torch.where(LABELS < 0, torch.nan, LABELS)
    available = torch.tensor([[1, 0], [1, 1], [1, 1], [0, 0]], dtype=torch.bool)
    is_known, taught = teaching_samples(labels, available)
    assert is_known.tolist() == [True, False, False, True]
    assert taught.tolist() == [True, False, False, False]
    with pytest.raises(FewSamplesError, match="a known label and a modality; this batch of 3"):
        teaching_samples(labels[1:], available[1:])


def test_every_objective_without_a_score_is_one() -> None:
    made = {name: resolve(name, OBJECTIVES) for name in OBJECTIVES}
    without = {name for name, kind in made.items() if not kind.retrieves}
    assert without == {name for name, kind in made.items() if issubclass(kind, LabelPredictor)}
    assert {"outcome", "farcon"} <= without


def test_a_fusion_without_a_name_and_a_task_without_labels_are_refused() -> None:
    for name in ("outcome", "farcon"):
        kind = resolve(name, OBJECTIVES)
        with pytest.raises(ValueError, match="fusion has no 'name'"):
            kind(fusion={"hidden": 4})
        with pytest.raises(ValueError, match="the task names none; expected the key labels"):
            kind().connect(
                modalities=("cxr", "ecg"),
                dim=4,
                norm="l2",
                generator=torch.Generator().manual_seed(0),
            )
        z, has = torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
        query = Embeddings(z, has, ("cxr", "ecg", "labs"), torch.arange(2))
        made = connected(kind())
        with pytest.raises(ValueError, match="has no score of candidates"):
            made.score(query, z[:, 0], target="cxr")

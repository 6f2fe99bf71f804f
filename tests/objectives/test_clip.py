"""CLIP as an objective: its score, its limits and its arguments."""

import numpy as np
import pytest
import torch

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.clip import Clip


def test_operations_of_a_step_by_hand():
    # For each of 3 pairs one product forward and 3 backward of 5² · 4 multiplications, additions.
    assert Clip().flops(5, modalities=3, dim=4) == 2 * 3 * 4 * 100


def test_scores_rank_as_those_of_the_papers_code(golden_scores):
    # The paper's logits also hold the product of the two queries, the same for all candidates.
    for case, candidates, (first, second, _) in golden_scores:
        query = Embeddings(
            z=torch.stack([first, torch.full_like(first, torch.nan), second], dim=1),
            available=torch.ones(case["n"], 3, dtype=torch.bool),
            modalities=("first", "target", "second"),
            rows=torch.arange(case["n"]),
        )
        scores = Clip().score(query, candidates, target="target")
        for key, scale in (("scale_1", 1.0), ("scale_10", 10.0)):
            expected = case[f"zeroshot_clip_{key}"]
            logits = scale * (scores + (first * second).sum(1, keepdim=True))
            tolerance = 1e-5 * scale
            np.testing.assert_allclose(logits[0, :16], expected["row0"], atol=tolerance)
            assert np.linalg.norm(logits) == pytest.approx(expected["fro"], abs=10 * tolerance)
            assert scores.argmax(1).tolist() == expected["argmax_rows"]


def test_the_loss_estimates_no_total_correlation():
    assert Clip().n_candidates(7, modalities=3) is None


def test_the_scale_has_clips_limit():
    assert Clip().logit_scale_max == 100


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="unknown reduction 'none'"):
        Clip(reduction="none")

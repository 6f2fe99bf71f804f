"""Scores of tokens: known values, loops, the order of tokens, and one token as CLIP."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from clinical_symile.data.embeddings import Embeddings
from clinical_symile.objectives.tokens import TokenClip
from tests.helpers.dense import dense_clip_loss
from tests.helpers.objective_values import MODALITIES, connected, loss_value, unit_batch


def split(z, tokens):
    return normalize(z.reshape(tokens, -1), dim=1)


def score_in_loops(q, p, pool, sharpness=10.0) -> float:
    pooled = []
    for one in q:
        products = [float(one @ other) for other in p]
        pooled.append(
            {
                "late": max(products),
                "mean": sum(products) / len(products),
                "logsumexp": (
                    math.log(sum(math.exp(sharpness * x) for x in products)) - math.log(len(p))
                )
                / sharpness,
            }[pool]
        )
    return sum(pooled) / len(pooled)


@pytest.mark.parametrize(
    ("pool", "known"),
    [("late", 0.775625820913), ("logsumexp", 0.638685507453), ("mean", -0.052966901659)],
)
def test_pooled_products_have_their_known_values(pool, known, fixture_f):
    """The tokens of the query are the rows of Z_1, those of the candidate the rows of Z_0."""
    first, second = fixture_f[:, 0].reshape(1, -1), fixture_f[:, 1].reshape(1, -1)
    objective = connected(TokenClip(tokens=4, pool=pool), dim=12, modalities=2)
    whole = torch.ones(1, 2, dtype=torch.bool)
    query = Embeddings(torch.stack([first, second], 1), whole, MODALITIES[:2], torch.arange(1))
    found = objective.score(query, first, target="cxr").item()
    assert found == pytest.approx(score_in_loops(fixture_f[:, 1], fixture_f[:, 0], pool), rel=1e-12)
    assert found == pytest.approx(known, abs=1e-11)


@pytest.mark.parametrize("pool", ["late", "logsumexp", "mean"])
@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_the_loss_is_the_formula_in_loops(pool, tokens, rng):
    z = unit_batch(rng, 6, dim=6)
    available = torch.ones(6, 3, dtype=torch.bool)
    available[4, 1] = False
    objective = connected(TokenClip(tokens=tokens, pool=pool, sharpness=4.0), dim=6)
    found = loss_value(objective, z, available, temperature=0.2)
    pairs = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        rows = [i for i in range(6) if available[i, a] and available[i, b]]
        for x, y in ((a, b), (b, a)):
            of_pair = []
            for i in rows:
                logits = [
                    5 * score_in_loops(split(z[i, x], tokens), split(z[j, y], tokens), pool, 4.0)
                    for j in rows
                ]
                of_pair.append(math.log(sum(map(math.exp, logits))) - logits[rows.index(i)])
            pairs.append(sum(of_pair) / len(of_pair))
    assert found == pytest.approx(sum(pairs) / 6, rel=1e-11)


@pytest.mark.parametrize("pool", ["late", "logsumexp", "mean"])
def test_one_token_is_the_inner_product_and_the_loss_is_clips(pool, fixture_f, without_last_labs):
    objective = connected(TokenClip(tokens=1, pool=pool), dim=3)
    found = loss_value(objective, fixture_f, temperature=0.1)
    assert found == pytest.approx(10.784360875436, abs=1e-10)
    ten = torch.tensor(10.0, dtype=torch.float64)
    masked = loss_value(objective, fixture_f, without_last_labs, temperature=0.1)
    expected = dense_clip_loss(fixture_f, ten, without_last_labs).item()
    assert masked == pytest.approx(expected, rel=1e-12)
    available = torch.tensor([[True, False, True]] * 4)
    query = Embeddings(fixture_f, available, MODALITIES[:3], torch.arange(4))
    scores = objective.score(query, fixture_f[:, 0], target="cxr")
    torch.testing.assert_close(scores, fixture_f[:, 2] @ fixture_f[:, 0].T)


@pytest.mark.parametrize("pool", ["late", "logsumexp", "mean"])
def test_the_order_of_tokens_changes_nothing(pool, rng):
    z = unit_batch(rng, 5, dim=8)
    mixed = z.reshape(5, 3, 4, 2)[:, :, [2, 0, 3, 1]].reshape(5, 3, 8)
    objective = connected(TokenClip(tokens=4, pool=pool), dim=8)
    values = [loss_value(objective, each, temperature=0.2) for each in (z, mixed)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_late_interaction_is_the_limit_of_sharp_pooling_and_the_mean_that_of_flat_one(rng):
    z = unit_batch(rng, 5, dim=8)

    def value(**arguments) -> float:
        objective = connected(TokenClip(tokens=4, **arguments), dim=8)
        return loss_value(objective, z, temperature=0.2)

    sharp = value(pool="logsumexp", sharpness=1e6)
    assert sharp == pytest.approx(value(pool="late"), rel=1e-4)
    flat = value(pool="logsumexp", sharpness=1e-6)
    assert flat == pytest.approx(value(pool="mean"), rel=1e-4)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"tokens is 0; .* pool is 'max'; .* sharpness is 0"):
        TokenClip(tokens=0, pool="max", sharpness=0.0)
    with pytest.raises(ValueError, match="tokens is 3 and the width of embeddings 8; expected a"):
        connected(TokenClip(tokens=3), dim=8)

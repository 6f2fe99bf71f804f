"""What a product score does with a missing query modality."""

import itertools
import math

import pytest
import torch

from clinical_symile.objectives import missing_query
from clinical_symile.objectives.missing_query import Bank, product_scores

DIM, SCALE = 6, 7.0


def _draw(*shape: int) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64
    )


def _score(query, available, candidates, *, rule="marginalize", bank=None, names=("ecg", "labs")):
    return product_scores(
        query, available, candidates, modalities=names, logit_scale=SCALE, rule=rule, bank=bank
    )


def test_marginalizing_is_the_log_of_the_mean_over_the_bank_written_in_loops():
    query, candidates, bank = _draw(3, 2, DIM), _draw(4, DIM), _draw(5, DIM)
    available = torch.tensor([[True, True], [True, False], [False, True]])
    scores = _score(query, available, candidates, bank=Bank({"ecg": bank, "labs": bank + 1}))
    banks = (bank, bank + 1)
    for q, c in itertools.product(range(3), range(4)):
        gone = [m for m in range(2) if not available[q, m]]
        if not gone:
            expected = sum(query[q, 0, d] * query[q, 1, d] * candidates[c, d] for d in range(DIM))
        else:
            there = 1 - gone[0]
            terms = [
                math.exp(
                    SCALE
                    * sum(query[q, there, d] * entry[d] * candidates[c, d] for d in range(DIM))
                )
                for entry in banks[gone[0]]
            ]
            expected = math.log(sum(terms) / len(terms)) / SCALE
        assert float(scores[q, c]) == pytest.approx(float(expected), abs=1e-10)


def test_a_bank_of_one_entry_is_that_entry_in_the_missing_place():
    query, candidates, entry = _draw(3, 2, DIM), _draw(4, DIM), _draw(1, DIM)
    available = torch.tensor([[True, False]] * 3)
    bank = Bank({"labs": entry})
    expected = torch.einsum("qd,d,cd->qc", query[:, 0], entry[0], candidates)
    for rule in ("marginalize", "mean_bank"):
        torch.testing.assert_close(
            _score(query, available, candidates, rule=rule, bank=bank), expected
        )


def test_dropping_leaves_the_factor_out():
    query, candidates = _draw(3, 2, DIM), _draw(4, DIM)
    available = torch.tensor([[False, True]] * 3)
    torch.testing.assert_close(
        _score(query, available, candidates, rule="drop"), query[:, 1] @ candidates.T
    )


def test_a_complete_query_scores_the_same_under_every_rule():
    query, candidates = _draw(3, 2, DIM), _draw(4, DIM)
    available = torch.ones(3, 2, dtype=torch.bool)
    bank = Bank({"ecg": _draw(5, DIM), "labs": _draw(5, DIM)})
    for rule in missing_query.RULES:
        assert torch.equal(
            _score(query, available, candidates, rule=rule, bank=bank),
            (query[:, 0] * query[:, 1]) @ candidates.T,
        )


def test_candidates_of_each_query_score_as_shared_ones_do(monkeypatch):
    monkeypatch.setattr(missing_query, "_CELLS", 30)
    query, candidates = _draw(7, 2, DIM), _draw(4, DIM)
    available = torch.tensor([[True, False], [True, True], [False, True]] * 2 + [[True, False]])
    bank = Bank({"ecg": _draw(5, DIM), "labs": _draw(6, DIM)})
    own = candidates.expand(7, 4, DIM)
    torch.testing.assert_close(
        _score(query, available, own, bank=bank), _score(query, available, candidates, bank=bank)
    )


def test_what_a_missing_slot_holds_changes_nothing():
    query, candidates = _draw(3, 2, DIM), _draw(4, DIM)
    available = torch.tensor([[True, False]] * 3)
    bank = Bank({"labs": _draw(5, DIM)})
    before = _score(query, available, candidates, bank=bank)
    query[:, 1] = torch.nan
    assert torch.equal(_score(query, available, candidates, bank=bank), before)


def _table(generator: torch.Generator, *sizes: int) -> torch.Tensor:
    table = torch.rand(*sizes, generator=generator, dtype=torch.float64) ** 3 + 0.01
    return table / table.sum()


def test_independent_banks_give_the_posterior_of_a_discrete_table_and_joint_ones_do_not():
    """Four variables; a and b are missing and depend on each other. Embeddings are indicators.

    With d = all cells and the critic's log ratio as weight of the target's vector, the product of
    indicators picks out exactly g(a, b, q, c).
    """
    generator = torch.Generator().manual_seed(1)
    sizes = (3, 3, 2, 3)
    p = _table(generator, *sizes)
    p[0, 0] += 0.2
    p[1, 1] += 0.2
    p = p / p.sum()
    marginals = [p.sum(dim=[d for d in range(4) if d != axis]) for axis in range(4)]
    independent = torch.einsum("a,b,q,c->abqc", *marginals)
    g = (p / independent).log()
    cells = list(itertools.product(*(range(size) for size in sizes)))

    def indicator(axis: int, value: int) -> torch.Tensor:
        return torch.tensor([float(cell[axis] == value) for cell in cells], dtype=torch.float64)

    weights = torch.stack([g[cell] for cell in cells])
    candidates = torch.stack([indicator(3, c) * weights for c in range(3)])
    query = torch.stack([torch.stack([weights * 0, weights * 0, indicator(2, 1)])])
    available = torch.tensor([[False, False, True]])
    a, b = (
        torch.multinomial(marginals[axis], 40_000, replacement=True, generator=generator)
        for axis in (0, 1)
    )
    banks = {
        name: torch.stack([indicator(axis, int(value)) for value in range(3)])[drawn]
        for axis, (name, drawn) in enumerate((("a", a), ("b", b)))
    }
    scores = product_scores(
        query,
        available,
        candidates,
        modalities=("a", "b", "q"),
        logit_scale=1.0,
        rule="marginalize",
        bank=Bank(banks),
    )
    left = p.sum(dim=(0, 1))[1]
    expected = (left / (marginals[2][1] * marginals[3])).log()
    torch.testing.assert_close(scores[0], expected, atol=0.03, rtol=0)
    joint = torch.stack(
        [(p.sum(dim=(2, 3)) * (p / independent)[:, :, 1, c]).sum() for c in range(3)]
    )
    assert (joint.log() - expected).abs().max() > 0.1


def test_a_bank_without_a_missing_modality_is_refused():
    query, candidates = _draw(1, 2, DIM), _draw(4, DIM)
    available = torch.tensor([[True, False]])
    with pytest.raises(ValueError, match="bank has no embeddings of labs"):
        _score(query, available, candidates, bank=Bank({"ecg": _draw(2, DIM)}))
    with pytest.raises(ValueError, match="expected a bank of train embeddings"):
        _score(query, available, candidates)
    with pytest.raises(ValueError, match="missing_query is 'mean'; expected 'marginalize'"):
        _score(query, available, candidates, rule="mean")


def test_the_order_of_the_banks_entries_does_not_matter_with_one_modality_missing():
    query, candidates, entries = _draw(2, 2, DIM), _draw(4, DIM), _draw(9, DIM)
    available = torch.tensor([[True, False]] * 2)
    one, other = (
        _score(query, available, candidates, bank=Bank({"labs": bank}))
        for bank in (entries, entries.flip(0))
    )
    torch.testing.assert_close(one, other)

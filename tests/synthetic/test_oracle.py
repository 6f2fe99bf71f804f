from dataclasses import replace
from itertools import product
from math import comb, exp, log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.synthetic.oracle import Bayes, Oracle
from clinical_symile.synthetic.world import CXR_FINDINGS, WORLD_MODALITIES, World, bits_to_integers

SMALL = [
    World(redundant=1, unique=0, synergistic=1, synergy=0.7, flip=0.1),
    World(redundant=0, unique=1, synergistic=1, synergy=1.0, flip=0.0),
    World(redundant=2, unique=0, synergistic=0, synergy=0.0, flip=0.2),
    World(redundant=1, unique=1, synergistic=1, synergy=0.3, flip=0.05),
]

DEFAULTS = World(redundant=1, unique=1, synergistic=3, synergy=1.0, flip=0.05)


def bits_of(length):
    return list(product((0, 1), repeat=length))


def number(*groups):
    return sum(bit << place for place, bit in enumerate(b for group in groups for b in group))


def joint_in_loops(world):
    """p(words, outcome) from the definition of the world, one latent at a time."""
    joint = {}
    share = 2.0 ** -(world.redundant + 3 * world.unique + 2 * world.synergistic)
    for r in bits_of(world.redundant):
        for u in product(bits_of(world.unique), repeat=3):
            for e, k in product(bits_of(world.synergistic), repeat=2):
                for i, p_i in ((1, world.synergy), (0, 1 - world.synergy)):
                    c = tuple(a ^ b for a, b in zip(e, k, strict=True)) if i else e
                    for sign_bits in product(bits_of(world.redundant), repeat=3):
                        p = share * p_i
                        for word in sign_bits:
                            for bit, factor in zip(word, r, strict=True):
                                p *= world.flip if bit != factor else 1 - world.flip
                        logit = -0.9 + 1.9 * (sum(r) - world.redundant / 2)
                        logit += 1.1 * (sum(map(sum, u)) - 1.5 * world.unique)
                        logit += 1.2 * (sum(c) - world.synergistic / 2)
                        positive = 1 / (1 + exp(-logit))
                        key = tuple(number(sign_bits[m], u[m], s) for m, s in enumerate((c, e, k)))
                        before = joint.get(key, (0.0, 0.0))
                        joint[key] = (before[0] + p, before[1] + p * positive)
    return joint


def marginal(joint, modalities):
    table = {}
    places = [WORLD_MODALITIES.index(name) for name in modalities]
    for key, (p, positive) in joint.items():
        kept = tuple(key[place] for place in places)
        before = table.get(kept, (0.0, 0.0))
        table[kept] = (before[0] + p, before[1] + positive)
    return table


def as_store(world, sign_bits):
    columns = {f"kept_shown_{name}": sign_bits[:, m] for m, name in enumerate(WORLD_MODALITIES)}
    parameters = {name: getattr(world, name) for name in World.__dataclass_fields__}
    return CohortStore(
        path=Path("store"),
        manifest={"generator": {"parameters": {**parameters, "subjects": 7, "seed": 0}}},
        samples=pd.DataFrame(columns),
        modalities=WORLD_MODALITIES,
        present=np.ones(sign_bits.shape, dtype=bool),
        candidates=None,
    )


def oracle_of(world, *, samples, rng):
    sign_bits = np.stack([bits_to_integers(world.draw(rng)[0]) for _ in range(samples)])
    return Oracle(as_store(world, sign_bits)), sign_bits


@pytest.mark.parametrize("world", SMALL)
def test_total_correlation_is_the_divergence_in_loops(world):
    joint = joint_in_loops(world)
    singles = [marginal(joint, (name,)) for name in WORLD_MODALITIES]
    expected = sum(
        p * log(p / np.prod([singles[m][key[m],][0] for m in range(3)]))
        for key, (p, _) in joint.items()
        if p > 0
    )
    assert Bayes(world).total_correlation == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("world", SMALL)
@pytest.mark.parametrize(
    ("visible", "target"),
    [(("ecg", "labs"), "cxr"), (("labs",), "ecg"), (("cxr", "ecg"), "labs"), (("cxr",), "labs")],
)
def test_scores_and_recall_are_the_definition_in_loops(world, visible, target):
    joint = joint_in_loops(world)
    queries, targets = marginal(joint, visible), marginal(joint, (target,))
    pairs = marginal(joint, (*visible, target))
    bayes = Bayes(world)
    scores = bayes.scores(visible, target)
    recall, candidates = 0.0, 4
    for key, (p, _) in pairs.items():
        if p == 0:
            continue
        *query, word = key
        pmi = {
            (other,): pairs.get((*query, other), (0.0,))[0] / queries[tuple(query)][0] / q
            for (other,), (q, _) in targets.items()
        }
        row = int(np.ravel_multi_index(query, (2**world.bits,) * len(query)))
        assert scores[row, word] == pytest.approx(log(pmi[word,]), abs=1e-8)
        same = {w for w in pmi if abs(pmi[w] - pmi[word,]) < 1e-9}
        tied = sum(targets[w][0] for w in same)
        worse = sum(targets[w][0] for w in pmi if w not in same and pmi[w] < pmi[word,])
        recall += p * sum(
            comb(candidates - 1, m) * tied**m * worse ** (candidates - 1 - m) / (m + 1)
            for m in range(candidates)
        )
    assert bayes.recall_at_1(visible, target, candidates=candidates) == pytest.approx(recall)


@pytest.mark.parametrize("world", SMALL)
@pytest.mark.parametrize("visible", [("cxr",), ("ecg", "labs"), WORLD_MODALITIES])
def test_probability_and_auroc_are_the_definition_in_loops(world, visible):
    table = marginal(joint_in_loops(world), visible)
    bayes = Bayes(world)
    probabilities = bayes.probabilities(visible)
    for key, (p, positive) in table.items():
        row = int(np.ravel_multi_index(key, (2**world.bits,) * len(key)))
        if p > 0:
            assert probabilities[row] == pytest.approx(positive / p, abs=1e-8)
    above = total = 0.0
    for p, positive in table.values():
        for q, other in table.values():
            if p > 0 and q > 0:
                weight = positive * (q - other)
                difference = round(positive / p - other / q, 9)
                above += weight * (0.5 if difference == 0 else difference > 0)
                total += weight
    assert bayes.auroc(visible) == pytest.approx(above / total, abs=1e-8)


def test_one_synergistic_factor_is_one_bit_that_no_pair_knows():
    # c = e XOR l: p = 1/4 on four of eight words, so TC = ln (1/4) / (1/8) = ln 2, each pair is
    # independent, and from both the X-ray is known: of two candidates the wrong one ties with
    # probability 1/2, so the right one is chosen with probability 1/2 + 1/2 · 1/2.
    bayes = Bayes(World(redundant=0, unique=0, synergistic=1, synergy=1.0, flip=0.0))
    assert bayes.total_correlation == pytest.approx(log(2))
    np.testing.assert_array_equal(bayes.scores(("ecg",), "cxr"), 0)
    assert bayes.recall_at_1(("ecg",), "cxr", candidates=10) == pytest.approx(0.1)
    assert bayes.recall_at_1(("ecg", "labs"), "cxr", candidates=2) == pytest.approx(0.75)


def test_one_redundant_factor_by_hand():
    # without flips X-ray, ECG and labs show one coin: TC = 2 ln 2, and of four candidates the three
    # wrong ones tie with probability 1/2 each: ((1/2 + 1/2)^4 - (1/2)^4) / (4 · 1/2) = 15/32.
    bayes = Bayes(World(redundant=1, unique=0, synergistic=0, synergy=0.0, flip=0.0))
    assert bayes.total_correlation == pytest.approx(2 * log(2))
    assert bayes.recall_at_1(("ecg",), "cxr", candidates=4) == pytest.approx(15 / 32)


@pytest.mark.parametrize(
    ("synergy", "nats"), [(0.0, 3.4657), (0.2, 2.981), (0.5, 2.794), (0.9, 3.151), (1.0, 3.4657)]
)
def test_the_worlds_of_the_papers_experiment_have_their_exact_values(synergy, nats):
    # five synergistic factors alone: Saporta et al. 2024, section 5.1, by exact enumeration
    bayes = Bayes(World(redundant=0, unique=0, synergistic=5, synergy=synergy, flip=0.0))
    assert bayes.total_correlation == pytest.approx(nats, abs=1e-3)
    right = bayes.joint.max(axis=2).sum()
    assert right == pytest.approx(1 / 32 + 31 / 32 * synergy)


def test_hiding_more_never_helps_the_oracle():
    bayes = Bayes(DEFAULTS)
    both = bayes.recall_at_1(("ecg", "labs"), "cxr", candidates=10)
    assert both > bayes.recall_at_1(("ecg",), "cxr", candidates=10) > 0.1
    assert bayes.auroc(WORLD_MODALITIES) > bayes.auroc(("cxr", "ecg")) > bayes.auroc(("ecg",)) > 0.5


def test_a_finding_is_told_by_the_x_ray_and_by_what_shares_its_factor():
    bayes = Bayes(DEFAULTS)
    for finding in CXR_FINDINGS:
        assert bayes.auroc(("cxr",), finding) == pytest.approx(1)
    # The heart is redundant, the mass is of the X-ray alone, the effusion is the XOR of the others.
    flipped = 2 * 0.05 * 0.95
    assert bayes.auroc(("ecg",), "enlarged_heart") == pytest.approx(1 - flipped)
    assert bayes.auroc(("ecg", "labs"), "lung_mass") == pytest.approx(0.5)
    assert bayes.auroc(("ecg",), "right_effusion") == pytest.approx(0.5)
    assert bayes.auroc(("ecg", "labs"), "right_effusion") == pytest.approx(1)


def test_findings_are_those_that_the_x_ray_shows(synthetic_store):
    sign_bits = synthetic_store.samples["kept_shown_cxr"].to_numpy()
    there = synthetic_store.present[:, 0]
    for place, finding in enumerate(CXR_FINDINGS):
        label = synthetic_store.outcome(finding)
        assert np.isnan(label[~there]).all()
        np.testing.assert_array_equal(label[there], (sign_bits[there] >> place) & 1)


def test_the_outcome_can_be_told_but_not_perfectly():
    assert 0.8 < Bayes(DEFAULTS).auroc(WORLD_MODALITIES) < 0.88


def test_exact_values_agree_with_many_drawn_admissions(rng):
    samples = 6_000
    drawn = [DEFAULTS.draw(rng) for _ in range(samples)]
    sign_bits = np.stack([bits_to_integers(bits) for bits, _ in drawn])
    outcome = np.array([deteriorates for _, deteriorates in drawn])
    oracle = Oracle(as_store(DEFAULTS, sign_bits))
    rows = np.arange(samples)
    everything = np.ones((samples, 3), dtype=bool)

    candidates = np.column_stack([rows, rng.integers(0, samples, (samples, 9))])
    scores = oracle.score(rows, everything, candidates, target="cxr")
    above = (scores > scores[:, :1]).sum(axis=1)
    tied = (scores == scores[:, :1]).sum(axis=1) - 1
    recall = np.clip((1 - above) / (tied + 1), 0, 1).mean()
    assert recall == pytest.approx(oracle.recall_at_1(("ecg", "labs"), "cxr", 10), abs=0.025)
    assert scores[:, 0].mean() == pytest.approx(
        oracle.total_correlation
        - Bayes(DEFAULTS).scores(("ecg",), "labs")[sign_bits[:, 1], sign_bits[:, 2]].mean(),
        abs=0.06,
    )

    probability = oracle.probability(rows, everything, outcome="deterioration")
    assert probability.mean() == pytest.approx(outcome.mean(), abs=0.025)
    positive, negative = probability[outcome], probability[~outcome]
    order = np.sort(negative)
    below = np.searchsorted(order, positive, "left") + np.searchsorted(order, positive, "right")
    auroc = (below / 2 / len(order)).mean()
    assert auroc == pytest.approx(oracle.auroc(WORLD_MODALITIES, "deterioration"), abs=0.025)


def test_scrambling_what_is_hidden_changes_nothing(rng):
    oracle, sign_bits = oracle_of(DEFAULTS, samples=60, rng=rng)
    present = rng.random((60, 3)) < 0.6
    rows = np.arange(60)
    candidates = rng.integers(0, 60, (60, 5))
    scrambled = np.where(present, sign_bits, rng.integers(0, 2**DEFAULTS.bits, sign_bits.shape))
    scrambled[:, 1] = sign_bits[:, 1]  # of the candidates
    other = Oracle(as_store(DEFAULTS, scrambled))
    present[:, 1] = False
    np.testing.assert_array_equal(
        oracle.score(rows, present, candidates, target="ecg"),
        other.score(rows, present, candidates, target="ecg"),
    )
    np.testing.assert_array_equal(
        oracle.probability(rows, present, outcome="deterioration"),
        other.probability(rows, present, outcome="deterioration"),
    )


def test_the_targets_own_presence_is_not_read(rng):
    oracle, _ = oracle_of(DEFAULTS, samples=20, rng=rng)
    rows = np.arange(20)
    candidates = rng.integers(0, 20, (20, 5))
    available, hidden = np.ones((20, 3), dtype=bool), np.array([[False, True, True]] * 20)
    np.testing.assert_array_equal(
        oracle.score(rows, available, candidates, target="cxr"),
        oracle.score(rows, hidden, candidates, target="cxr"),
    )


def test_a_query_that_sees_nothing_prefers_no_candidate(rng):
    oracle, _ = oracle_of(DEFAULTS, samples=20, rng=rng)
    nothing = np.zeros((20, 3), dtype=bool)
    candidates = rng.integers(0, 20, (20, 5))
    np.testing.assert_array_equal(oracle.score(np.arange(20), nothing, candidates, target="cxr"), 0)


def test_permuting_candidates_permutes_scores(rng):
    oracle, _ = oracle_of(DEFAULTS, samples=20, rng=rng)
    rows, available = np.arange(20), np.ones((20, 3), dtype=bool)
    candidates = rng.integers(0, 20, (20, 6))
    order = rng.permutation(6)
    np.testing.assert_array_equal(
        oracle.score(rows, available, candidates[:, order], target="labs"),
        oracle.score(rows, available, candidates, target="labs")[:, order],
    )


def test_an_outcome_of_another_world_is_an_error(rng):
    oracle, _ = oracle_of(DEFAULTS, samples=5, rng=rng)
    with pytest.raises(
        ValueError, match="outcome 'cardiomegaly'; expected one of the world's: deterioration,"
    ):
        oracle.auroc(WORLD_MODALITIES, "cardiomegaly")
    with pytest.raises(
        ValueError, match="outcome 'cardiomegaly'; expected one of the world's: deterioration,"
    ):
        oracle.probability(np.arange(5), np.ones((5, 3), dtype=bool), outcome="cardiomegaly")


def test_a_modality_of_another_world_is_an_error():
    with pytest.raises(ValueError, match="modalities echo, cxr; expected different ones of"):
        Bayes(DEFAULTS).scores(("echo",), "cxr")
    with pytest.raises(ValueError, match="modalities cxr, cxr; expected different ones of"):
        Bayes(DEFAULTS).scores(("cxr",), "cxr")


def test_a_store_without_the_truth_has_no_oracle():
    store = as_store(DEFAULTS, np.zeros((3, 3), dtype=np.int64))
    samples = store.samples.drop(columns="kept_shown_ecg")
    store = replace(store, manifest={"generator": None}, samples=samples)
    with pytest.raises(DataError, match=r"no redundant, .*kept_shown_ecg; expected a store of the"):
        Oracle(store)


def test_words_that_the_world_cannot_show_are_an_error():
    with pytest.raises(DataError, match="words beyond 5 bits"):
        Oracle(as_store(DEFAULTS, np.full((3, 3), 32)))

"""Compute how well a sum over pairs of modalities can retrieve in a synthetic world.

A pairwise objective scores a candidate c of a query (e, l) by f(e, c) + g(l, c) + h(e, l). The last
term ranks nothing. Two such scores bound what the objective can learn:

- `PairSums`: the optimum of the log loss over all f and g. It is the distribution with the three
  pair margins of the world and no interaction of three (Bishop, Fienberg and Holland, Discrete
  Multivariate Analysis, 1975, chapter 3), found by iterative proportional fitting. It is exact.
- `BestPairSums`: the highest recall@1 of any f and g that a search finds. Recall is not concave in
  f and g, so the value is a lower bound of the supremum. A longer search finds a higher one. In
  a world of three words, whose orders can all be listed, it is 2 % below the supremum. The search
  amplifies rounding: another processor finds other tables, as another seed does, with recalls up to
  0.03 apart in the worlds of the catalog. It is above the recall of `PairSums`: tables may give up
  some queries to be right on the others, which costs log loss.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit

from clinical_symile.synthetic.oracle import Bayes
from clinical_symile.synthetic.world import WORLD_MODALITIES, World

_TOLERANCE = 1e-13
_SWEEPS = 20_000
# The sigmoid that replaces "scores below" sharpens in these steps.
_WIDTHS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)
# A climb that starts near an optimum needs the sharp steps alone.
_SHARP_WIDTHS = _WIDTHS[2:]
# Standard deviations of what is added to the best tables before they climb again.
_NOISE = (0.1, 0.3, 1.0)
_DECIMALS = 9

Joint = Float[np.ndarray, "first second target"]
Scores = Float[np.ndarray, "first second target"]


class PairSums(Bayes):
    """The best log loss that a sum over pairs reaches in one world, and its expected metrics.

    With one query modality the score is that of `Bayes`: it is a sum of one pair.

    Args:
        world: the factors and how they are shown.
    """

    def scores(
        self, available: tuple[str, ...], target: str
    ) -> Float[np.ndarray, "available_words target_word"]:
        """Return the score of each target word; rows as in `Bayes.scores`."""
        if len(available) < 2:
            return super().scores(available, target)
        return self._pair_sums(self._cube(target)).reshape(-1, self.joint.shape[0])

    def _pair_sums(self, joint: Joint) -> Scores:
        """Return the score of every query and target word."""
        fitted = fit_pair_margins(joint)
        query, target = fitted.sum(axis=2, keepdims=True), joint.sum(axis=(0, 1))
        ratio = np.divide(fitted, query * target, out=np.zeros_like(fitted), where=query > 0)
        logs = np.log(ratio, out=np.full_like(ratio, -np.inf), where=ratio > 0)
        return np.round(logs, _DECIMALS)

    def _cube(self, target: str) -> Joint:
        """Return the joint with the target's words last."""
        return np.moveaxis(self.joint, WORLD_MODALITIES.index(target), 2)


class BestPairSums(PairSums):
    """The highest recall@1 of a sum over pairs that a search finds.

    The search leaves out unique factors, which tell nothing about the other modalities.

    Args:
        world: the factors and how they are shown.
        candidates: number of candidates, the correct one included.
        starts: random starts of the search, beside the start at the optimum of the log loss.
        restarts: climbs from the best tables so far with noise added to them.
        seed: seed of the starts and of the noise.
    """

    def __init__(
        self,
        world: World,
        *,
        candidates: int = 10,
        starts: int = 12,
        restarts: int = 200,
        seed: int = 0,
    ):
        super().__init__(world)
        self._world, self._candidates, self._seed = world, candidates, seed
        self._starts, self._restarts = starts, restarts

    def _pair_sums(self, joint: Joint) -> Scores:
        kept = _without_unique(joint, self._world)
        start = super()._pair_sums(kept)
        best = best_pair_sums(
            kept,
            candidates=self._candidates,
            starts=self._starts,
            restarts=self._restarts,
            generator=np.random.default_rng(self._seed),
            first=np.where(np.isfinite(start), start, -20.0),
        )
        words = _words_without_unique(self._world)
        return best[np.ix_(words, words, words)]


def fit_pair_margins(joint: Joint) -> Joint:
    """Return the distribution with the pair margins of a joint and no interaction of three.

    It is found by iterative proportional fitting from the uniform distribution (Deming and Stephan,
    Annals of Mathematical Statistics, 1940).

    Args:
        joint: probabilities of the words of three modalities.

    Raises:
        ArithmeticError: the fit does not converge.
    """
    fitted = np.full(joint.shape, 1 / joint.size)
    margins = [joint.sum(axis=axis, keepdims=True) for axis in range(3)]
    change = np.inf
    for _ in range(_SWEEPS):
        change = 0.0
        for axis, margin in enumerate(margins):
            own = fitted.sum(axis=axis, keepdims=True)
            change = max(change, float(np.abs(own - margin).max()))
            fitted = fitted * np.divide(margin, own, out=np.zeros_like(own), where=own > 0)
        if change < _TOLERANCE:
            return fitted
    raise ArithmeticError(f"pair margins differ by {change:.1e} after {_SWEEPS} sweeps.")


def best_pair_sums(
    joint: Joint,
    *,
    candidates: int,
    starts: int,
    restarts: int,
    generator: np.random.Generator,
    first: Scores | None = None,
) -> Scores:
    """Search f(first, target) + g(second, target) with the highest expected recall@1.

    Each start climbs a smoothed recall by L-BFGS while the smoothing shrinks. The tables with the
    highest exact recall then climb again from a random point near them. They are replaced where
    that is higher (iterated local search: Lourenço, Martin and Stützle, 2003).

    Args:
        joint: probabilities of the words; the target's are the last axis.
        candidates: number of candidates, the correct one included.
        starts: number of random starts.
        restarts: number of climbs from near the best tables.
        generator: random generator of the starts and of the noise.
        first: scores of one more start, a sum over pairs.
    """
    n_first, n_second, n_target = joint.shape
    size = (n_first + n_second) * n_target

    def reached(table: Float[np.ndarray, " parameter"]) -> float:
        return expected_recall(_sum_of(table, joint), joint, candidates=candidates)

    tables = [
        _climb(generator.standard_normal(size), joint, candidates, _WIDTHS) for _ in range(starts)
    ]
    if first is not None:
        # Any two tables whose sum is `first` up to a constant of the query.
        centred = first - first.mean(axis=2, keepdims=True)
        f = centred.mean(axis=1)
        start = np.concatenate([f.ravel(), (centred.mean(axis=0) - f.mean(axis=0)).ravel()])
        tables += [start, _climb(start, joint, candidates, _WIDTHS)]
    best = max(tables, key=reached)
    highest = reached(best)
    for _ in range(restarts):
        noise = generator.choice(_NOISE) * generator.standard_normal(size)
        table = _climb(best + noise, joint, candidates, _SHARP_WIDTHS)
        if (value := reached(table)) > highest:
            best, highest = table, value
    return _sum_of(best, joint)


def _climb(
    table: Float[np.ndarray, " parameter"],
    joint: Joint,
    candidates: int,
    widths: tuple[float, ...],
) -> Float[np.ndarray, " parameter"]:
    """Return the tables that a climb reaches while the smoothing takes each width in turn."""
    for width in widths:
        table = minimize(
            _negative_recall,
            table,
            args=(joint, candidates, width),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 80},
        ).x
    return table


def _sum_of(table: Float[np.ndarray, " parameter"], joint: Joint) -> Scores:
    """Return the scores of two tables that are laid out one after the other."""
    n_first, n_second, n_target = joint.shape
    f, g = np.split(table, [n_first * n_target])
    return np.round(f.reshape(n_first, 1, n_target) + g.reshape(1, n_second, n_target), _DECIMALS)


def expected_recall(scores: Scores, joint: Joint, *, candidates: int) -> float:
    """Return the expected recall@1 of any scores, ties broken at random; see `Bayes.recall_at_1`.

    Args:
        scores: of every query and target word.
        joint: probabilities of the words; the target's are the last axis.
        candidates: number of candidates, the correct one included.
    """
    marginal = joint.sum(axis=(0, 1))
    worse = (scores[..., :, None] > scores[..., None, :]) @ marginal
    tied = (scores[..., :, None] == scores[..., None, :]) @ marginal
    chosen = ((worse + tied) ** candidates - worse**candidates) / (candidates * tied)
    return float((joint * chosen).sum())


def _negative_recall(
    table: Float[np.ndarray, " parameter"], joint: Joint, candidates: int, width: float
) -> tuple[float, Float[np.ndarray, " parameter"]]:
    """Return minus the smoothed recall and its gradient; a word ties with itself alone."""
    n_first, n_second, n_target = joint.shape
    split = n_first * n_target
    f, g = table[:split].reshape(n_first, n_target), table[split:].reshape(n_second, n_target)
    scores, marginal = f[:, None] + g[None, :], joint.sum(axis=(0, 1))
    above = expit((scores[..., :, None] - scores[..., None, :]) / width)
    above *= 1 - np.eye(n_target)
    worse = above @ marginal
    k, with_tie = candidates, worse + marginal
    recall = joint * (with_tie**k - worse**k) / (k * marginal)
    slope = joint * (with_tie ** (k - 1) - worse ** (k - 1)) / marginal
    above *= 1 - above  # now the derivative of the sigmoid, 0 on the diagonal
    above[..., np.arange(n_target), np.arange(n_target)] = 0
    gradient = slope * (above @ marginal) - np.einsum("xyt,xytc->xyc", slope, above) * marginal
    gradient /= -width
    return -float(recall.sum()), np.concatenate([gradient.sum(1).ravel(), gradient.sum(0).ravel()])


def _words_without_unique(world: World) -> np.ndarray:
    """Return each word's number without its unique bits."""
    words = np.arange(2**world.bits)
    low = words & (2**world.redundant - 1)
    return low | (words >> (world.redundant + world.unique) << world.redundant)


def _without_unique(
    joint: Joint, world: World
) -> Float[np.ndarray, "small_first small_second small_target"]:
    """Sum a joint over the unique bits of all modalities."""
    words = _words_without_unique(world)
    smaller = np.zeros((int(words.max()) + 1,) * 3)
    np.add.at(smaller, np.ix_(words, words, words), joint)
    return smaller

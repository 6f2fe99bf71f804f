"""The losses of Symile in loops, as the paper writes them."""

import itertools
import math

import numpy as np
import torch

from clinical_symile.objectives.negatives import shuffled_loss

SIZES = [(n, d, m) for m in (2, 3, 4) for n in (2, 3, 5) for d in (1, 4)]


def similarity(vectors):
    """The multilinear inner product of M vectors."""
    return sum(math.prod(float(v[k]) for v in vectors) for k in range(len(vectors[0])))


def loss_in_loops(z, scale, available, candidates_of):
    """The paper's loss: for each anchor modality and sample, -log of its own combination's share.

    candidates_of(anchor, i) gives the combinations of samples (i_1 … i_M) in the denominator.
    """
    n, modalities, _ = z.shape
    anchors = []
    for anchor in range(modalities):
        losses = []
        for i in range(n):
            if not available[i].all():
                continue
            positive = (i,) * modalities
            total = 0.0
            for combination in candidates_of(anchor, i):
                if all(available[j, m] for m, j in enumerate(combination)):
                    vectors = [z[j, m] for m, j in enumerate(combination)]
                    total += math.exp(scale * similarity(vectors))
            logit = scale * similarity([z[j, m] for m, j in enumerate(positive)])
            losses.append(math.log(total) - logit)
        anchors.append(sum(losses) / len(losses))
    return sum(anchors) / modalities


def symile_loss_shuffled(z, scale, permutations, *, available=None):
    """The loss for given permutations."""
    if available is None:
        available = torch.ones(z.shape[:2], dtype=torch.bool)
    scale = torch.as_tensor(scale, dtype=z.dtype)
    return shuffled_loss(z, scale, permutations, available=available)


def all_combinations(n, modalities):
    def candidates_of(anchor, i):
        others = itertools.product(range(n), repeat=modalities - 1)
        return [(*rest[:anchor], i, *rest[anchor:]) for rest in others]

    return candidates_of


def shuffled_combinations(n, modalities, permutations):
    def candidates_of(anchor, i):
        combinations = []
        for j in range(n):
            rest = [i if i == j else int(p[j]) for p in permutations[anchor]]
            combinations.append((*rest[:anchor], i, *rest[anchor:]))
        return combinations

    return candidates_of


def presence_patterns(n, modalities, rng):
    """All present, and patterns with absent slots that leave two complete samples."""
    yield np.ones((n, modalities), dtype=bool)
    for _ in range(4):
        available = rng.random((n, modalities)) < 0.6
        available[:2] = True
        yield rng.permutation(available)

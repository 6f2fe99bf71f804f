import gc

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from clinical_symile.stats.multiple_testing import benjamini_hochberg, holm


def test_both_are_those_of_statsmodels(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # statsmodels collects garbage in each call: half a second where much is loaded.
    monkeypatch.setattr(gc, "collect", lambda generation=2: 0)
    for _ in range(200):
        p = rng.random(rng.integers(1, 30)) ** rng.integers(1, 4)
        p = p.round(2) if rng.random() < 0.5 else p
        assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1])
        expected = multipletests(p, method="fdr_bh")[1]
        assert benjamini_hochberg(p.tolist()) == pytest.approx(expected)


def test_holm_by_hand():
    # 3 x 0.01; then 2 x 0.03, and 0.04 is not below it.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_benjamini_hochberg_by_hand():
    # 0.04 x 3/3; 0.03 x 3/2 is above it; 0.01 x 3/1.
    assert benjamini_hochberg([0.04, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])


def test_one_test_is_its_own_family_and_none_is_none():
    assert holm([0.2]) == benjamini_hochberg([0.2]) == [0.2]
    assert holm([]) == benjamini_hochberg([]) == []


def test_holm_makes_a_false_claim_in_5_of_100_families(rng):
    wrong = np.mean([min(holm(p)) < 0.05 for p in rng.random((2000, 10)).tolist()])
    assert 0.04 < wrong < 0.06


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_what_is_no_p_value_is_refused(adjust, bad):
    with pytest.raises(ValueError, match="p-values outside 0 … 1 or NaN"):
        adjust([0.5, bad])

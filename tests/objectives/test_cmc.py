"""CMC with a core contrasts the pairs with the core only."""

import pytest

from clinical_symile.objectives.cmc import Cmc
from tests.helpers.objective_values import connected, loss_value


def test_it_has_its_known_values(fixture_f, without_last_labs):
    known = {
        "cxr": (10.002484420751, 10.396336358206),
        "ecg": (12.283803041919, 12.147415701378),
        "labs": (10.066795163639, 10.324259760554),
    }
    for core, (whole, masked) in known.items():
        objective = connected(Cmc(core=core), dim=3)
        assert loss_value(objective, fixture_f, temperature=0.1) == pytest.approx(whole, abs=1e-10)
        found = loss_value(objective, fixture_f, without_last_labs, temperature=0.1)
        assert found == pytest.approx(masked, abs=1e-10)


def test_the_core_is_the_first_modality_unless_named(fixture_f):
    named, plain = connected(Cmc(core="cxr"), dim=3), connected(Cmc(), dim=3)
    assert loss_value(plain, fixture_f) == loss_value(named, fixture_f)


def test_a_core_that_is_no_modality_is_refused():
    with pytest.raises(ValueError, match="core is 'mri'; expected one of cxr, ecg, labs"):
        connected(Cmc(core="mri"), dim=3)

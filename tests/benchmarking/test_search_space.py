import math
import sys

import pytest

from clinical_symile.benchmarking.search_space import draw_settings_of_sweep
from clinical_symile.errors import ClinicalSymileError, DefinitionError

SPACE = ("optimiser.learning_rate=1e-4..1e-2 log", "batch_size=16..256", "dim=[8, 16]")


def test_settings_lie_in_the_space_and_are_the_same_each_time():
    drawn = draw_settings_of_sweep(SPACE, trials=16)
    assert drawn == draw_settings_of_sweep(SPACE, trials=16)
    assert drawn[:4] == draw_settings_of_sweep(SPACE, trials=4), "more trials keep the first ones"
    for setting in drawn:
        assert list(setting) == ["optimiser.learning_rate", "batch_size", "dim"]
        assert 1e-4 <= setting["optimiser.learning_rate"] <= 1e-2
        assert 16 <= setting["batch_size"] <= 256
        assert isinstance(setting["batch_size"], int)
    assert {setting["dim"] for setting in drawn} == {8, 16}


def test_the_logarithms_of_a_range_are_spread_evenly():
    drawn = draw_settings_of_sweep(["rate=1e-4..1e-2 log"], trials=16)
    sixteenths = sorted(int((math.log10(one["rate"]) + 4) / 2 * 16) for one in drawn)
    assert sixteenths == list(range(16)), "the first 16 points of a Sobol sequence: one in each"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dim", "expected field=value"),
        ("dim=8", "it is neither a range nor a list"),
        ("dim=[]", "it is neither a range nor a list"),
        ("dim=16..8", "expected field=LOW..HIGH"),
        ("rate=0.0..1.0 log", "expected field=LOW..HIGH"),
        ("rate=..1", "neither a range"),
    ],
)
def test_a_wrong_range_is_refused(text: str, message: str):
    with pytest.raises(DefinitionError, match=message):
        draw_settings_of_sweep([text], trials=2)


def test_all_wrong_ranges_are_told_at_once():
    with pytest.raises(DefinitionError) as raised:
        draw_settings_of_sweep(["a=1", *SPACE, "b=x"], trials=2)
    assert len(raised.value.problems) == 2


def test_optuna_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ClinicalSymileError, match="optuna"):
        draw_settings_of_sweep(SPACE, trials=2)

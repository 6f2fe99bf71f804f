from dataclasses import fields

import pytest

from clinical_symile.reporting.cost_quantities import COST_QUANTITIES, device_words
from clinical_symile.tracking.costs import RunCosts


def test_every_cost_of_a_run_has_one_name_of_its_own():
    # Counted with the device, or the reason for a number that lacks.
    beside = {"run", "devices", "energy_missing"}
    assert {*COST_QUANTITIES} == {one.name for one in fields(RunCosts)} - beside
    titles = [one.title for one in COST_QUANTITIES.values()]
    assert len({*titles}) == len(titles)
    assert {"peak host memory", "peak GPU memory"} <= {*titles}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("parameters_used", 1_234_567, "1.23 M"),
        ("training_s", 4.25, "4.2 s"),
        ("training_peak_bytes", 999.6, "1 kB"),
        ("energy_j", 0, "0 J"),
        ("sessions", 2, "2"),
    ],
)
def test_a_cost_has_the_same_words_everywhere(field: str, value: int | float, words: str):
    assert COST_QUANTITIES[field].words(value) == words


def test_several_devices_are_counted():
    assert device_words(RunCosts(run="a")) is None
    assert device_words(RunCosts(run="a", device="H200", devices=1)) == "H200"
    assert device_words(RunCosts(run="a", device="H200", devices=2)) == "2 of H200"

"""No registered modality lets an encoder read what a pattern hides within it."""

from pathlib import Path

import pytest

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DefinitionError
from clinical_symile.evaluation.leak_checks.check import check_no_leakage
from clinical_symile.evaluation.leak_checks.modalities import modality_leaks
from clinical_symile.modalities.ecg import Ecg
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import MODALITIES

OWN = '''
import numpy as np


class Centred:
    """It subtracts the mean of what was recorded."""

    dtype = "float32"
    axes = ("lead", "time")
    sampling_rate_hz = 100
    unrecorded = np.float32(np.nan)

    @staticmethod
    def fit(parts):
        return {}

    @staticmethod
    def transform(measurements, statistics, generator=None):
        mean = np.nanmean(measurements, axis=(1, 2), keepdims=True)
        return np.nan_to_num(measurements - mean)


class Unready(Centred):
    """It cannot stand what was not recorded."""

    @staticmethod
    def transform(measurements, statistics, generator=None):
        return measurements
'''


@pytest.mark.parametrize("name", sorted(MODALITIES))
def test_no_modality_leaks_what_is_hidden_within_it(name: str) -> None:
    assert list(modality_leaks(resolve(name, MODALITIES))) == []


def test_stored_numbers_that_bypass_the_hiding_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def divisor(store: CohortStore, modality: str) -> object:
        return Ecg.divisor(store.manifest["modalities"][modality]["statistics"])

    monkeypatch.setattr(CohortStore, "divisor", divisor)
    leaks = list(modality_leaks(Ecg))
    for pattern in ("toy-leads-mcar-50", "toy-segment-0.5s"):
        for content in ("the largest numbers", "values of other subjects"):
            leak = f"the input changes when what '{pattern}' hides holds {content}."
            assert leak in leaks


def test_the_command_checks_an_adapter_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_adapters.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    sentence = "own_adapters:Centred: a modality; it does not read hidden modalities."
    assert check_no_leakage("own_adapters:Centred") == sentence
    with pytest.raises(DefinitionError, match="a modality that leaks: the input is not finite"):
        check_no_leakage("own_adapters:Unready")

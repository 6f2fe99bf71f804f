"""No registered probe or baseline leaks."""

import pytest

from clinical_symile.evaluation.leak_checks.predictions import baseline_leaks, probe_leaks
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import BASELINES, PROBES

ARGUMENTS = {
    "finetune": {"epochs": 2, "batch_size": 6, "learning_rate": 0.01},
    "logistic": {"strengths": [0.1, 1.0]},
    "neighbours": {"k": [1, 3]},
}


@pytest.mark.parametrize("name", PROBES)
def test_no_probe_leaks(name):
    probe = resolve(name, PROBES)(**ARGUMENTS.get(name, {}))
    assert list(probe_leaks(probe)) == []


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_leaks(name):
    assert list(baseline_leaks(resolve(name, BASELINES))) == []

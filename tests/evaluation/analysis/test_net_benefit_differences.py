"""Differences of net benefit between two runs on the same samples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis import net_benefit_differences as module
from clinical_symile.evaluation.analysis.net_benefit_differences import net_benefit_differences
from clinical_symile.stats.multiple_testing import holm
from clinical_symile.tracking.run import Run
from tests.helpers.outcomes import sample_outcomes

LABEL = np.concatenate([np.arange(100) < 20, np.arange(100) < 80]).astype(int)
INFORMED, CONSTANT = np.repeat([0.2, 0.8], 100), np.full(200, 0.5)


def _found(
    monkeypatch: pytest.MonkeyPatch,
    task: Classification,
    store: CohortStore,
    *,
    digest: str = "d",
) -> list[Any]:
    def outcome(name: str, probability: np.ndarray, digest: str) -> Any:
        frame = pd.DataFrame({"row": np.arange(200), "label": LABEL, "probability": probability})
        one = sample_outcomes(task, frame)
        return replace(one, about={**one.about, "run": name, "digest": digest})

    scored = {
        "a": {"complete": outcome("a", INFORMED, "d")},
        "b": {"complete": outcome("b", CONSTANT, digest)},
    }
    monkeypatch.setattr(module, "load_outcomes", lambda run, task, store: scored[run.name])
    pair = Run(Path("a")), Run(Path("b"))
    return net_benefit_differences([pair], [task], store=store, thresholds=(0.05, 0.3, 0.5))


def test_a_difference_of_net_benefit_is_that_of_the_two_curves(
    monkeypatch: pytest.MonkeyPatch, risk_task: Classification, synthetic_store: CohortStore
) -> None:
    nothing, low, half = _found(monkeypatch, risk_task, synthetic_store)
    # At 5 % both treat everybody.
    assert nothing.difference == 0
    assert nothing.low is nothing.p_value is nothing.p_holm is None
    assert "decide differently on fewer than 5" in nothing.no_interval
    # At 50 % (and 30 %) the constant treats everybody, the other run the second half only.
    assert half.difference == pytest.approx((80 - 20) / 200 - (100 - 100) / 200)
    assert low.difference == pytest.approx((80 - 20 * 3 / 7) / 200 - (100 - 100 * 3 / 7) / 200)
    assert half.low < half.difference < half.high
    assert half.low > 0
    assert half.p_value < 0.001


def test_p_values_of_net_benefit_are_one_family(
    monkeypatch: pytest.MonkeyPatch, risk_task: Classification, synthetic_store: CohortStore
) -> None:
    rows = [
        row for row in _found(monkeypatch, risk_task, synthetic_store) if row.p_value is not None
    ]
    assert [row.p_holm for row in rows] == pytest.approx(holm([row.p_value for row in rows]))


def test_results_with_another_fingerprint_are_not_compared(
    monkeypatch: pytest.MonkeyPatch, risk_task: Classification, synthetic_store: CohortStore
) -> None:
    assert _found(monkeypatch, risk_task, synthetic_store, digest="other") == []

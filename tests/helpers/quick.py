"""Fixtures that leave out what has tests of its own: resamples, analyses, copies in MLflow."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from clinical_symile.evaluation.analysis import method_ranking
from clinical_symile.stats.bootstrap import (
    bootstrap,
    metric_intervals,
    paired_bootstrap,
    resample,
    resample_difference,
)
from clinical_symile.stats.resampling import resample_metric
from clinical_symile.tracking.analysis_tables import RunAnalysis
from clinical_symile.tracking.mlflow import SyncResult

RESAMPLES = 50
RESAMPLING: tuple[Callable[..., Any], ...] = (
    bootstrap,
    metric_intervals,
    paired_bootstrap,
    resample,
    resample_difference,
    resample_metric,
)


@contextmanager
def with_few_resamples() -> Iterator[pytest.MonkeyPatch]:
    """Let results have intervals of 50 resamples; for fixtures of a module or a session."""
    with pytest.MonkeyPatch.context() as patch:
        few = partial(metric_intervals, resamples=RESAMPLES)
        patch.setattr("clinical_symile.evaluation.evaluate.metric_intervals", few)
        yield patch


@contextmanager
def with_few_resamples_everywhere() -> Iterator[pytest.MonkeyPatch]:
    """Let analyses and comparisons have intervals of 50 resamples too."""
    with pytest.MonkeyPatch.context() as patch:
        for function in RESAMPLING:
            defaults = inspect.unwrap(function).__kwdefaults__  # pyright: ignore[reportFunctionMemberAccess]
            patch.setitem(defaults, "resamples", RESAMPLES)
        patch.setattr(method_ranking, "RESAMPLES", RESAMPLES)
        yield patch


@pytest.fixture
def few_resamples_everywhere() -> Iterator[None]:
    """Analyses and comparisons have intervals of 50 resamples too."""
    with with_few_resamples_everywhere():
        yield


@pytest.fixture
def few_resamples() -> Iterator[None]:
    """Results have intervals of 50 resamples."""
    with with_few_resamples():
        yield


@pytest.fixture
def no_mlflow_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished benchmark is not copied into MLflow."""
    monkeypatch.setattr(
        "clinical_symile.benchmarking.finalize.sync_run", lambda *a, **k: SyncResult()
    )


@pytest.fixture
def no_analyses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished benchmark has no calibration, net benefit or value of modalities.

    They have tests in `tests/evaluation/analysis`; `test_external_guide.py` has them in a report.
    """
    monkeypatch.setattr(
        "clinical_symile.benchmarking.finalize.analyze_run", lambda *a, **k: RunAnalysis()
    )
